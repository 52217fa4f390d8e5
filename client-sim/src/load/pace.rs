//! When intents fall due: fixed before the first one, whatever the server does.
//!
//! A thread of its own wakes the players: a runtime's timers are a millisecond coarse, and would count as latency.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::Notify;

/// When the intents of one player fall due.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Schedule {
    first: Duration,
    period: Duration,
    /// How many.
    pub(crate) count: u64,
}

impl Schedule {
    /// When the intent with this number, from 0 on, falls due after the start.
    pub(crate) fn due(&self, number: u64) -> Duration {
        self.first + self.period.mul_f64(number as f64)
    }
}

/// The schedules of all players: at the same rate, each with a phase of its own, beginning over the ramp.
pub(crate) fn schedules(players: u32, rate: f64, ramp: Duration, duration: Duration, seed: u64) -> Vec<Schedule> {
    let mut rng = StdRng::seed_from_u64(seed);
    let period = Duration::from_secs_f64(1.0 / rate);
    (0..players)
        .map(|player| {
            let first = ramp.mul_f64(f64::from(player) / f64::from(players)) + period.mul_f64(rng.random());
            let left = duration.saturating_sub(first).as_secs_f64();
            let count = (left / period.as_secs_f64()).ceil() as u64;
            Schedule { first, period, count }
        })
        .collect()
}

/// Tells one player how many of its intents are due.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    due: AtomicU64,
    finished: AtomicBool,
    abandoned: AtomicBool,
    pub(crate) wake: Notify,
}

impl Pace {
    /// Intents due so far.
    pub(crate) fn due(&self) -> u64 {
        self.due.load(Ordering::Acquire)
    }

    /// No further intents will fall due.
    pub(crate) fn finished(&self) -> bool {
        self.finished.load(Ordering::Acquire)
    }

    /// The player is to leave at once.
    pub(crate) fn abandoned(&self) -> bool {
        self.abandoned.load(Ordering::Acquire)
    }

    /// Tells the player to leave at once.
    pub(crate) fn abandon(&self) {
        self.abandoned.store(true, Ordering::Release);
        self.wake.notify_one();
    }
}

/// Wakes every player at each of its due times, counted from `start`.
#[expect(clippy::disallowed_methods, reason = "a due time is the thing that is waited for")]
pub(crate) fn run(start: Instant, players: &[(Schedule, Arc<Pace>)]) {
    let mut queue: BinaryHeap<Reverse<(Duration, usize, u64)>> = BinaryHeap::with_capacity(players.len());
    for (player, (schedule, pace)) in players.iter().enumerate() {
        if schedule.count > 0 {
            queue.push(Reverse((schedule.due(0), player, 0)));
        } else {
            pace.finished.store(true, Ordering::Release);
        }
    }
    while let Some(Reverse((due, player, number))) = queue.pop() {
        let wait = (start + due).saturating_duration_since(Instant::now());
        if !wait.is_zero() {
            std::thread::sleep(wait);
        }
        let (schedule, pace) = &players[player];
        pace.due.store(number + 1, Ordering::Release);
        if number + 1 < schedule.count {
            queue.push(Reverse((schedule.due(number + 1), player, number + 1)));
        } else {
            pace.finished.store(true, Ordering::Release);
        }
        pace.wake.notify_one();
    }
    for (_, pace) in players {
        pace.wake.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_keep_the_rate_and_the_ramp() {
        let (ramp, duration) = (Duration::from_secs(4), Duration::from_secs(20));
        let schedules = schedules(100, 2.0, ramp, duration, 1);
        assert_eq!(schedules, super::schedules(100, 2.0, ramp, duration, 1));
        for (player, schedule) in schedules.iter().enumerate() {
            let begin = ramp.mul_f64(player as f64 / 100.0);
            assert!(schedule.due(0) >= begin && schedule.due(0) < begin + Duration::from_millis(500));
            assert!(schedule.due(schedule.count - 1) < duration && schedule.due(schedule.count) >= duration);
        }
        let all: u64 = schedules.iter().map(|schedule| schedule.count).sum();
        assert!((3500..=3700).contains(&all), "{all} of 100 × 2 × 18 s");
    }

    #[test]
    fn everybody_is_told_all_that_is_due() {
        let schedules = schedules(3, 1000.0, Duration::ZERO, Duration::from_millis(20), 1);
        let mut players: Vec<_> = schedules.into_iter().map(|schedule| (schedule, Arc::new(Pace::default()))).collect();
        players.push((Schedule { first: Duration::ZERO, period: Duration::ZERO, count: 0 }, Arc::default()));
        run(Instant::now(), &players);
        for (schedule, pace) in players {
            assert_eq!((pace.due(), pace.finished()), (schedule.count, true));
        }
    }
}
