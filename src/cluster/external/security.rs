//! How brokers are to be spoken to, from a file of client properties such as Kafka's own tools take with
//! `--command-config`. Names of the Java client and of librdkafka are both understood.
//!
//! Owns the properties' meaning. Must not know sockets, TLS or SASL's messages.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use java_properties::{LineContent, PropertiesIter};

/// A file of client properties that cannot be followed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecurityError {
    #[error("{path}: {reason}")]
    File { path: String, reason: String },
    #[error("{path}:{line}: {reason}")]
    Line { path: String, line: usize, reason: String },
    #[error("{path}: `{key}` is needed with {because}")]
    Missing { path: String, key: &'static str, because: String },
}

/// Who we are to the brokers.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    pub mechanism: Mechanism,
    pub user: String,
    pub password: String,
}

/// Passwords are for brokers alone.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("mechanism", &self.mechanism)
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

/// A way to prove it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    Plain,
    ScramSha256,
    ScramSha512,
}

impl Mechanism {
    pub const ALL: [Self; 3] = [Self::Plain, Self::ScramSha256, Self::ScramSha512];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

/// What a TLS connection takes. Paths are of PEM files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// Who is trusted to vouch for brokers; `None`: whom this machine trusts.
    pub authorities: Option<PathBuf>,
    /// Our own certificate and its key, where brokers ask for one.
    pub certificate: Option<(PathBuf, PathBuf)>,
}

/// How brokers are spoken to. The default is plaintext, without a name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Security {
    pub tls: Option<Tls>,
    pub credentials: Option<Credentials>,
}

/// As `SASL_SSL (SCRAM-SHA-512)`.
impl fmt::Display for Security {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (&self.tls, &self.credentials) {
            (None, None) => "PLAINTEXT",
            (Some(_), None) => "SSL",
            (None, Some(_)) => "SASL_PLAINTEXT",
            (Some(_), Some(_)) => "SASL_SSL",
        })?;
        self.credentials.as_ref().map_or(Ok(()), |credentials| write!(f, " ({})", credentials.mechanism.name()))
    }
}

impl Security {
    /// True where a connection is no plain one.
    pub fn is_needed(&self) -> bool {
        self.tls.is_some() || self.credentials.is_some()
    }

    /// Reads a file of client properties. Paths in it are meant from its folder. `${env:NAME}` in a value stands for what
    /// `variable` says of it. What has nothing to do with security (`bootstrap.servers`, `acks`) is left alone.
    ///
    /// # Errors
    /// [`SecurityError`], which names the file, the line, and what to write instead.
    pub fn read(path: &Path, variable: impl Fn(&str) -> Option<String>) -> Result<Self, SecurityError> {
        let shown = path.display().to_string();
        let file = std::fs::File::open(path)
            .map_err(|error| SecurityError::File { path: shown.clone(), reason: error.to_string() })?;
        let properties = Properties::of(shown, file, variable)?;
        properties.security(path.parent().unwrap_or(Path::new("")))
    }
}

/// Properties about security, each with its line.
#[derive(Debug)]
struct Properties {
    path: String,
    values: BTreeMap<String, (usize, String)>,
}

