//! The figures of the part `cluster`, for people and for its goals.

use std::fmt::Write as _;

use serde::Serialize;

use super::moves::Moves;
use super::pauses::Pauses;
use crate::goal::Goal;
use crate::measure::Measured;
use crate::number::thousands;
use crate::series::{Series, middle};

/// Places of the processes in [`Measured::cpu_of_each`].
const GATEWAY: usize = 0;
const NODE: usize = 1;

/// Wanted share of `serve`'s rate, and the loads for which it is wanted.
const RATE_SHARE: f64 = 0.5;
const RATE_LOADS: [&str; 2] = ["1,000 × 1", "64 × 16"];

/// Wanted share of `serve`'s processor time for an intent, of a node alone.
const CPU_SHARE: f64 = 0.5;

/// Wanted pauses of players whose shard moves, in milliseconds.
const PAUSE_P99_MS: f64 = 50.0;
const PAUSE_MAX_MS: f64 = 250.0;

/// The figures of the part.
#[derive(Debug, Serialize)]
pub struct Cluster {
    /// Memory of idle connections.
    pub memory: Memory,
    /// Closed loops: first with gateway and node on one core, then with the gateway on another.
    pub loops: Vec<Loops>,
    /// True if that other core was not the load's.
    pub gateway_has_a_core: bool,
    /// Moves of shards.
    pub moves: Vec<Moves>,
}

/// Resident bytes per idle logged-in connection.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Memory {
    /// Open connections.
    pub connections: usize,
    /// Of the server.
    pub serve: f64,
    /// Of the gateway.
    pub gateway: f64,
    /// Of the node.
    pub node: f64,
}

/// One load on two systems.
#[derive(Debug, Serialize)]
pub struct Loops {
    /// The server.
    pub serve: Series,
    /// Gateway and node.
    pub split: Series,
}

impl Loops {
    /// The processor time of a process of the split system for an intent, in microseconds, and its ratio to the server's:
    /// medians over all rounds, because the load's limit does not change them much.
    fn cpu(&self, process: usize) -> (f64, f64) {
        let of_split = |round: &Measured| round.cpu_of_each[process] / round.rate * 1e6;
        let (serve, split) = (&self.serve.rounds, &self.split.rounds);
        let ratios = split.iter().zip(serve).map(|(split, serve)| of_split(split) / serve.cpu_us_an_answer());
        (middle(split.iter().map(of_split).collect()), middle(ratios.collect()))
    }

    fn rate_share(&self) -> Option<f64> {
        self.split.ratio_to(&self.serve, |measured| measured.rate)
    }

    fn row(&self) -> String {
        let all = |series: &Series, figure: fn(&Measured) -> f64| middle(series.rounds.iter().map(figure).collect());
        let rate = |series: &Series| {
            let limit = if series.median.is_none() { " (the load's limit)" } else { "" };
            format!("{}{limit}", thousands(all(series, |round| round.rate)))
        };
        let share = self.rate_share().map_or("–".to_owned(), |share| format!("{share:.2}"));
        let ((gateway, _), (node, node_share)) = (self.cpu(GATEWAY), self.cpu(NODE));
        format!(
            "| {} | {} | {} | {} | {share} | {:.2} | {gateway:.2} | {node:.2} | {node_share:.2} | {:.3} | {:.3} |\n",
            self.split.load,
            self.split.system,
            rate(&self.serve),
            rate(&self.split),
            all(&self.serve, Measured::cpu_us_an_answer),
            all(&self.serve, |round| round.p99_ms),
            all(&self.split, |round| round.p99_ms),
        )
    }
}

impl Cluster {
    /// The figures for people.
    pub fn markdown(&self) -> String {
        let Memory { connections, serve, gateway, node } = self.memory;
        let mut text =
            "\n## Several machines (PostgreSQL)\n\nCPU is for one intent, in µs; the share is the node's to \
                        `serve`'s."
                .to_owned();
        if !self.gateway_has_a_core {
            text += " The other core of the gateway is the load's.";
        }
        text += "\n\n| load | system | `serve`, per second | per second | share | CPU of `serve` | of the gateway | of \
                 the node | share | p99 of `serve` | p99 |\n\
                 | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n";
        self.loops.iter().for_each(|loops| text += &loops.row());
        let _ = writeln!(
            text,
            "\nBytes per idle logged-in connection, {} open: `serve` {serve:.0}, gateway {gateway:.0}, node {node:.0}.",
            thousands(connections as f64)
        );
        if !self.moves.is_empty() {
            text += "\n### Moves\n\nA node is drained and gets its shards back. A pause is a player's longest wait for an \
                     answer in one move, in milliseconds: p50, p99, longest.\n\n\
                     | players in | orders | shards moved | called off | seconds an order | players who moved | the \
                     others | between moves | closed | resent |\n\
                     | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n";
        }
        for moves in &self.moves {
            let Moves { shards, orders, moved, called_off, seconds, closed, resent, .. } = moves;
            let _ = writeln!(
                text,
                "| {shards} | {orders} | {moved} | {called_off} | {seconds:.1} | {} | {} | {} | {} | {resent} |",
                shown(moves.pauses.as_ref()),
                shown(moves.of_others.as_ref()),
                shown(moves.quiet.as_ref()),
                closed.len(),
            );
        }
        for reason in self.moves.iter().flat_map(|moves| &moves.closed).take(10) {
            let _ = writeln!(text, "\nClosed: {reason}");
        }
        text
    }

