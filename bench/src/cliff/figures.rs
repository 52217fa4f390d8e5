//! What came of it, as a table and as goals.

use std::fmt::Write as _;

use serde::Serialize;

use super::PLACES_A_USER;
use crate::goals::Goal;
use crate::measure::Measured;
use crate::report::{Series, thousands};

/// The server with few characters, all in memory.
pub const FEW: &str = "few characters";
/// The server with many.
pub const MANY: &str = "many characters";
/// Neighbours of a character that nobody wants.
pub const ALONE: &str = "alone";
/// Neighbours of a character that a crowd acts on.
pub const HOT: &str = "crowd at one character of their shard";
/// The same neighbours while the crowd acts on a character each, in other shards.
pub const ELSEWHERE: &str = "crowd in other shards";

/// A game server that acts on a thousand characters of those in memory, at random.
pub const ROAMING: &str = "64 × 1, 1,000 of those in memory";
/// The same on all of them. Each flush then has many times the rows, so it is told and not compared.
pub const ROAMING_ALL: &str = "64 × 1, all of those in memory";
/// Those who live in one shard.
pub const NEIGHBOURS: &str = "64 neighbours × 20/s";
/// A game server that acts on more characters than there is room for, at random.
pub const PRESSED: &str = "2,000/s, memory short";

/// The loads that few and many characters are compared under.
const COMPARED: [&str; 3] = ["64 × 1", "64 × 16", ROAMING];

/// Share of the rate with few characters that is wanted with many: rounds of one system differ by as much as the rest.
const SHARE_OF_FEW: f64 = 0.90;

/// How much dearer an answer may get, and how much later the neighbours' may come, by the crowd being at one character.
const BY_ONE_CHARACTER: f64 = 1.10;

/// Latency that is wanted at 99 of a hundred while memory is short, in milliseconds.
const PRESSED_P99_MS: f64 = 25.0;

/// Figures of all cases.
#[derive(Debug, Default, Serialize)]
pub struct Cliff {
    /// Characters in the database where they are many.
    pub rows: usize,
    /// Characters of these in memory.
    pub in_memory: usize,
    /// Places that the server says are taken in memory then: one for each character and one for each user.
    pub places: Option<f64>,
    /// Characters that are acted on while memory is short.
    pub pressed_users: usize,
    /// Characters that there is room for then.
    pub room: usize,
    /// Places that the server says it has freed then.
    pub evictions: Option<f64>,
    /// The rounds.
    pub series: Vec<Series>,
}

impl Cliff {
    /// What is wanted and what was reached.
    pub fn goals(&self) -> Vec<Goal> {
        let mut goals = Vec::new();
        // Where they had left memory they were not many.
        let are_many = self.places.is_some_and(|places| places >= (PLACES_A_USER * self.in_memory) as f64);
        for load in COMPARED {
            let share = self.ratio(load, MANY, FEW, |median| median.rate).filter(|_| are_many);
            goals.push(Goal::at_least(format!("{load}: rate with many characters beside few"), SHARE_OF_FEW, share));
        }
        let cost = self.ratio(NEIGHBOURS, HOT, ELSEWHERE, Measured::cpu_us_an_answer);
        let what = "a crowd at one character beside one in other shards: CPU an answer".to_owned();
        goals.push(Goal::at_most(what, BY_ONE_CHARACTER, cost));
        let wait = self.ratio(NEIGHBOURS, HOT, ELSEWHERE, |median| median.p99_ms);
        let what = "a crowd at one character beside one in other shards: the neighbours' p99".to_owned();
        goals.push(Goal::at_most(what, BY_ONE_CHARACTER, wait));
        // Without evictions memory was not short.
        let is_pressed = self.evictions.is_some_and(|evictions| evictions > 0.0);
        let p99 = self
            .find(PRESSED, MANY)
            .and_then(|series| series.median.as_ref())
            .filter(|_| is_pressed)
            .map(|median| median.p99_ms);
        goals.push(Goal::at_most(format!("{PRESSED}: p99 in ms"), PRESSED_P99_MS, p99));
        goals
    }

    fn find(&self, load: &str, system: &str) -> Option<&Series> {
        self.series.iter().find(|series| series.load == load && series.system == system)
    }

    fn ratio(&self, load: &str, of: &str, to: &str, figure: impl Fn(&Measured) -> f64) -> Option<f64> {
        self.find(load, of)?.ratio_to(self.find(load, to)?, figure)
    }

    /// The figures for a person.
    pub fn markdown(&self) -> String {
        let shown = |figure: Option<f64>| figure.map_or_else(|| "unknown".to_owned(), thousands);
        let [rows, in_memory, pressed, room] =
            [self.rows, self.in_memory, self.pressed_users, self.room].map(|number| thousands(number as f64));
        let mut text = format!(
            "\n## No cliff (SQLite)\n\nFew characters: 1,000, all in memory. Many: {rows} in the database, {in_memory} in \
             memory ({} places taken). Memory short: room for {room}, acted on {pressed} ({} places freed).\n\n\
             | load | with | a second | p50 | p99 | p99.9 | CPU an answer, µs | system's CPU | its core | crowd's answers a second \
             | load's core | load late (p99) | rounds |\n\
             | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n",
            shown(self.places),
            shown(self.evictions),
        );
        for Series { system, load, rounds, median } in &self.series {
            let Some(median) = median else {
                let _ = writeln!(text, "| {load} | {system} | the load was the limit |||||||||| {} |", rounds.len());
                continue;
            };
            let _ = writeln!(
                text,
                "| {load} | {system} | {} | {:.3} | {:.3} | {:.3} | {:.2} | {:.2} | {:.2} | {} | {:.2} | {:.3} | {} of {} |",
                thousands(median.rate),
                median.p50_ms,
                median.p99_ms,
                median.p999_ms,
                median.cpu_us_an_answer(),
                median.server_cpu,
                median.server_core,
                thousands(median.crowd_rate),
                median.load_core,
                median.lateness_p99_ms,
                rounds.iter().filter(|round| !round.is_of_the_load()).count(),
                rounds.len(),
            );
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_characters_count_as_many_while_they_are_in_memory() {
        let series = [(FEW, 100.0), (MANY, 95.0)]
            .map(|(system, rate)| Series::new(system, COMPARED[0].to_owned(), vec![Measured::of_rate(rate, 0.5)]));
        let measured = |places| {
            let cliff = Cliff { in_memory: 10, places, series: series.to_vec(), ..Cliff::default() };
            cliff.goals()[0].measured
        };
        assert_eq!(measured(Some(20.0)), Some(0.95));
        assert_eq!(measured(Some(19.0)), None);
        assert_eq!(measured(None), None);
    }

    #[test]
    fn memory_that_was_not_short_says_nothing_of_short_memory() {
        let series = vec![Series::new(MANY, PRESSED.to_owned(), vec![Measured::of_rate(1.0, 0.5)])];
        let measured = |evictions| {
            let cliff = Cliff { evictions, series: series.clone(), ..Cliff::default() };
            cliff.goals().last().and_then(|goal| goal.measured)
        };
        assert_eq!(measured(Some(1.0)), Some(1.0));
        assert_eq!(measured(Some(0.0)), None);
        assert_eq!(measured(None), None);
    }
}
