//! A connection to a broker, as its listener wants it: plain or TLS, with or without a name. What comes out is a stream
//! on which Kafka's requests can be written at once.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::sasl;
use super::security::{Credentials, Security, SecurityError};
use super::tls::Connector;

/// How long a handshake may take; more than brokers' delay of a refusal (`connection.failed.authentication.delay.ms`,
/// 0.1 s), less than a client waits for an answer.
const HANDSHAKE: Duration = Duration::from_secs(10);

pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// How to connect to any broker of one cluster.
#[derive(Clone)]
pub(super) struct Upstream {
    tls: Option<Connector>,
    credentials: Option<Credentials>,
}

impl Upstream {
    pub fn new(security: &Security) -> Result<Self, SecurityError> {
        let tls = security.tls.as_ref().map(Connector::new).transpose()?;
        Ok(Self { tls, credentials: security.credentials.clone() })
    }

    /// Connects to `host:port`.
    pub async fn connect(&self, address: &str) -> io::Result<Box<dyn Stream>> {
        let opened = async {
            let plain = TcpStream::connect(address).await?;
            plain.set_nodelay(true)?;
            let mut stream: Box<dyn Stream> = match &self.tls {
                None => Box::new(plain),
                Some(connector) => {
                    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
                    Box::new(connector.connect(host, plain).await?)
                }
            };
            if let Some(credentials) = &self.credentials {
                sasl::sign_in(&mut stream, credentials).await?;
            }
            Ok(stream)
        };
        let late = || io::Error::new(io::ErrorKind::TimedOut, format!("no connection within {HANDSHAKE:?}"));
        timeout(HANDSHAKE, opened).await.unwrap_or_else(|_| Err(late()))
    }
}
