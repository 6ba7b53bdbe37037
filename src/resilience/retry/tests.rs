use std::cell::RefCell;
use std::sync::Mutex;

use super::super::backoff::Jitter;
use super::super::classify::{Action, Persistence, classify_code};
use super::*;

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("code {0}")]
struct Code(i32);

impl Classify for Code {
    fn classify(&self) -> Classification {
        classify_code(self.0)
    }

    fn code(&self) -> Option<i32> {
        Some(self.0)
    }
}

const TRANSPORT: Code = Code(-195);
const TIMED_OUT_REQUEST: Code = Code(7);
const TOO_LARGE: Code = Code(10);

fn config() -> RetryConfig {
    RetryConfig { max_retries: 3, jitter: Jitter::None, ..Default::default() }
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Runs operations that answer by a script, and returns the result with the numbers that they were given.
async fn scripted(retry: &mut Retry, script: &[Result<u8, Code>]) -> (Result<u8, RetryError<Code>>, Vec<u32>) {
    let numbers = RefCell::new(Vec::new());
    let calls = RefCell::new(script.iter().copied());
    let cancel = CancellationToken::new();
    let run = retry.run(&cancel, |number| {
        numbers.borrow_mut().push(number);
        let answer = calls.borrow_mut().next().expect("no more calls than the script has");
        async move { answer }
    });
    let result = run.await;
    (result, numbers.into_inner())
}

#[tokio::test(start_paused = true)]
async fn a_success_ends_it_after_the_delays_in_between() {
    let begun = Instant::now();
    let mut retry = Retry::new(config(), Rng::new(1));
    let (result, numbers) = scripted(&mut retry, &[Err(TRANSPORT), Err(TIMED_OUT_REQUEST), Ok(7)]).await;
    assert_eq!((result, numbers), (Ok(7), vec![0, 1, 2]));
    assert_eq!(begun.elapsed().as_millis(), 300);
}

#[tokio::test(start_paused = true)]
async fn the_last_error_comes_back_when_retries_are_used_up() {
    let begun = Instant::now();
    let script = [Err(TRANSPORT), Err(TRANSPORT), Err(TRANSPORT), Err(TIMED_OUT_REQUEST)];
    let (result, _) = scripted(&mut Retry::new(config(), Rng::new(1)), &script).await;
    let error = result.unwrap_err();
    assert_eq!(error, RetryError::Exhausted { attempts: 4, last: TIMED_OUT_REQUEST });
    assert_eq!(error.to_string(), "all retries failed, attempts: 4, last error: code 7");
    assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "code 7");
    // No wait follows the last attempt.
    assert_eq!(begun.elapsed().as_millis(), 700);
}

#[tokio::test(start_paused = true)]
async fn an_error_that_may_not_be_retried_is_not() {
    let begun = Instant::now();
    let (result, numbers) = scripted(&mut Retry::new(config(), Rng::new(1)), &[Err(TRANSPORT), Err(TOO_LARGE)]).await;
    assert_eq!(result, Err(RetryError::NotRetriable { attempts: 2, error: TOO_LARGE }));
    assert_eq!(numbers.len(), 2);
    assert_eq!(begun.elapsed(), millis(100));
}

#[tokio::test(start_paused = true)]
async fn one_policy_serves_one_operation_after_the_other() {
    let mut retry = Retry::new(config(), Rng::new(1));
    for _ in 0..2 {
        let (result, _) = scripted(&mut retry, &[Err(TRANSPORT), Err(TRANSPORT), Err(TRANSPORT), Ok(1)]).await;
        assert_eq!(result, Ok(1));
    }
}