impl Properties {
    fn of(
        path: String,
        file: impl std::io::Read,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, SecurityError> {
        let mut this = Self { path, values: BTreeMap::new() };
        for line in PropertiesIter::new(file) {
            let line = line.map_err(|error| match error.line_number() {
                Some(line) => this.wrong(line, "not a line of properties: expected key=value".to_owned()),
                None => SecurityError::File { path: this.path.clone(), reason: error.to_string() },
            })?;
            let number = line.line_number();
            let LineContent::KVPair(key, value) = line.consume_content() else { continue };
            // librdkafka's name for it.
            let key = if key == "sasl.mechanisms" { "sasl.mechanism".to_owned() } else { key };
            if !["security.", "sasl.", "ssl."].iter().any(|of_security| key.starts_with(of_security)) {
                continue;
            }
            let value = filled(&value, &variable).map_err(|reason| this.wrong(number, reason))?;
            this.values.insert(key, (number, value));
        }
        Ok(this)
    }

    fn wrong(&self, line: usize, reason: String) -> SecurityError {
        SecurityError::Line { path: self.path.clone(), line, reason }
    }

    fn missing(&self, key: &'static str, because: impl Into<String>) -> SecurityError {
        SecurityError::Missing { path: self.path.clone(), key, because: because.into() }
    }

    fn take(&mut self, key: &str) -> Option<(usize, String)> {
        self.values.remove(key)
    }

    fn path(&mut self, key: &str, folder: &Path) -> Option<PathBuf> {
        self.take(key).map(|(_, value)| folder.join(value))
    }

    fn security(mut self, folder: &Path) -> Result<Security, SecurityError> {
        let (line, protocol) = self.take("security.protocol").ok_or_else(|| {
            self.missing("security.protocol", "a file of client properties: SSL, SASL_PLAINTEXT or SASL_SSL")
        })?;
        let protocol = protocol.to_uppercase();
        let (tls, sasl) = match protocol.as_str() {
            "PLAINTEXT" => (false, false),
            "SSL" => (true, false),
            "SASL_PLAINTEXT" => (false, true),
            "SASL_SSL" => (true, true),
            other => {
                let reason = format!("`{other}` is no protocol: PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL");
                return Err(self.wrong(line, reason));
            }
        };
        let tls = if tls { Some(self.tls(folder)?) } else { None };
        let credentials = if sasl { Some(self.credentials(&protocol)?) } else { None };
        // Nothing about security may be overlooked.
        if let Some((key, (line, _))) = self.values.first_key_value() {
            let has_meaning =
                if key.starts_with("ssl.") { protocol.ends_with("SSL") } else { protocol.starts_with("SASL") };
            let reason = if has_meaning {
                format!("`{key}` is not understood: {KNOWN}")
            } else {
                format!("`{key}` has no meaning with security.protocol={protocol}")
            };
            return Err(self.wrong(*line, reason));
        }
        Ok(Security { tls, credentials })
    }

    fn tls(&mut self, folder: &Path) -> Result<Tls, SecurityError> {
        for (kind, remedy) in [
            ("ssl.truststore.type", "keytool -exportcert -rfc -keystore FILE -alias NAME > ca.pem"),
            ("ssl.keystore.type", "openssl pkcs12 -in FILE -out client.pem -nodes"),
        ] {
            match self.take(kind) {
                Some((line, value)) if !value.eq_ignore_ascii_case("PEM") => {
                    return Err(self.wrong(line, format!("{kind}={value}: only PEM files are read: {remedy}")));
                }
                // A store's default type is JKS.
                None if self.values.contains_key(&kind.replace(".type", ".location")) => {
                    let key = kind.replace(".type", ".location");
                    let line = self.values.get(&key).map_or(0, |(line, _)| *line);
                    return Err(self.wrong(line, format!("`{key}` without {kind}=PEM is a JKS file: {remedy}")));
                }
                _ => {}
            }
        }
        let authorities = self.path("ssl.truststore.location", folder);
        let authorities = self.path("ssl.ca.location", folder).or(authorities);
        // A PEM key store holds both.
        let both = self.path("ssl.keystore.location", folder);
        let certificate = self.path("ssl.certificate.location", folder).or_else(|| both.clone());
        let certificate = match (certificate, self.path("ssl.key.location", folder).or(both)) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            (Some(_), None) => return Err(self.missing("ssl.key.location", "ssl.certificate.location")),
            (None, Some(_)) => return Err(self.missing("ssl.certificate.location", "ssl.key.location")),
        };
        if let Some((line, value)) = self.take("ssl.endpoint.identification.algorithm")
            && !value.eq_ignore_ascii_case("https")
        {
            let reason = "brokers' names are always checked against their certificates: leave it out, or write https";
            return Err(self.wrong(line, reason.to_owned()));
        }
        Ok(Tls { authorities, certificate })
    }

    fn credentials(&mut self, protocol: &str) -> Result<Credentials, SecurityError> {
        let with = |key| move |this: &Self| this.missing(key, format!("security.protocol={protocol}"));
        let (line, name) = self.take("sasl.mechanism").ok_or_else(|| with("sasl.mechanism")(self))?;
        let Some(mechanism) = Mechanism::ALL.into_iter().find(|known| known.name().eq_ignore_ascii_case(&name)) else {
            let known = Mechanism::ALL.map(Mechanism::name).join(", ");
            return Err(self.wrong(line, format!("`{name}` is not a mechanism known here: {known}")));
        };
        let (mut user, mut password) = (self.take("sasl.username"), self.take("sasl.password"));
        if let Some((line, login)) = self.take("sasl.jaas.config") {
            let option = |name| jaas_option(&login, name).map(|value| (line, value));
            user = user.or_else(|| option("username"));
            password = password.or_else(|| option("password"));
        }
        let user = user.ok_or_else(|| with("sasl.username")(self))?.1;
        let password = password.ok_or_else(|| with("sasl.password")(self))?.1;
        Ok(Credentials { mechanism, user, password })
    }
}

const KNOWN: &str = "security.protocol, sasl.mechanism, sasl.username, sasl.password, sasl.jaas.config, ssl.ca.location, \
                     ssl.certificate.location, ssl.key.location, and PEM files as ssl.truststore.location and \
                     ssl.keystore.location are";

/// An option of a login module: `… required username="x" password="y";`.
fn jaas_option(login: &str, name: &str) -> Option<String> {
    let mut rest = login;
    loop {
        let (before, after) = rest.split_once(name)?;
        let is_word = before.chars().next_back().is_none_or(char::is_whitespace);
        match after.trim_start().strip_prefix('=').map(str::trim_start) {
            Some(value) if is_word => {
                return Some(match value.strip_prefix('"') {
                    Some(quoted) => quoted.split('"').next()?.to_owned(),
                    None => value.split([' ', ';']).next()?.to_owned(),
                });
            }
            _ => rest = after,
        }
    }
}

