//! How long librdkafka may try one record. It owns two client properties, and must not know records.
//!
//! librdkafka drops a record that has waited `message.timeout.ms` in its queue and goes on with those behind it, which
//! are younger. Whoever sends the dropped one again then, as a new record, puts it behind later records of its key. So
//! nothing is sent again that timed out: all attempts together are librdkafka's, and the record keeps its place and its
//! sequence number, by which the broker recognises a repeat. A request without an answer is given up after the time
//! of one attempt, as before.

use rdkafka::ClientConfig;

use super::Limits;

/// By this name alone: `client_config` knows the other one.
const MESSAGE_TIMEOUT: &str = "message.timeout.ms";
const SOCKET_TIMEOUT: &str = "socket.timeout.ms";

/// librdkafka's default of both, in milliseconds.
const STOCK_MESSAGE_TIMEOUT: u64 = 300_000;
const STOCK_SOCKET_TIMEOUT: u64 = 60_000;

/// librdkafka's range of both.
const LONGEST: u64 = i32::MAX as u64;
const SHORTEST_SOCKET_TIMEOUT: u64 = 10;

/// Turns `message.timeout.ms` from the time of one attempt into that of all: times one more than the retries, at most
/// the retries' deadline, never less than it was. No limit (0) stays none, and what librdkafka would refuse is left for
/// it to refuse.
pub(super) fn stretch(config: &mut ClientConfig, limits: &Limits) {
    // Who accepts duplicates gets its second sends at once, and no promise of order.
    if limits.at_least_once {
        return;
    }
    let Some(attempt) = millis(config, MESSAGE_TIMEOUT, STOCK_MESSAGE_TIMEOUT).filter(|attempt| *attempt > 0) else {
        return;
    };
    let retry = &limits.retry;
    let deadline = retry.deadline.map_or(LONGEST, |limit| u64::try_from(limit.as_millis()).unwrap_or(LONGEST));
    let all = attempt.saturating_mul(u64::from(retry.max_retries) + 1).min(deadline).min(LONGEST);
    if all <= attempt {
        return;
    }
    config.set(MESSAGE_TIMEOUT, all.to_string());
    if let Some(socket) = millis(config, SOCKET_TIMEOUT, STOCK_SOCKET_TIMEOUT) {
        config.set(SOCKET_TIMEOUT, socket.min(attempt.max(SHORTEST_SOCKET_TIMEOUT)).to_string());
    }
}

fn millis(config: &ClientConfig, name: &str, stock: u64) -> Option<u64> {
    match config.get(name) {
        Some(value) => value.trim().parse().ok(),
        None => Some(stock),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::resilience::backoff::RetryConfig;
    use crate::resilience::client::by_first_names;

    fn stretched(properties: &[(&str, &str)], retry: RetryConfig, at_least_once: bool) -> [Option<String>; 2] {
        let properties = properties.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let mut config: ClientConfig = by_first_names(&properties).into_iter().collect();
        let max_wait = Duration::from_secs(1);
        let limits = Limits { retry, at_least_once, max_waiting: 1, max_wait, metrics: None };
        stretch(&mut config, &limits);
        config.create_native_config().expect("librdkafka takes it");
        assert_eq!(config.get("delivery.timeout.ms").filter(|_| config.get("message.timeout.ms").is_some()), None);
        ["message.timeout.ms", "socket.timeout.ms"].map(|name| config.get(name).map(str::to_owned))
    }

    fn retries(max_retries: u32, deadline: Option<u64>) -> RetryConfig {
        RetryConfig { max_retries, deadline: deadline.map(Duration::from_millis), ..RetryConfig::default() }
    }

    fn pair(message: &str, socket: &str) -> [Option<String>; 2] {
        [Some(message.into()), Some(socket.into())]
    }

    #[test]
    fn all_attempts_get_their_time_within_the_deadline() {
        let timeout = [("message.timeout.ms", "2000")];
        assert_eq!(stretched(&timeout, retries(8, None), false), pair("18000", "2000"));
        assert_eq!(stretched(&timeout, retries(8, Some(5_000)), false), pair("5000", "2000"));
        assert_eq!(stretched(&[("delivery.timeout.ms", "5")], retries(1, None), false), pair("10", "10"));
        assert_eq!(stretched(&[], retries(u32::MAX, None), false), pair(&i32::MAX.to_string(), "60000"));
        let both = [("message.timeout.ms", "9000"), ("socket.timeout.ms", "3000")];
        assert_eq!(stretched(&both, retries(1, None), false), pair("18000", "3000"));
    }

    #[test]
    fn nothing_changes_where_there_is_nothing_to_win() {
        let timeout = [("message.timeout.ms", "2000")];
        let unchanged = [Some("2000".to_owned()), None];
        assert_eq!(stretched(&timeout, retries(0, None), false), unchanged, "no retries");
        assert_eq!(stretched(&timeout, retries(8, Some(100)), false), unchanged, "a deadline below one attempt");
        assert_eq!(stretched(&timeout, retries(8, None), true), unchanged, "duplicates are accepted");
        assert_eq!(stretched(&[("message.timeout.ms", "0")], retries(8, None), false), [Some("0".to_owned()), None]);
    }
}
