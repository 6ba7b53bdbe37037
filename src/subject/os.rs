//! What the operating system tells of a member's process.

use std::time::Duration;

use super::SubjectError;

/// How long a signal's effect on a process is waited for.
pub(super) const PROCESS_LIMIT: Duration = Duration::from_secs(5);

/// Waits until the process is (or is no longer) stopped, by the kernel's account.
pub(super) async fn wait_for_state(
    member: u32,
    pid: u32,
    what: &'static str,
    stopped: bool,
) -> Result<(), SubjectError> {
    let path = format!("/proc/{pid}/stat");
    let mut last = String::new();
    let poll = async {
        loop {
            // `pid (name) state …`: the name may hold spaces and parentheses.
            let Ok(stat) = std::fs::read_to_string(&path) else {
                // No such account on this system (or the process is gone): the signal's own success has to do.
                return;
            };
            last = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().next()).unwrap_or("").to_owned();
            if (last == "T") == stopped {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let waited = tokio::time::timeout(PROCESS_LIMIT, poll).await;
    waited.map_err(|_| SubjectError::Timeout { member, what, limit: PROCESS_LIMIT, last: format!("state {last}") })
}
