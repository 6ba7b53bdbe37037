//! Follows the list of effects at an HTTP endpoint: what it holds, since when, and whether all of it was seen.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use crate::clock::{Clock, Nanos};
use crate::plan::FROM;
use crate::subject::{Subject, Surroundings, http};
use crate::workload::{Effects, Followed};

/// How often it is asked: how finely an effect's time is known.
const EVERY: Duration = Duration::from_millis(100);
/// With the load off and its commits done: nothing new for so long means that this was all.
const QUIET: Duration = Duration::from_secs(1);
/// There is one list.
const LIST: i32 = 0;

/// The endpoint, and what is known of its list.
pub(super) struct Endpoint {
    /// With placeholders.
    url: String,
    surroundings: Surroundings,
    subject: Arc<dyn Subject>,
    effects: Arc<Effects>,
    clock: Clock,
    followed: Mutex<Followed>,
    /// Nothing is taken any more.
    over: CancellationToken,
}

impl Endpoint {
    pub fn new(
        url: String,
        surroundings: Surroundings,
        subject: Arc<dyn Subject>,
        effects: Arc<Effects>,
        clock: Clock,
    ) -> Self {
        let (followed, over) = (Mutex::default(), CancellationToken::new());
        Self { url, surroundings, subject, effects, clock, followed, over }
    }

    /// Asks again and again, until `stop`. Who does not answer (it is down, frozen, or cut off) is asked again.
    pub async fn follow(&self, stop: CancellationToken) {
        while !stop.is_cancelled() && !self.over.is_cancelled() {
            let _ = self.look().await;
            tokio::select! { () = stop.cancelled() => {}, () = tokio::time::sleep(EVERY) => {} }
        }
    }

    /// Waits until nothing new has come for a while; beyond `limit` the list counts as cut off.
    pub async fn to_its_end(&self, limit: Duration) {
        let deadline = self.clock.now() + limit.as_nanos() as Nanos;
        let (mut quiet_since, mut count) = (self.clock.now(), self.effects.count());
        while !self.over.is_cancelled() {
            let outcome = self.look().await;
            let now = self.clock.now();
            // Whoever of those that ask took them.
            let new = std::mem::replace(&mut count, self.effects.count()) != count;
            match &outcome {
                Ok(_) if !new && now.saturating_sub(quiet_since) >= QUIET.as_nanos() as Nanos => return,
                Ok(_) if !new => {}
                Ok(_) | Err(_) => quiet_since = now,
            }
            if now >= deadline {
                let limit = humantime::format_duration(limit);
                let seen = outcome.err().unwrap_or_else(|| "more kept coming".into());
                return self.effects.cut(LIST, format!("not read to its end within {limit}: {seen}"));
            }
            tokio::time::sleep(EVERY).await;
        }
    }

    /// Takes what came since, if it still answers, and nothing more from then on.
    pub async fn rest(&self, limit: Duration) {
        let deadline = self.clock.now() + limit.as_nanos() as Nanos;
        while self.clock.now() < deadline && self.look().await.is_ok_and(|new| new > 0) {}
        let _asked = self.followed.lock().await;
        self.over.cancel();
    }

    /// Asks once: how many effects are new. `Err`: there was no answer, or not of this list.
    async fn look(&self) -> Result<usize, String> {
        let mut followed = self.followed.lock().await;
        if self.over.is_cancelled() {
            return Err("it is over".into());
        }
        let (from, answer) = match self.ask(followed.from()).await {
            Ok(answered) => answered,
            Err(reason) => {
                self.effects.trouble(Some(reason.clone()));
                return Err(reason);
            }
        };
        let at = self.clock.now();
        match followed.take(from, &answer) {
            Ok(new) => {
                self.effects.trouble(None);
                new.iter().for_each(|entry| self.effects.entry(LIST, at, entry));
                Ok(new.len())
            }
            // What is there now is not what was counted: no later answer can mend that.
            Err(reason) => {
                let reason = format!("{} is not the list that it was: {reason}", self.url);
                self.effects.trouble(Some(reason.clone()));
                self.effects.cut(LIST, reason.clone());
                self.over.cancel();
                Err(reason)
            }
        }
    }

    /// The answer, and the place of its first entry.
    async fn ask(&self, from: usize) -> Result<(usize, String), String> {
        let placeholder = format!("{{{FROM}}}");
        // Without it in the URL the answer is the whole list.
        let from = if self.url.contains(&placeholder) { from } else { 0 };
        let url = |member| self.surroundings.fill(&self.url, member).replace(&placeholder, &from.to_string());
        if !self.url.contains("{member}") {
            return Ok((from, http::get(&url(0)).await?));
        }
        // Members show one list: the first that answers will do.
        let mut seen = format!("{}: no member runs", self.url);
        for member in self.subject.members().iter().filter(|member| member.ended.is_none()) {
            match http::get(&url(member.index)).await {
                Ok(answer) => return Ok((from, answer)),
                Err(reason) => seen = reason,
            }
        }
        Err(seen)
    }
}
