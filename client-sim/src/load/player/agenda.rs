//! The due intents of one player, and the delay until it handled them.

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
    /// Time since which the player can handle due intents.
    awake: Option<Instant>,
}

impl Agenda {
    /// An agenda at its start.
    pub(in crate::load) fn new(pace: Arc<Pace>, schedule: Schedule) -> Self {
        Self { pace, schedule, taken: 0, awake: None }
    }

    /// Handles an opened connection.
    pub(super) fn connected(&mut self, now: Instant) {
        self.awake = Some(now);
    }

    /// The due time of the next unhandled due intent.
    ///
    /// Records this program's delay, except for intents that became due without a connection.
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

    /// Returns true once all intents of the schedule were handled.
    pub(super) fn is_finished(&self) -> bool {
        self.pace.finished() && self.taken == self.schedule.count
    }
}
