//! The due times of intents, fixed in advance, independent of the server.
//!
//! A separate thread wakes the players: a runtime's timers have a resolution of a millisecond, which would count as
//! latency.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::Notify;

use super::scenario::{Scenario, Seat};

/// The due times of one player's intents.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Schedule {
    first: Duration,
    /// Time from one burst to the next.
    period: Duration,
    burst: u64,
    /// Number of intents.
    pub(crate) count: u64,
}

impl Schedule {
    /// Due time after the start of the intent with this number, counted from 0.
    pub(crate) fn due(&self, number: u64) -> Duration {
        self.first + self.period.mul_f64((number / self.burst) as f64)
    }
}

/// The schedules of all players, which start over the ramp. Each player has its own phase. Members of a party that are
/// due together share the phase of the first member.
pub(crate) fn schedules(
    scenario: &Scenario,
    seats: &[Seat],
    ramp: Duration,
    duration: Duration,
    seed: u64,
) -> Vec<Schedule> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut first = Duration::ZERO;
    let schedule = |(player, seat): (usize, &Seat)| {
        let conduct = seat.conduct(scenario);
        let burst = u64::from(conduct.burst_intents);
        let period = Duration::from_secs_f64(burst as f64 / conduct.intents_per_second);
        if seat.member == 0 || !conduct.due_together {
            first = ramp.mul_f64(player as f64 / seats.len() as f64) + period.mul_f64(rng.random());
        }
        let left = duration.saturating_sub(first).as_secs_f64();
        let count = (left / period.as_secs_f64()).ceil() as u64 * burst;
        Schedule { first, period, burst, count }
    };
    seats.iter().enumerate().map(schedule).collect()
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
    /// Number of intents due so far.
    pub(crate) fn due(&self) -> u64 {
        self.due.load(Ordering::Acquire)
    }

    /// Returns true if no more intents will become due.
    pub(crate) fn finished(&self) -> bool {
        self.finished.load(Ordering::Acquire)
    }

    /// Returns true if the player must leave at once.
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
///
/// `asked` counts all due intents. No player is told to finish before `end`, so that idle players keep their
/// connections.
#[expect(clippy::disallowed_methods, reason = "the thread waits for due times")]
pub(crate) fn run(start: Instant, players: &[(Schedule, Arc<Pace>)], asked: &AtomicU64, end: Instant) {
    let mut queue: BinaryHeap<Reverse<(Duration, usize, u64)>> = BinaryHeap::with_capacity(players.len());
    for (player, (schedule, _)) in players.iter().enumerate() {
        if schedule.count > 0 {
            queue.push(Reverse((schedule.due(0), player, 0)));
        }
    }
    while let Some(Reverse((due, player, number))) = queue.pop() {
        let wait = (start + due).saturating_duration_since(Instant::now());
        if !wait.is_zero() {
            std::thread::sleep(wait);
        }
        let (schedule, pace) = &players[player];
        let next = (number + schedule.burst).min(schedule.count);
        pace.due.store(next, Ordering::Release);
        asked.fetch_add(next - number, Ordering::Relaxed);
        if next < schedule.count {
            queue.push(Reverse((schedule.due(next), player, next)));
        }
        pace.wake.notify_one();
    }
    std::thread::sleep(end.saturating_duration_since(Instant::now()));
    for (_, pace) in players {
        pace.finished.store(true, Ordering::Release);
        pace.wake.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::super::scenario::seats;
    use super::*;

    fn scheduled(scenario: &str, players: u32, rate: f64, ramp: Duration, duration: Duration) -> Vec<(Seat, Schedule)> {
        let mut scenario = Scenario::delivered(scenario).expect("delivered").expect("good");
        scenario.overrule(Some(rate), None);
        let seats = seats(&scenario, players).expect("all players have a seat");
        let schedules = schedules(&scenario, &seats, ramp, duration, 1);
        assert_eq!(schedules, super::schedules(&scenario, &seats, ramp, duration, 1));
        seats.into_iter().zip(schedules).collect()
    }

    #[test]
    fn a_schedule_keeps_the_rate_and_the_ramp() {
        let (ramp, duration) = (Duration::from_secs(4), Duration::from_secs(20));
        let schedules = scheduled("casual", 100, 2.0, ramp, duration);
        for (player, (_, schedule)) in schedules.iter().enumerate() {
            let begin = ramp.mul_f64(player as f64 / 100.0);
            assert!(schedule.due(0) >= begin && schedule.due(0) < begin + Duration::from_millis(500));
            assert!(schedule.due(schedule.count - 1) < duration && schedule.due(schedule.count) >= duration);
        }
        let all: u64 = schedules.iter().map(|(_, schedule)| schedule.count).sum();
        assert!((3500..=3700).contains(&all), "{all} of 100 × 2 × 18 s");
    }

    #[test]
    fn bursts_keep_the_rate_and_a_party_is_due_together() {
        let duration = Duration::from_secs(30);
        let schedules = scheduled("raid", 10, 2.0, Duration::ZERO, duration);
        let all: u64 = schedules.iter().map(|(_, schedule)| schedule.count).sum();
        assert!((540..=660).contains(&all), "{all} of 10 × 2 × 30 s");
        for (seat, schedule) in &schedules {
            assert_eq!(schedule.due(5), schedule.due(0), "six at once");
            assert_eq!(schedule.due(6), schedule.due(0) + Duration::from_secs(3), "at 2 per second");
            let (_, leader) = schedules.iter().find(|(other, _)| other.party == seat.party).expect("a party");
            assert_eq!(schedule, leader);
        }
    }

    #[test]
    fn every_player_is_told_all_its_due_intents() {
        let mut schedules: Vec<_> = ["casual", "raid"]
            .into_iter()
            .flat_map(|scenario| scheduled(scenario, 5, 1000.0, Duration::ZERO, Duration::from_millis(20)))
            .map(|(_, schedule)| (schedule, Arc::new(Pace::default())))
            .collect();
        let nobody = Schedule { first: Duration::ZERO, period: Duration::ZERO, burst: 1, count: 0 };
        schedules.push((nobody, Arc::default()));
        let asked = AtomicU64::new(0);
        let begin = Instant::now();
        run(begin, &schedules, &asked, begin + Duration::from_millis(30));
        assert!(begin.elapsed() >= Duration::from_millis(30));
        assert_eq!(asked.into_inner(), schedules.iter().map(|(schedule, _)| schedule.count).sum::<u64>());
        for (schedule, pace) in schedules {
            assert_eq!((pace.due(), pace.finished()), (schedule.count, true));
        }
    }
}
