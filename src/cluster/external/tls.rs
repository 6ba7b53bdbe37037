//! TLS to a broker. Must not know Kafka.

use std::io;
use std::path::Path;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};

use super::security::{SecurityError, Tls};

/// Opens TLS connections.
#[derive(Clone)]
pub(super) struct Connector(TlsConnector);

impl Connector {
    /// Reads the certificates.
    pub fn new(tls: &Tls) -> Result<Self, SecurityError> {
        let mut roots = RootCertStore::empty();
        match &tls.authorities {
            Some(path) => {
                for certificate in certificates(path)? {
                    roots.add(certificate).map_err(|error| wrong(path, &error))?;
                }
            }
            None => {
                let found = rustls_native_certs::load_native_certs();
                roots.add_parsable_certificates(found.certs);
                if roots.is_empty() {
                    let reason = format!(
                        "this machine has no list of authorities that it trusts ({}): name one by ssl.ca.location",
                        found.errors.first().map_or("none was found".to_owned(), ToString::to_string)
                    );
                    return Err(SecurityError::File { path: "ssl.ca.location".to_owned(), reason });
                }
            }
        }
        let provider = Arc::new(crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| SecurityError::File { path: "TLS".to_owned(), reason: error.to_string() })?
            .with_root_certificates(roots);
        let config = match &tls.certificate {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let chain = certificates(certificate)?;
                let secret = PrivateKeyDer::from_pem_file(key).map_err(|error| wrong(key, &error))?;
                builder.with_client_auth_cert(chain, secret).map_err(|error| wrong(key, &error))?
            }
        };
        Ok(Self(TlsConnector::from(Arc::new(config))))
    }

    /// Shakes hands with who claims to be `host`.
    pub async fn connect(&self, host: &str, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned())
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, format!("`{host}`: {error}")))?;
        self.0.connect(name, stream).await.map_err(|error| io::Error::new(error.kind(), format!("TLS: {error}")))
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, SecurityError> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let found = read.map_err(|error| wrong(path, &error))?;
    if found.is_empty() {
        return Err(wrong(path, &"it holds no certificate: expected PEM, -----BEGIN CERTIFICATE-----"));
    }
    Ok(found)
}

fn wrong(path: &Path, reason: &impl ToString) -> SecurityError {
    SecurityError::File { path: path.display().to_string(), reason: reason.to_string() }
}
