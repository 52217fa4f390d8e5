//! Due times of an open loop's intents.

use std::time::Duration;

use rand::RngExt;

/// Due times by connection: once per period, at a random but fixed point of it.
pub(crate) struct Schedule {
    begin: u64,
    period: u64,
    /// Points within the period with their connections, in order.
    turns: Vec<(u64, usize)>,
    next: usize,
}

impl Schedule {
    pub(crate) fn new(begin: u64, period: Duration, connections: usize) -> Self {
        let (mut rng, period) = (rand::rng(), nanoseconds(period));
        let mut turns: Vec<_> = (0..connections).map(|index| (rng.random_range(0..period), index)).collect();
        turns.sort_unstable();
        Self { begin, period, turns, next: 0 }
    }

    pub(crate) fn next(&self) -> (u64, usize) {
        let (lap, turn) = (self.next / self.turns.len(), self.next % self.turns.len());
        let (point, index) = self.turns[turn];
        (self.begin + lap as u64 * self.period + point, index)
    }

    pub(crate) fn advance(&mut self) {
        self.next += 1;
    }
}

/// A time as the schedule and the load count it.
pub(crate) fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
