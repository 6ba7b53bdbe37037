//! "Did you mean …?"

/// The known name that `given` was most likely meant to be, if any is near enough to be worth saying.
pub fn nearest<'k>(given: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let given = fold(given);
    let reach = (given.chars().count() / 3).clamp(1, 4);
    known
        .into_iter()
        .map(|name| (distance(&given, &fold(name)), name))
        .filter(|(distance, _)| *distance <= reach)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// `warmUp`, `warm_up` and `Warm-Up` are all `warm-up` written by somebody who came from another tool.
fn fold(name: &str) -> String {
    name.chars().filter(|c| !matches!(c, '-' | '_' | '.' | ' ')).flat_map(char::to_lowercase).collect()
}

/// Edit distance, except that a name which is the beginning of another is near to it ("repl" for "replication").
fn distance(given: &str, name: &str) -> usize {
    if given.len() >= 3 && (name.starts_with(given) || given.starts_with(name)) {
        return 1;
    }
    strsim::damerau_levenshtein(given, name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [&str; 5] = ["replication", "rate", "warm-up", "min-insync-replicas", "members"];

    #[test]
    fn a_slip_of_the_finger_is_recognised() {
        assert_eq!(nearest("replicatoin", KNOWN), Some("replication"));
        assert_eq!(nearest("raet", KNOWN), Some("rate"));
        assert_eq!(nearest("member", KNOWN), Some("members"));
    }

    #[test]
    fn another_spelling_of_the_same_words_is_recognised() {
        assert_eq!(nearest("warm_up", KNOWN), Some("warm-up"));
        assert_eq!(nearest("minInsyncReplicas", KNOWN), Some("min-insync-replicas"));
    }

    #[test]
    fn nothing_is_said_when_nothing_is_near() {
        assert_eq!(nearest("colour", KNOWN), None);
        assert_eq!(nearest("", KNOWN), None);
    }
}
