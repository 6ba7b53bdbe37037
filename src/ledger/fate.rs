//! What became of a record: from its row, and from how far reads and commits came.

use super::{Ledger, Row};

/// How the sender's side stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// No send was ever begun.
    Never,
    /// Every attempt is known not to have happened.
    Failed,
    /// An attempt timed out in flight, or has no outcome at all.
    Indeterminate,
    Acked,
}

/// What became of an attempted record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Has every effect that it is owed, or a dead letter.
    Served,
    /// In the log, and left out on purpose: its key is one of those that the application drops.
    Filtered,
    /// Not acknowledged, and nobody read it: not committed, nothing is owed.
    Absent,
    LostInLog,
    LostInApp,
    /// Owed and not found, but the reads or the group did not come far enough to say that it is lost.
    Undetermined,
}

impl Ledger {
    /// What became of a record. Only for records that a send was begun for.
    pub fn fate(&self, row: Row<'_>) -> Fate {
        if row.served() {
            return Fate::Served;
        }
        // What has an effect was in the log: what it lacks the application has lost.
        if row.in_log() == 0 && !row.handled() {
            match (row.sent(), self.coverage.decides(row.tp(), row.offset(), row.acked())) {
                (Sent::Acked, true) => return Fate::LostInLog,
                // A member saw it where the final read did not come: it is in the log.
                (_, false) if row.delivered() > 0 => {}
                (Sent::Acked, false) => return Fate::Undetermined,
                _ => return Fate::Absent,
            }
        }
        match () {
            () if row.filtered() => Fate::Filtered,
            () if row.passed() && self.coverage.outputs_complete() => Fate::LostInApp,
            () => Fate::Undetermined,
        }
    }

    /// Records that a send was begun for, with what became of them.
    pub fn fates(&self) -> impl Iterator<Item = (Row<'_>, Fate)> {
        self.rows().filter(|row| row.sent() != Sent::Never).map(|row| (row, self.fate(row)))
    }
}
