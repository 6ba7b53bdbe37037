//! Every diagnostic's code, with the long text that `seaworthy explain CODE` prints. Codes are a promise: scripts
//! and editors match on them, so one is never renamed and never reused.

macro_rules! codes {
    ($($(#[doc = $doc:literal])* $name:ident = $code:literal: $text:literal;)*) => {
        $($(#[doc = $doc])* pub const $name: &str = $code;)*

        /// Code and explanation, in the order of this file.
        pub const ALL: &[(&str, &str)] = &[$(($code, $text)),*];
    };
}

/// The long explanation of a code; `None` if there is no such code.
pub fn explain(code: &str) -> Option<&'static str> {
    ALL.iter().find(|(known, _)| *known == code).map(|(_, text)| *text)
}

codes! {
/// The file is missing, or not text.
UNREADABLE = "unreadable":
"The file could not be read: it is missing, it may not be opened, or it is not UTF-8. TOML is UTF-8 by definition;
an editor that saved the file in another encoding must be told so.";

/// Not TOML.
SYNTAX = "syntax":
"The file is not valid TOML, so nothing in it could be checked yet. Text is quoted (\"6s\", not 6s), keys with
a dot in them too (\"retry.backoff.ms\" = 50 where the dot belongs to the name), a key is given once, and a table
such as [topic] is opened once. https://toml.io has the whole of it.";

/// A key that no table has.
UNKNOWN_KEY = "unknown-key":
"A key that Seaworthy does not know. It is an error and not ignored, because a fault or a budget that silently does
not count is the worst thing that a test can have. The message names the nearest known key, or all that the table
has. Keys are kebab-case: warm-up, not warm_up.";

/// A key that must be there is not.
MISSING_KEY = "missing-key":
"A key without which the scenario cannot be understood, and which has no sensible default.";

/// A number where text belongs, and the like.
WRONG_TYPE = "wrong-type":
"A value of another type than the key has: text for a number, one value for a list. Durations and sizes are text
with a unit (\"6s\", \"256B\"), so that no reader has to guess whether 6000 is milliseconds.";

/// A word outside a closed set.
UNKNOWN_WORD = "unknown-word":
"The key takes one of a few words, and this is none of them. The message names the nearest, or all.";

/// Not a duration.
BAD_DURATION = "bad-duration":
"A duration is a number and a unit, as text: \"250ms\", \"6s\", \"1.5s\", \"2m\", \"1h\", also \"1m 30s\". Units are
us, ms, s, m and h. Nothing in a scenario lasts longer than 24 hours.";

/// Not a size.
BAD_SIZE = "bad-size":
"A size is a whole number and a unit, as text: \"256B\", \"4KiB\", \"1MiB\" (1024 each), or \"4KB\", \"1MB\" (1000
each).";

/// A number that makes no sense there.
NUMBER_OUT_OF_RANGE = "number-out-of-range":
"The number is negative, or larger than the key allows. The message names the limits.";

/// Zero of something that there must be one of.
ZERO = "zero":
"None of something that the run cannot be without: no load, no topic partition, no member, no time. To leave a
fault out, take its [[fault]] table out: a scenario without faults is a control run.";

/// Not in 0..=1.
SHARE_OUT_OF_RANGE = "share-out-of-range":
"Shares are between 0 and 1, so a quarter is 0.25. A number above 1 is usually meant in percent.";

/// Not `topic/number`.
BAD_TOPIC_PARTITION = "bad-topic-partition":
"A topic partition is written as text, the topic's name, a slash, the number: \"orders/0\". Numbers start at 0.";

/// Not a target.
BAD_TARGET = "bad-target":
"What a fault is aimed at. Tables: { broker = 2 }, { leader-of = \"orders/0\" }, { follower-of = \"orders/0\" }.
Words: \"controller\", \"coordinator\" (of the subject's consumer group), \"one\", \"minority\", \"majority\", \"all\".
Exactly one of them. Roles are resolved when the fault is injected, and the broker that was hit is in the history.";

/// An override that has no place.
BAD_OVERRIDE = "bad-override":
"An override names the place of a value as in the file, with dots: --set workload.rate=800, --set topic.partitions=12,
--set fault.0.lasts=10s (faults count from 0, or by their label: fault.cut.lasts). Below cluster.config, subject.client
and subject.settings the rest is taken verbatim, dots and all. A new fault cannot be added this way.";

/// A fault that says not what it does.
FAULT_KIND_MISSING = "fault-kind-missing":
"A [[fault]] table has `at` and exactly one kind: network, slow-network, kill, stop, pause, rolling-restart,
move-leader, member, handler-errors, broker-errors, dead-letter-topic or poison. This one has none.";

/// Several harms in one table.
FAULT_KIND_SEVERAL = "fault-kind-several":
"A [[fault]] table is one harm, with its own time, label and line in the report. Several harms at once are several
[[fault]] tables with the same `at`.";

/// A fault that would never end.
LASTS_MISSING = "lasts-missing":
"The fault is a state that somebody has to end: a cut network, a paused broker, a failing handler. Without `lasts`
there would be no heal, hence no recovery to measure. Only what happens in an instant (a kill, a leader's move) or
brings its own end (a rolling restart) goes without.";

/// Two ends for one fault.
LASTS_AND_RESTART_AFTER = "lasts-and-restart-after":
"For a killed or stopped broker, and for a member, `lasts` means: started again after that time. `restart-after` means
the same. With both it is not clear which one counts. Keep one.";

/// Two faults of one name.
DUPLICATE_LABEL = "duplicate-label":
"Labels are how the history, the report and overrides tell faults apart, so each is used once. Without a label a fault
is called by kind and position, such as network-1.";

/// A fault repeated while it is still in force.
REPEAT_OVERLAPS = "repeat-overlaps":
"`every` counts from one injection to the next. The fault is to be injected again before it has healed, so the second
injection would do nothing and the first heal would end both. Make `every` longer than `lasts` (or `restart-after`).";

/// Two faults that undo each other.
FAULTS_OVERLAP = "faults-overlap":
"Two faults change the same thing of the same target at the same time: two cuts of one broker's network, a kill of a
paused broker. The first one to heal would end the other one too, and what is measured would be neither. Faults of
different sorts (a cut and failing handlers), of different targets, and cuts of opposite directions may overlap.";

/// A harm of size zero.
FAULT_WITHOUT_EFFECT = "fault-without-effect":
"As written the fault changes nothing: no latency, no rate, a share of 0. A run in which a fault has no effect proves
nothing and would end inconclusive. To leave a fault out, take out its table.";

/// A key that changes nothing here.
NO_EFFECT = "no-effect":
"The key is known but does nothing beside the others that are given. Seaworthy says so, because whoever wrote it
expected something of it. The scenario runs as if the key were not there.";

/// File and scenario have different names.
NAME_NOT_FILE_STEM = "name-not-file-stem":
"`name` is the file's name without .toml. Run folders, reports, `--filter` and the tests of `cargo test` are found by
this name; with two names somebody would look in the wrong file.";

/// Not kebab-case.
NOT_KEBAB_CASE = "not-kebab-case":
"Names and labels are lower-case letters, digits and single hyphens, beginning with a letter: leader-network-partition.
They become folder names, test names and parts of URLs.";

/// Kafka would refuse the topic.
BAD_TOPIC_NAME = "bad-topic-name":
"Kafka's topic names have letters, digits, '.', '_' and '-', and at most 249 of them. The input topic's name may have
245, since .out and .dlq are added to it for the output and the dead-letter topic.";

/// Not a version.
BAD_VERSION = "bad-version":
"`kafka` is the exact version of an image, such as \"4.1.0\". A moving tag like \"latest\" is refused: two runs could
then differ in Kafka itself without anybody having changed anything. Another image is named in full with `image`.";

/// More replicas than brokers.
REPLICATION_ABOVE_BROKERS = "replication-above-brokers":
"Each replica of a topic partition is on a broker of its own, so there cannot be more replicas than brokers. Kafka
would refuse to create the topic.";

/// More in-sync replicas than replicas.
MIN_INSYNC_ABOVE_REPLICATION = "min-insync-above-replication":
"With acks=all a write needs `min-insync-replicas` replicas in sync. There are never more than `replication` of them,
so every write would be refused.";

/// No such broker.
UNKNOWN_BROKER = "unknown-broker":
"Brokers are numbered from 1 to [cluster] brokers.";

/// No such topic.
UNKNOWN_TOPIC = "unknown-topic":
"A scenario has three topics: the input topic that [topic] names, its output NAME.out and its dead letters NAME.dlq.";

/// No such topic partition.
TOPIC_PARTITION_OUT_OF_RANGE = "topic-partition-out-of-range":
"Topic partitions are numbered from 0 to `partitions` minus 1.";

/// A role that nobody can have.
ROLE_CANNOT_EXIST = "role-cannot-exist":
"The fault is aimed at a role that nobody has in this cluster: a follower where there is one replica, a minority of fewer
than three brokers, another leader where no other replica is, a member of the group when all have left. The injection
would find nobody to hit.";

/// No such member.
MEMBER_OUT_OF_RANGE = "member-out-of-range":
"Members of the consumer group are numbered from 0 to [subject] members minus 1. \"any\" draws one from the seed.";

/// Members without work.
IDLE_MEMBERS = "idle-members":
"Each topic partition is read by one member of the group, so members beyond the number of topic partitions get none.
Faults that hit an idle member show nothing.";

/// Topic partitions without load.
IDLE_TOPIC_PARTITIONS = "idle-topic-partitions":
"All records of a key go to one topic partition, so with fewer keys than topic partitions some get no load. Nothing is
measured on those, and a fault aimed at the leader of one of them has no effect.";

/// Too few records to judge by.
THIN_LOAD = "thin-load":
"Recovery is judged per topic partition in a trailing window ([observation] window, 1 s). With fewer than five records
due in a window, one slow record decides whether the service was healthy. Raise `rate`, lower `partitions`, or widen
the window.";

/// A baseline within one window.
BASELINE_TOO_SHORT = "baseline-too-short":
"Health is relative to the baseline, which is judged in windows too. It must have at least two of them, and ten seconds
are a good length.";

/// The watch ends before the budget does.
OBSERVATION_TOO_SHORT = "observation-too-short":
"A recovery counts when health has held for `hold`. So the load must go on for at least the larger of twice the recovery
budget and the budget plus `hold`; else a recovery at the last permitted moment could not be told from none. Without
`after` in [observation] this time is chosen.";

/// Loss without a reason.
LOST_WITHOUT_BECAUSE = "lost-without-because":
"\"No acknowledged record was lost\" is the promise that Seaworthy is for. A scenario may permit losses (acks=1, say),
but has to say why, beside the number: because = \"…\". The sentence stands in every report.";

/// A recovery with nothing to recover from.
BUDGET_WITHOUT_FAULT = "budget-without-fault":
"Recovery, first success, drain and detection are measured from a fault's injection or heal. Without a fault there is
no such moment, and a budget on something that is not measured fails every run.";

/// A budget that nobody can keep.
BUDGET_BELOW_FLOOR = "budget-below-floor":
"Some times cannot be beaten under the timers that the scenario sets, or leaves at Kafka's stock values. A killed
broker is replaced only when the controller has missed its heartbeats for broker.session.timeout.ms (9 s, counted from
the last heartbeat, at most 2 s before the kill). A crashed member's topic partitions move when session.timeout.ms has
passed (45 s, heartbeats every 3 s). A cut of the clients from a leader lasts as long as it lasts. A smaller budget
fails always, and says nothing about the application. Shorten the timer, or raise the budget; the sum is in the message
and in `seaworthy plan`.";

/// Counting from a heal that never comes.
SINCE_HEAL_WITHOUT_HEAL = "since-heal-without-heal":
"The budget counts from the heal, but no fault of the scenario is healed before the load ends: add `lasts` or
`restart-after`, or count from the injection (since = \"inject\").";

/// Writes stay refused for ever.
RECOVERY_IMPOSSIBLE = "recovery-impossible":
"Brokers that are never started again leave fewer replicas than `min-insync-replicas`, so writes with acks=all stay
refused until the end and the service cannot recover. Start the broker again (`restart-after`), or give the topic one
more replica than it needs.";

/// More progress than records.
PROGRESS_IMPOSSIBLE = "progress-impossible":
"`progress-during-fault` asks for more records in a topic partition than are sent to it while the longest fault lasts, so
no run could keep it. Records are dealt out to topic partitions by their keys: leave room for an uneven deal, and for
those that are still under way when the fault is healed.";

/// Something awaited that cannot happen.
EXPECTATION_IMPOSSIBLE = "expectation-impossible":
"What [expect] lists must be seen, else the run is inconclusive. Here nothing in the scenario can make it happen, or a
budget forbids what is expected, so every run would end without a verdict.";

/// A property that the harness itself sets.
RESERVED_PROPERTY = "reserved-property":
"Seaworthy sets this property itself: addresses, listeners, node numbers and the group's name decide whether traffic
goes through the proxies. A scenario that changed them would make its faults a fiction.";

/// A setting that the components do not have, or not with this value.
BAD_SETTING = "bad-setting":
"[subject] settings overrides single values of the profile's settings, dotted as in a settings file: \"retry.max-retries\" = 8.
There is no such setting, or it cannot have this value, alone or beside the others. The message says which, and the
nearest name that there is.";

/// A property that librdkafka refuses.
BAD_CLIENT_PROPERTY = "bad-client-property":
"[subject] client (and `client.` in its settings) are properties of librdkafka, verbatim. It was asked, and knows no
property of this name or refuses the value; no client could be made. Names are those of librdkafka's CONFIGURATION.md:
\"session.timeout.ms\" = 6000.";

/// In the format, not in this version.
NOT_YET_SUPPORTED = "not-yet-supported":
"The scenario format has this, but this version of Seaworthy cannot do it yet. It is refused and not skipped, so that
no run claims what it did not test.";

/// The chosen backend lacks a capability.
UNSUPPORTED_BY_BACKEND = "unsupported-by-backend":
"The backend on which the scenario was to run cannot produce this fault. Containers (real brokers behind Toxiproxy) do
the most; the embedded backend has no replication and no processes to kill; an external cluster's brokers are not ours to
kill. Choose another with --backend, and name it in `requires` so that others do not try.";

/// The kind of subject lacks an ability.
UNSUPPORTED_BY_SUBJECT = "unsupported-by-subject":
"The application under test cannot be asked for this. A process or container of one's own is harmed and judged from outside: its
members can be crashed, stopped, frozen and added, its network cut, its records poisoned. Only the built-in pipeline has a
chaos engine in its handler, and tells the states of its circuit breaker.";

/// A name in braces that nothing stands for.
UNKNOWN_PLACEHOLDER = "unknown-placeholder":
"In `command` and `env` of a subject, a name in braces is replaced: {bootstrap} (addresses of the brokers, through the
proxies), {input}, {output}, {dead-letter} (topics), {group} (consumer group), {member} (its number, from 0) and {seed}; in `http` of `sink` {from} (the entry to begin with), too.
This name is none of them. Braces around anything but small letters and hyphens are left as they are.";

/// Not a URL that a probe can ask.
BAD_URL = "bad-url":
"`http` of a subject's `ready` is a URL that every member answers with a status of 2xx once it does its work:
{ http = \"http://127.0.0.1:808{member}/health\", within = \"60s\" }. Members are asked on this machine, without encryption. `url` of its
`metrics` and `http` of its `sink` are asked likewise.";

/// Not the name of a metric.
BAD_METRIC = "bad-metric":
"Each of `[subject.metrics] signals` has a name of one's own and says which of the metrics that the application exposes it is:
retries = 'orders_retries_total{topic=\"orders\"}'. A name as Prometheus has them, and in braces the labels that a series must
have; the series that fit are added up. Functions of Prometheus' query language are not known here.";

/// An expectation of a signal that nobody sends.
UNKNOWN_SIGNAL = "unknown-signal":
"`[expect] signals` speaks of what `[subject.metrics] signals` names: what some member's value must reach at least. A name that
stands only in one of the two is a slip.";

/// Not a place where an identity can be.
BAD_IDENTITY = "bad-identity":
"How a record is recognised in what the application writes: \"header\" (the header seaworthy-id is passed on), \"value\"
(the value is passed on as it was), or { json = \"/order/id\" }, a JSON pointer (RFC 6901) into the value: a slash before
each name, as in /order/id, and numbers for places in lists.";

/// A record key that does not occur.
UNKNOWN_RECORD_KEY = "unknown-record-key":
"`drops` of a subject names the record keys that the application leaves out on purpose. The workload's keys are k0 to k
and [workload] keys minus 1, so no record would ever have this one, and what was meant to be left out would be called
lost. The message names the nearest key that there is.";

/// An application that owes nothing.
EVERYTHING_DROPPED = "everything-dropped":
"`drops` of a subject names every key that the workload produces. No record would be owed an effect, so the run could not
show that anything is served, lost or back in time. Leave at least one key to be served, or raise [workload] keys.";

/// No backend of this version has all that it takes.
NO_BACKEND = "no-backend":
"The file is valid, but each backend that it may run on lacks something that a fault of it needs, so `seaworthy run` would
refuse it everywhere. The message says what is lacking where; `seaworthy plan` lists the needs.";

/// The file names other backends.
BACKEND_NOT_REQUIRED = "backend-not-required":
"`requires` lists the backends that may run the scenario, and the chosen one is not among them.";

/// More data than the backend keeps.
WORKLOAD_TOO_LARGE = "workload-too-large":
"The embedded backend keeps about 5 MiB of each topic partition and drops acknowledged records beyond that, which would
look like a loss that no application caused. Lower `rate`, `size` or the run's length, or raise `partitions`.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_unique_and_kebab_case() {
        for (index, (code, text)) in ALL.iter().enumerate() {
            assert!(ALL[..index].iter().all(|(other, _)| other != code), "{code} twice");
            assert!(code.split('-').all(|w| !w.is_empty() && w.bytes().all(|b| b.is_ascii_lowercase())), "{code}");
            assert!(text.len() > 40 && text.ends_with('.'), "{code} is not explained");
        }
        assert!(explain("budget-below-floor").is_some() && explain("no-such-code").is_none());
    }
}