/// The value with its `${env:NAME}` filled in, as Kafka's EnvVarConfigProvider does.
fn filled(value: &str, variable: impl Fn(&str) -> Option<String>) -> Result<String, String> {
    let (mut out, mut rest) = (String::new(), value);
    while let Some((before, after)) = rest.split_once("${env:") {
        let (name, behind) = after.split_once('}').ok_or("`${env:` without `}`")?;
        out += before;
        out += &variable(name).ok_or_else(|| format!("the environment variable {name} is not set"))?;
        rest = behind;
    }
    Ok(out + rest)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn read(text: &str) -> Result<Security, String> {
        let variable = |name: &str| (name == "SECRET").then(|| "from=outside".to_owned());
        let properties = Properties::of("client.properties".into(), text.as_bytes(), variable);
        properties
            .and_then(|properties| properties.security(Path::new("/etc/kafka")))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn both_clients_names_come_to_the_same() {
        let java = "security.protocol=SASL_SSL\nsasl.mechanism=SCRAM-SHA-512\n\
                    sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required \\\n  \
                    username=\"anna\" password=\"from=outside\";\n\
                    ssl.truststore.type=PEM\nssl.truststore.location=ca.pem\nacks=all\n";
        let librdkafka = "security.protocol = sasl_ssl\nsasl.mechanisms = SCRAM-SHA-512\n# whose\nsasl.username = anna\n\
                          sasl.password = ${env:SECRET}\nssl.ca.location = /etc/kafka/ca.pem\nbootstrap.servers = a:1\n";
        let java = read(java).unwrap();
        assert_eq!(java, read(librdkafka).unwrap());
        assert_eq!(java.to_string(), "SASL_SSL (SCRAM-SHA-512)");
        assert_eq!(java.credentials.as_ref().unwrap().password, "from=outside");
        assert_eq!(java.tls.as_ref().unwrap().authorities, Some("/etc/kafka/ca.pem".into()));
        assert!(!format!("{java:?}").contains("outside"), "{java:?}");
    }

    #[test]
    fn a_pem_key_store_is_certificate_and_key() {
        let read = read("security.protocol=SSL\nssl.keystore.type=PEM\nssl.keystore.location=/c.pem\n").unwrap();
        assert_eq!(read.tls.unwrap().certificate, Some(("/c.pem".into(), "/c.pem".into())));
        assert!(read.credentials.is_none());
    }

    #[rstest]
    #[case("acks=all", "client.properties: `security.protocol` is needed with a file of client properties")]
    #[case(
        "\nsecurity.protocol=TLS",
        "client.properties:2: `TLS` is no protocol: PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL"
    )]
    #[case("security.protocol=SASL_SSL", "`sasl.mechanism` is needed with security.protocol=SASL_SSL")]
    #[case(
        "security.protocol=SASL_SSL\nsasl.mechanism=GSSAPI",
        "client.properties:2: `GSSAPI` is not a mechanism known here: PLAIN, SCRAM-SHA-256, SCRAM-SHA-512"
    )]
    #[case("security.protocol=SASL_PLAINTEXT\nsasl.mechanism=PLAIN\nsasl.username=x", "`sasl.password` is needed")]
    #[case("security.protocol=SSL\nsasl.username=x", "client.properties:2: `sasl.username` has no meaning")]
    #[case(
        "security.protocol=SSL\nssl.truststore.location=trust.jks",
        "2: `ssl.truststore.location` without ssl.truststore.type=PEM is a JKS file: keytool"
    )]
    #[case(
        "security.protocol=SSL\nssl.keystore.type=PKCS12",
        "2: ssl.keystore.type=PKCS12: only PEM files are read: openssl"
    )]
    #[case(
        "security.protocol=SSL\nssl.key.location=k.pem",
        "`ssl.certificate.location` is needed with ssl.key.location"
    )]
    #[case("security.protocol=SSL\nssl.endpoint.identification.algorithm=", "2: brokers' names are always checked")]
    #[case(
        "security.protocol=SSL\nssl.cipher.suites=x",
        "2: `ssl.cipher.suites` is not understood: security.protocol,"
    )]
    #[case("security.protocol=SSL\nssl.key.password=${env:NOBODY}", "2: the environment variable NOBODY is not set")]
    fn what_cannot_be_followed_is_named(#[case] text: &str, #[case] expected: &str) {
        let error = read(text).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }

    #[test]
    fn an_option_is_a_word_of_its_own() {
        let login = r#"Module required my_username="no" username = plain password="a;b";"#;
        assert_eq!(jaas_option(login, "username").as_deref(), Some("plain"));
        assert_eq!(jaas_option(login, "password").as_deref(), Some("a;b"));
        assert_eq!(jaas_option(login, "token"), None);
    }
}
