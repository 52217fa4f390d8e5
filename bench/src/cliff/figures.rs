//! The figures of the part `cliff`, as a table and as goals.

use std::fmt::Write as _;

use serde::Serialize;

use super::sizes::PLACES_PER_USER;
use crate::goal::Goal;
use crate::measure::Measured;
use crate::number::thousands;
use crate::series::Series;

/// The server with few characters, all in memory.
pub const FEW: &str = "few characters";
/// The server with many characters.
pub const MANY: &str = "many characters";
/// Neighbours of a character without a crowd.
pub const ALONE: &str = "alone";
/// Neighbours of a character with a crowd.
pub const HOT: &str = "crowd on one character of their shard";
/// The same neighbours while the crowd acts on characters in other shards.
pub const ELSEWHERE: &str = "crowd in other shards";

/// A game server that acts at random on a thousand of the characters in memory.
pub const ROAMING: &str = "64 × 1, 1,000 of those in memory";
/// The same on all of them. Only reported, not compared, because each flush then has many more rows.
pub const ROAMING_ALL: &str = "64 × 1, all of those in memory";
/// Neighbours in one shard.
pub const NEIGHBOURS: &str = "64 neighbours × 20/s";
/// A game server that acts at random on more characters than fit into memory.
pub const PRESSED: &str = "2,000/s, memory short";

/// The loads that compare few with many characters.
const COMPARED: [&str; 3] = ["64 × 1", "64 × 16", ROAMING];

/// Wanted rate with many characters, as a share of the rate with few. Rounds of one system differ by the rest.
const SHARE_OF_FEW: f64 = 0.90;

/// Largest factor by which a crowd on one character may raise the cost of an answer and the neighbours' latency.
const BY_ONE_CHARACTER: f64 = 1.10;

/// Wanted 99th percentile of the latency with little memory, in milliseconds.
const PRESSED_P99_MS: f64 = 25.0;

/// The figures of all cases.
#[derive(Debug, Default, Serialize)]
pub struct Cliff {
    /// Characters in the large database.
    pub rows: usize,
    /// Characters of it in memory.
    pub in_memory: usize,
    /// Places in memory that the server then reports as used: one for each character and one for each user.
    pub places: Option<f64>,
    /// Characters in use with little memory.
    pub pressed_users: usize,
    /// Characters that then fit into memory.
    pub room: usize,
    /// Places that the server then reports as freed.
    pub evictions: Option<f64>,
    /// The rounds.
    pub series: Vec<Series>,
}

impl Cliff {
    /// The goals.
    pub fn goals(&self) -> Vec<Goal> {
        let mut goals = Vec::new();
        // If they had left memory, the comparison would be void.
        let are_many = self.places.is_some_and(|places| places >= (PLACES_PER_USER * self.in_memory) as f64);
        for load in COMPARED {
            let share = self.ratio(load, MANY, FEW, |median| median.rate).filter(|_| are_many);
            goals.push(Goal::at_least(
                format!("{load}: rate with many characters, as a share of few"),
                SHARE_OF_FEW,
                share,
            ));
        }
        let cost = self.ratio(NEIGHBOURS, HOT, ELSEWHERE, Measured::cpu_us_an_answer);
        let what = "crowd on one character compared with other shards: CPU per answer".to_owned();
        goals.push(Goal::at_most(what, BY_ONE_CHARACTER, cost));
        let wait = self.ratio(NEIGHBOURS, HOT, ELSEWHERE, |median| median.p99_ms);
        let what = "crowd on one character compared with other shards: the neighbours' p99".to_owned();
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

    /// The figures for people.
    pub fn markdown(&self) -> String {
        let shown = |figure: Option<f64>| figure.map_or_else(|| "unknown".to_owned(), thousands);
        let [rows, in_memory, pressed, room] =
            [self.rows, self.in_memory, self.pressed_users, self.room].map(|number| thousands(number as f64));
        let mut text = format!(
            "\n## No cliff (SQLite)\n\nFew characters: 1,000, all in memory. Many: {rows} in the database, {in_memory} in \
             memory ({} places used). Memory short: room for {room}, {pressed} in use ({} places freed).\n\n\
             | load | with | per second | p50 | p99 | p99.9 | CPU per answer, µs | system's CPU | its core | crowd's answers per second \
             | load's core | load late (p99) | rounds |\n\
             | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n",
            shown(self.places),
            shown(self.evictions),
        );
        for Series { system, load, rounds, median } in &self.series {
            let Some(median) = median else {
                let _ =
                    writeln!(text, "| {load} | {system} | the load was the bottleneck |||||||||| {} |", rounds.len());
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
    fn many_characters_count_only_while_they_are_in_memory() {
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
    fn a_run_without_evictions_does_not_count_as_short_memory() {
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