#[tokio::test(start_paused = true)]
async fn only_the_chosen_classes_are_retried() {
    // A request that timed out is retriable, an unreachable broker temporary.
    let mut retry = Retry::new(config(), Rng::new(1)).classes([Class::Retriable]);
    let (result, numbers) = scripted(&mut retry, &[Err(TIMED_OUT_REQUEST), Err(TRANSPORT)]).await;
    assert_eq!(result, Err(RetryError::NotRetriable { attempts: 2, error: TRANSPORT }));
    assert_eq!(numbers, [0, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_delay_that_would_pass_the_deadline_is_not_waited_for() {
    let begun = Instant::now();
    let mut retry = Retry::new(RetryConfig { deadline: Some(millis(250)), ..config() }, Rng::new(1));
    let (result, _) = scripted(&mut retry, &[Err(TRANSPORT), Err(TRANSPORT)]).await;
    assert_eq!(result, Err(RetryError::DeadlineExceeded { attempts: 2, last: Some(TRANSPORT) }));
    assert_eq!(begun.elapsed(), millis(100));
}

#[tokio::test(start_paused = true)]
async fn the_deadline_cuts_off_a_running_attempt() {
    let begun = Instant::now();
    let mut retry = Retry::new(RetryConfig { deadline: Some(millis(250)), ..config() }, Rng::new(1));
    let result: Result<(), RetryError<Code>> = retry.run(&CancellationToken::new(), |_| std::future::pending()).await;
    assert_eq!(result, Err(RetryError::DeadlineExceeded { attempts: 1, last: None }));
    assert_eq!(begun.elapsed().as_millis(), 250);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_past_its_limit_is_retried_and_says_so_at_the_end() {
    let begun = Instant::now();
    let config = RetryConfig { attempt_timeout: Some(millis(50)), max_retries: 1, ..config() };
    let mut retry = Retry::new(config, Rng::new(1));
    let result: Result<(), RetryError<Code>> = retry.run(&CancellationToken::new(), |_| std::future::pending()).await;
    let error = result.unwrap_err();
    assert_eq!(error, RetryError::TimedOut { attempts: 2, last: None });
    assert_eq!(error.classify().persistence, Persistence::Possibly);
    assert_eq!(begun.elapsed().as_millis(), 200);
}

#[tokio::test(start_paused = true)]
async fn cancelling_ends_a_wait_at_once_and_keeps_the_last_error() {
    let begun = Instant::now();
    let cancel = CancellationToken::new();
    let mut retry = Retry::new(RetryConfig { initial_delay: millis(10_000), ..config() }, Rng::new(1));
    let run = retry.run(&cancel, |_| async { Err::<(), _>(TRANSPORT) });
    let (result, ()) = tokio::join!(run, async {
        sleep(millis(70)).await;
        cancel.cancel();
    });
    assert_eq!(result, Err(RetryError::Cancelled { attempts: 1, last: Some(TRANSPORT) }));
    assert_eq!(begun.elapsed().as_millis(), 70);
}

#[tokio::test(start_paused = true)]
async fn cancelling_drops_the_running_attempt() {
    let cancel = CancellationToken::new();
    let held = Arc::new(());
    let mut retry = Retry::new(config(), Rng::new(1));
    let run = retry.run(&cancel, |_| {
        let held = Arc::clone(&held);
        async move {
            std::future::pending::<()>().await;
            drop(held);
            Err::<(), _>(TRANSPORT)
        }
    });
    let (result, during) = tokio::join!(run, async {
        sleep(millis(70)).await;
        let during = Arc::strong_count(&held);
        cancel.cancel();
        during
    });
    assert_eq!(result, Err(RetryError::Cancelled { attempts: 1, last: None }));
    assert_eq!((during, Arc::strong_count(&held)), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn nothing_begins_when_it_was_cancelled_before() {
    let cancel = CancellationToken::new();
    cancel.cancel();
    let mut retry = Retry::new(config(), Rng::new(1));
    let result: Result<(), RetryError<Code>> = retry.run(&cancel, |_| async { panic!("began") }).await;
    assert_eq!(result, Err(RetryError::Cancelled { attempts: 0, last: None }));
}

#[tokio::test(start_paused = true)]
async fn the_observer_sees_every_attempt_with_the_wait_that_follows() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let into = Arc::clone(&seen);
    let mut retry = Retry::new(config(), Rng::new(1)).observer(move |attempt| into.lock().unwrap().push(*attempt));
    let _ = scripted(&mut retry, &[Err(TRANSPORT), Ok(1)]).await;
    let failed = AttemptResult::Failed(TRANSPORT.classify());
    let took = Duration::ZERO;
    let expected = [
        Attempt { number: 0, result: failed, code: Some(-195), took, next_in: Some(millis(100)) },
        Attempt { number: 1, result: AttemptResult::Succeeded, code: None, took, next_in: None },
    ];
    assert_eq!(*seen.lock().unwrap(), expected);
}

#[derive(Debug, PartialEq, Eq)]
struct Refused(Duration);

impl Classify for Refused {
    fn classify(&self) -> Classification {
        Classification::new(Class::Temporary, Action::Wait, Persistence::Not)
    }

    fn refused_for(&self) -> Option<Duration> {
        Some(self.0)
    }
}

#[tokio::test(start_paused = true)]
async fn refusals_use_no_attempts_and_are_stayed_away_from_for_as_long_as_they_say() {
    let begun = Instant::now();
    let mut left = 20;
    let mut numbers = Vec::new();
    let mut retry = Retry::new(RetryConfig { max_retries: 0, ..config() }, Rng::new(1));
    let cancel = CancellationToken::new();
    let result = retry.run(&cancel, |number| {
        numbers.push(number);
        left -= 1;
        let answer = if left > 0 { Err(Refused(millis(1_000))) } else { Ok(()) };
        async move { answer }
    });
    assert_eq!(result.await, Ok(()));
    assert_eq!(numbers, [0; 20]);
    let waited = begun.elapsed();
    assert!((millis(19_000)..millis(19 * 1_101)).contains(&waited), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn refusals_end_at_the_deadline_and_at_cancelling() {
    let begun = Instant::now();
    let refuse = |_| async { Err::<(), _>(Refused(millis(400))) };
    let mut retry = Retry::new(RetryConfig { deadline: Some(millis(1_000)), ..config() }, Rng::new(1));
    let result = retry.run(&CancellationToken::new(), refuse).await;
    assert_eq!(result, Err(RetryError::DeadlineExceeded { attempts: 0, last: Some(Refused(millis(400))) }));
    assert!(begun.elapsed() < millis(1_000));

    let cancel = CancellationToken::new();
    let mut retry = Retry::new(config(), Rng::new(1));
    let (result, ()) = tokio::join!(retry.run(&cancel, refuse), async { cancel.cancel() });
    assert_eq!(result, Err(RetryError::Cancelled { attempts: 0, last: Some(Refused(millis(400))) }));
}

#[tokio::test(start_paused = true)]
async fn a_shared_budget_keeps_retries_to_a_share_of_the_calls() {
    let budget = Arc::new(RetryBudget::new(0.1, 10));
    let mut retry = Retry::new(config(), Rng::new(1)).budget(Arc::clone(&budget));
    let (mut attempts, mut out_of_budget) = (0, 0);
    for _ in 0..1_000 {
        let result = retry.run(&CancellationToken::new(), |_| async { Err::<(), _>(TRANSPORT) }).await;
        let error = result.unwrap_err();
        attempts += error.attempts();
        out_of_budget += u32::from(matches!(error, RetryError::BudgetExhausted { last: Some(TRANSPORT), .. }));
    }
    // 1000 calls, 10 retries saved at the start, 100 earned; without a budget it would be 4000 attempts.
    assert!((1_105..=1_110).contains(&attempts), "{attempts}");
    assert!(out_of_budget > 900, "{out_of_budget}");
    assert_eq!(budget.available(), 0);
}

#[test]
fn a_running_retry_can_move_between_threads() {
    fn is_send<T: Send>(_: &T) {}
    let cancel = CancellationToken::new();
    let mut retry = Retry::new(config(), Rng::new(1));
    let run = retry.run(&cancel, |_| async { Err::<(), _>(TRANSPORT) });
    is_send(&run);
}
