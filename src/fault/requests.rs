//! Errors in the place of brokers' answers: ordered, seen in effect, counted.

use std::time::Duration;

use super::{FaultError, Field, Seen, Undo};
use crate::cluster::{Refusals, RequestErrors};
use crate::plan::api_key;
use crate::resilience::classify::error_code;

/// How long the application may take to ask for what is to be refused.
const REFUSED: Duration = Duration::from_secs(15);

/// Refuses requests, and sees the first of them refused; or all, where their number is told.
pub(super) async fn refuse(
    api: &str,
    error: &str,
    (rate, times): (Option<f64>, Option<u32>),
    field: &Field,
    seen: &mut Seen,
) -> Result<(Undo, String), FaultError> {
    let key = self::key(api)?;
    let code = error_code(error).and_then(|code| i16::try_from(code).ok());
    let code = code.ok_or_else(|| FaultError::NoSuchName(error.to_owned()))?;
    field.cluster.refuse_requests(RequestErrors { api: key, error: code, rate, times }).await?;
    let enough = times.map_or(1, u64::from);
    let refused = async {
        loop {
            let asked_at = field.clock.now();
            let so_far = field.cluster.refusals(key);
            if so_far.refused > 0 {
                seen.since.get_or_insert(asked_at);
            }
            if so_far.refused >= enough {
                return so_far;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let Ok(so_far) = tokio::time::timeout(REFUSED, refused).await else {
        let done = told(field.cluster.refusals(key), api, error);
        field.cluster.answer_requests(key).await?;
        return Err(FaultError::NobodyAsked { api: api.to_owned(), within: REFUSED, done });
    };
    let evidence = told(so_far, api, error);
    if times.is_some() {
        field.cluster.answer_requests(key).await?;
        return Ok((Undo::Nothing, evidence));
    }
    Ok((Undo::Answers { api: api.to_owned(), key, error: error.to_owned() }, evidence))
}

pub(super) fn key(api: &str) -> Result<i16, FaultError> {
    api_key(api).ok_or_else(|| FaultError::NoSuchName(api.to_owned()))
}

pub(super) fn told(refusals: Refusals, api: &str, error: &str) -> String {
    format!("{} of {} `{api}` requests were answered {error}", refusals.refused, refusals.asked)
}
