//! A list that grows at its end, as its answers tell it piece by piece.
//!
//! Owns which entries are new, and notices when it is not the list any more that it was. Must not know who is asked.

use std::hash::{DefaultHasher, Hash, Hasher};

/// What is known of the list.
#[derive(Debug, Default)]
pub struct Followed {
    /// A fingerprint of each entry.
    known: Vec<u64>,
}

impl Followed {
    /// The place to ask from: the last known entry's, so that it is seen to stand where it stood.
    pub fn from(&self) -> usize {
        self.known.len().saturating_sub(1)
    }

    /// Takes an answer, a line an entry, that begins with the entry at `from`, at most [`Followed::from`]. Returns the entries
    /// that are new. `Err`: the list is not the one that was known, and why.
    pub fn take<'a>(&mut self, from: usize, answer: &'a str) -> Result<Vec<&'a str>, String> {
        let mut entries = answer.lines().map(str::trim).filter(|line| !line.is_empty());
        for (place, known) in self.known.iter().enumerate().skip(from) {
            match entries.next() {
                None => return Err(format!("it ends at {place}, and had {} entries", self.known.len())),
                Some(entry) if fingerprint(entry) != *known => {
                    return Err(format!("number {place} is another entry than before: {}", shortened(entry)));
                }
                Some(_) => {}
            }
        }
        let new: Vec<&str> = entries.collect();
        self.known.extend(new.iter().map(|entry| fingerprint(entry)));
        Ok(new)
    }
}

fn fingerprint(entry: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    entry.hash(&mut hasher);
    hasher.finish()
}

fn shortened(entry: &str) -> String {
    const MOST: usize = 80;
    let start: String = entry.chars().take(MOST).collect();
    if start.len() < entry.len() { format!("{start}…") } else { start }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// However far each answer goes, and wherever it begins: every entry is new once, in order.
        #[test]
        fn every_entry_is_new_once(
            entries in prop::collection::vec("[a-c]{1,2}", 0..30),
            looks in prop::collection::vec((any::<bool>(), any::<prop::sample::Index>()), 0..12),
        ) {
            let mut followed = Followed::default();
            let (mut seen, mut len) = (Vec::new(), 0);
            let looks = looks.into_iter().map(|(whole, end)| (whole, Some(end))).chain([(true, None)]);
            for (whole, end) in looks {
                len = end.map_or(entries.len(), |end| end.index(entries.len() + 1)).max(len);
                let from = if whole { 0 } else { followed.from() };
                let answer: String = entries[from..len].iter().map(|entry| format!("{entry}\r\n\n")).collect();
                seen.extend(followed.take(from, &answer).unwrap().into_iter().map(str::to_owned));
                prop_assert_eq!(&seen, &entries[..len]);
            }
        }
    }

    #[test]
    fn a_list_that_lost_or_changed_what_it_had_is_another_list() {
        let mut followed = Followed::default();
        assert_eq!(followed.take(0, "").unwrap(), [""; 0]);
        assert_eq!(followed.from(), 0);
        assert_eq!(followed.take(0, "a\nb\n").unwrap(), ["a", "b"]);
        assert_eq!(followed.from(), 1);
        assert_eq!(followed.take(1, "b\nc").unwrap(), ["c"]);
        // A store in memory, after its crash.
        assert_eq!(followed.take(2, "").unwrap_err(), "it ends at 2, and had 3 entries");
        assert_eq!(followed.take(0, "a").unwrap_err(), "it ends at 1, and had 3 entries");
        // Something was put in before the end.
        assert_eq!(followed.take(2, "x\nc\n").unwrap_err(), "number 2 is another entry than before: x");
        assert_eq!(followed.take(2, "c\nd\n").unwrap(), ["d"]);
    }
}
