//! Pauses of players: the longest time from an intent to its answer, for each player and move.

use serde::Serialize;

use crate::load::Answer;

/// The pauses of some players in some windows of time, in milliseconds.
#[derive(Debug, Clone, Serialize)]
pub struct Pauses {
    /// Pauses: one for each player and window.
    pub count: usize,
    /// The median.
    pub p50_ms: f64,
    /// The 99th percentile.
    pub p99_ms: f64,
    /// The longest.
    pub max_ms: f64,
}

/// A window of time, and the players whose pauses in it count.
#[derive(Debug, Clone)]
pub(super) struct Window {
    /// Its first moment, in nanoseconds since the start of the load.
    pub(super) from: u64,
    /// Its end.
    pub(super) until: u64,
    /// True for each player who counts.
    pub(super) players: Vec<bool>,
}

/// The pauses in these windows; `None` if nobody played in them.
pub(super) fn pauses(windows: &[Window], answers: &[Answer]) -> Option<Pauses> {
    let mut all: Vec<u64> = windows.iter().flat_map(|window| window.longest(answers)).collect();
    all.sort_unstable();
    let at = |share: f64| {
        let place = (share * all.len() as f64).ceil() as usize;
        Some(*all.get(place.saturating_sub(1))? as f64 / 1e6)
    };
    Some(Pauses { count: all.len(), p50_ms: at(0.5)?, p99_ms: at(0.99)?, max_ms: at(1.0)? })
}

impl Window {
    /// The longest time from an intent that was due in this window to its answer, of each player who counts.
    fn longest(&self, answers: &[Answer]) -> Vec<u64> {
        let mut longest: Vec<Option<u64>> = vec![None; self.players.len()];
        for answer in answers.iter().filter(|answer| (self.from..self.until).contains(&answer.due)) {
            if self.players[answer.connection] {
                let pause = answer.at.saturating_sub(answer.due);
                let longest = &mut longest[answer.connection];
                *longest = Some(longest.map_or(pause, |longest| longest.max(pause)));
            }
        }
        longest.into_iter().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_players_pause_in_a_window_is_the_longest_wait_for_an_answer() {
        let answer =
            |connection, due: u64, wait: u64| Answer { connection, due: due * 1_000_000, at: (due + wait) * 1_000_000 };
        let answers = [
            answer(0, 99, 900),
            answer(0, 100, 3),
            answer(0, 150, 40),
            answer(0, 200, 800),
            answer(1, 110, 5),
            answer(1, 120, 2),
            answer(2, 130, 700),
        ];
        let window = |players: [bool; 4]| Window { from: 100_000_000, until: 200_000_000, players: players.to_vec() };
        let found = pauses(&[window([true, true, false, true])], &answers).expect("pauses");
        assert_eq!((found.count, found.p50_ms, found.p99_ms, found.max_ms), (2, 5.0, 40.0, 40.0));
        let found = pauses(&[window([true, false, true, false]), window([false, true, false, false])], &answers);
        let found = found.expect("pauses");
        assert_eq!((found.count, found.p50_ms, found.max_ms), (3, 40.0, 700.0));
        assert!(pauses(&[window([false; 4])], &answers).is_none());
    }
}
