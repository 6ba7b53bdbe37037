//! Requests of Kafka's protocol that a fault can aim at.

/// Their names in scenario files, and their API keys.
const REQUESTS: [(&str, i16); 18] = [
    ("produce", 0),
    ("fetch", 1),
    ("list-offsets", 2),
    ("metadata", 3),
    ("offset-commit", 8),
    ("offset-fetch", 9),
    ("find-coordinator", 10),
    ("join-group", 11),
    ("heartbeat", 12),
    ("leave-group", 13),
    ("sync-group", 14),
    ("create-topics", 19),
    ("init-producer-id", 22),
    ("add-partitions-to-txn", 24),
    ("add-offsets-to-txn", 25),
    ("end-txn", 26),
    ("txn-offset-commit", 28),
    ("consumer-group-heartbeat", 68),
];

/// The names alone.
pub const REQUEST_NAMES: [&str; REQUESTS.len()] = {
    let mut names = [""; REQUESTS.len()];
    let mut at = 0;
    while at < names.len() {
        names[at] = REQUESTS[at].0;
        at += 1;
    }
    names
};

/// The API key of a request, by its kebab-case name.
pub fn api_key(name: &str) -> Option<i16> {
    REQUESTS.iter().find(|(known, _)| *known == name).map(|(_, key)| *key)
}
