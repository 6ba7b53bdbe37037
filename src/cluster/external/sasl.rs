//! Signing in to a broker on a fresh connection: SaslHandshake and SaslAuthenticate of Kafka's protocol around the
//! mechanism's own messages. Must not know TLS, nor where the credentials come from.

use std::io;

use rsasl::callback::{Context, Request, SessionCallback, SessionData};
use rsasl::prelude::{Mechname, MessageSent, SASLClient, SASLConfig, SessionError, State};
use rsasl::property::{AuthId, Password};
use tokio::io::{AsyncRead, AsyncWrite};

use super::security::Credentials;
use crate::cluster::wire::{Reader, WireError, Writer, error_name, malformed, read_frame, write_frame};

const HANDSHAKE: i16 = 17;
const AUTHENTICATE: i16 = 36;

/// Their answers are small.
const FRAME: std::ops::RangeInclusive<usize> = 4..=1 << 20;

/// More than any mechanism needs.
const TURNS: i32 = 10;

struct Told(Credentials);

impl SessionCallback for Told {
    fn callback(&self, _: &SessionData, _: &Context<'_>, asked: &mut Request<'_>) -> Result<(), SessionError> {
        asked.satisfy::<AuthId>(&self.0.user)?.satisfy::<Password>(self.0.password.as_bytes())?;
        Ok(())
    }
}

/// Signs in; afterwards the connection is as one without SASL. It lasts as long as the broker lets it
/// (`connections.max.reauth.ms`): clients connect anew after that.
pub(super) async fn sign_in(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    credentials: &Credentials,
) -> io::Result<()> {
    let name = credentials.mechanism.name();
    let mut body = Writer::default();
    body.string(name);
    let mut answer = ask(stream, HANDSHAKE, 1, 1, &body).await?;
    let code = answer.i16().map_err(unread)?;
    if code != 0 {
        let offered = answer.items(Reader::string).map_err(unread)?.join(", ");
        return Err(refused(format!("sasl.mechanism={name} is refused ({}); it offers {offered}", error_name(code))));
    }
    let config = SASLConfig::builder()
        .with_default_mechanisms()
        .with_callback(Told(credentials.clone()))
        .map_err(|error| io::Error::other(error.to_string()))?;
    let mechanism = Mechname::parse(name.as_bytes()).map_err(|error| io::Error::other(error.to_string()))?;
    let mut session =
        SASLClient::new(config).start_suggested([&mechanism]).map_err(|error| io::Error::other(error.to_string()))?;
    let mut heard: Option<Vec<u8>> = None;
    for turn in 2..TURNS {
        let mut message = Vec::new();
        let state = session
            .step(heard.as_deref(), &mut message)
            .map_err(|error| refused(format!("{name}: the broker's answer is wrong: {error}")))?;
        if let State::Running | State::Finished(MessageSent::Yes) = state {
            heard = Some(say(stream, turn, name, &message).await?);
        }
        if state.is_finished() {
            return Ok(());
        }
    }
    Err(malformed("an exchange without an end"))
}

/// One message of the mechanism; the broker's answer.
async fn say(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    correlation: i32,
    name: &str,
    message: &[u8],
) -> io::Result<Vec<u8>> {
    let mut body = Writer::default();
    body.i32(message.len() as i32).raw(message);
    let mut answer = ask(stream, AUTHENTICATE, 0, correlation, &body).await?;
    let code = answer.i16().map_err(unread)?;
    let reason = answer.string().map_err(unread)?;
    if code != 0 {
        let reason = if reason.is_empty() { String::new() } else { format!(": {reason}") };
        return Err(refused(format!("{name}: {}{reason}", error_name(code))));
    }
    let length = answer.i32().map_err(unread)?.max(0) as usize;
    Ok(answer.take(length).map_err(unread)?.to_vec())
}

async fn ask(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    api: i16,
    version: i16,
    correlation: i32,
    body: &Writer,
) -> io::Result<Reader> {
    let mut frame = Writer::default();
    frame.i16(api).i16(version).i32(correlation).string("seaworthy").append(body);
    write_frame(stream, frame.as_bytes()).await?;
    let answer = match read_frame(stream, FRAME).await {
        // A listener with TLS answers with an alert of TLS.
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            Err(refused("the answer is not Kafka's: if that listener wants TLS, write security.protocol=SASL_SSL"))
        }
        Err(error) => Err(error),
        Ok(None) => {
            Err(refused("the broker closed the connection instead of answering: is that listener one with SASL?"))
        }
        Ok(Some(answer)) => Ok(answer),
    };
    let mut answer = Reader::new(answer?);
    if answer.i32().map_err(unread)? != correlation {
        return Err(malformed("another request's reply"));
    }
    Ok(answer)
}

fn refused(reason: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, reason.into())
}

fn unread(error: WireError) -> io::Error {
    malformed(&error.to_string())
}
