//! What one player has to do when, and how late it came to know.

use std::sync::Arc;
use std::time::Instant;

use super::super::pace::{Pace, Schedule};
use super::super::tally::us;
use super::mind::Score;

/// The due times of one player.
pub(in crate::load) struct Agenda {
    pace: Arc<Pace>,
    schedule: Schedule,
    taken: u64,
    /// Since when the player can take up what falls due.
    awake: Option<Instant>,
}

impl Agenda {
    /// Nothing is taken up yet.
    pub(in crate::load) fn new(pace: Arc<Pace>, schedule: Schedule) -> Self {
        Self { pace, schedule, taken: 0, awake: None }
    }

    /// A connection is open.
    pub(super) fn connected(&mut self, now: Instant) {
        self.awake = Some(now);
    }

    /// The due time of the next intent that has fallen due and was not taken up before.
    ///
    /// Notes how long it waited for this program. What fell due while there was no connection is not this program's fault.
    pub(super) fn take(&mut self, start: Option<Instant>, now: Instant, score: &Score) -> Option<Instant> {
        let start = start?;
        if self.taken >= self.pace.due() {
            return None;
        }
        let due = start + self.schedule.due(self.taken);
        self.taken += 1;
        if self.awake.is_some_and(|awake| awake <= due) {
            score.tally.lock().lateness.saturating_record(us(now.saturating_duration_since(due)));
        }
        Some(due)
    }

    /// All that will ever fall due was taken up.
    pub(super) fn is_finished(&self) -> bool {
        self.pace.finished() && self.taken == self.schedule.count
    }
}
