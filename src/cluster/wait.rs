//! Bounded polling of a fact: the only way that this layer waits.

use std::fmt::Display;
use std::future::Future;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval, timeout};

/// Between two looks.
const POLL: Duration = Duration::from_millis(40);

/// Looks until `look` succeeds or the time is over; the error is the last thing seen.
pub(crate) async fn until<T, E: Display, F: Future<Output = Result<T, E>>>(
    within: Duration,
    mut look: impl FnMut() -> F,
) -> Result<T, String> {
    let mut last = None;
    let polling = async {
        let mut ticks = interval(POLL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            match look().await {
                Ok(found) => return found,
                Err(e) => last = Some(e.to_string()),
            }
        }
    };
    match timeout(within, polling).await {
        Ok(found) => Ok(found),
        Err(_) => Err(last.unwrap_or_else(|| "nothing: the first look did not end".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_returns_what_was_found() {
        let mut looks = 0;
        let found = until(Duration::from_secs(5), || {
            looks += 1;
            let seen = looks;
            async move { if seen == 3 { Ok(seen) } else { Err("not yet") } }
        });
        assert_eq!(found.await, Ok(3));
    }

    #[tokio::test(start_paused = true)]
    async fn it_gives_up_in_time_and_says_what_it_saw_last() {
        let start = tokio::time::Instant::now();
        let outcome: Result<(), _> = until(Duration::from_secs(5), || async { Err("two of three brokers") }).await;
        assert_eq!(outcome, Err("two of three brokers".to_owned()));
        assert!(start.elapsed() < Duration::from_millis(5_100), "{:?}", start.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_that_hangs_is_cut_off() {
        let outcome: Result<(), _> = until(Duration::from_secs(1), std::future::pending::<Result<(), String>>).await;
        assert!(outcome.unwrap_err().contains("did not end"));
    }
}