    /// The goals.
    pub fn goals(&self) -> Vec<Goal> {
        let mut goals = Vec::new();
        let of = |system| self.loops.iter().filter(move |loops| loops.split.system == system);
        for loops in of(super::TOGETHER).filter(|loops| RATE_LOADS.contains(&loops.split.load.as_str())) {
            let what = format!("gateway and node on one core, {}: share of `serve`", loops.split.load);
            goals.push(Goal::at_least(what, RATE_SHARE, loops.rate_share()));
        }
        for loops in of(super::APART) {
            let what = format!("node alone, {}: CPU for an intent, share of `serve`'s", loops.split.load);
            goals.push(Goal::at_most(what, CPU_SHARE, Some(loops.cpu(NODE).1)));
        }
        for moves in &self.moves {
            let pauses = moves.pauses.as_ref();
            let figures = [
                ("p99 of the pauses in ms", PAUSE_P99_MS, pauses.map(|pauses| pauses.p99_ms)),
                ("longest pause in ms", PAUSE_MAX_MS, pauses.map(|pauses| pauses.max_ms)),
                ("closed sockets", 0.0, Some(moves.closed.len() as f64)),
                ("resent intents", 0.0, Some(moves.resent as f64)),
            ];
            goals.extend(figures.map(|(what, wanted, measured)| {
                Goal::at_most(format!("moves, players in {}: {what}", moves.shards), wanted, measured)
            }));
        }
        goals
    }
}

fn shown(pauses: Option<&Pauses>) -> String {
    pauses
        .map_or("–".to_owned(), |pauses| format!("{:.1}, {:.1}, {:.1}", pauses.p50_ms, pauses.p99_ms, pauses.max_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(system: &'static str, rate: f64, cpu_of_each: &[f64]) -> Series {
        let cpu = cpu_of_each.iter().sum();
        let round = Measured { server_cpu: cpu, cpu_of_each: cpu_of_each.to_vec(), ..Measured::of_rate(rate, 0.5) };
        Series::new(system, "1,000 × 1".to_owned(), vec![round])
    }

    #[test]
    fn goals_compare_rates_on_one_core_and_the_nodes_cpu_apart() {
        let loops = |system, rate, cpu: &[f64]| Loops {
            serve: series(super::super::SERVE, 100_000.0, &[1.0]),
            split: series(system, rate, cpu),
        };
        let pauses = Pauses { count: 1, p50_ms: 20.0, p99_ms: 40.0, max_ms: 300.0 };
        let cluster = Cluster {
            memory: Memory { connections: 10, serve: 4_000.0, gateway: 5_000.0, node: 2_000.0 },
            loops: vec![
                loops(super::super::TOGETHER, 60_000.0, &[0.6, 0.4]),
                loops(super::super::APART, 80_000.0, &[0.9, 0.6]),
            ],
            gateway_has_a_core: true,
            moves: vec![Moves {
                shards: "one shard",
                players: 1,
                orders: 2,
                moved: 2,
                called_off: 0.0,
                seconds: 3.0,
                pauses: Some(pauses),
                of_others: None,
                quiet: None,
                closed: Vec::new(),
                resent: 1,
            }],
        };
        let goals: Vec<_> =
            cluster.goals().into_iter().map(|goal| (goal.measured, goal.reached().map(|share| share >= 1.0))).collect();
        let wanted = [
            (Some(0.6), Some(true)),
            (Some(0.75), Some(false)),
            (Some(40.0), Some(true)),
            (Some(300.0), Some(false)),
            (Some(0.0), Some(true)),
            (Some(1.0), Some(false)),
        ];
        assert_eq!(goals.len(), wanted.len());
        for ((measured, reached), (figure, verdict)) in goals.into_iter().zip(wanted) {
            assert!(measured.zip(figure).is_some_and(|(a, b)| (a - b).abs() < 1e-9), "{measured:?} {figure:?}");
            assert_eq!(reached, verdict);
        }
        let text = cluster.markdown();
        for row in [
            "| 1,000 × 1 | gateway and node on one core | 100,000 | 60,000 | 0.60 | 10.00 | 10.00 | 6.67 | 0.67 |",
            "gateway 5000, node 2000",
            "| one shard | 2 | 2 | 0 | 3.0 | 20.0, 40.0, 300.0 | – | – | 0 | 1 |",
        ] {
            assert!(text.contains(row), "{row} is missing in {text}");
        }
    }
}
