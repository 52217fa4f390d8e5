//! The figures of attacks, as tables and as goals.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use super::kind::Kind;
use super::phases::PHASES;
use super::times::Times;
use crate::goal::Goal;
use crate::number::thousands;

/// Largest p99 of the players during an attack, in milliseconds.
const P99_MS_MAX: f64 = 20.0;

/// Largest factor by which an attack may raise it.
const P99_FACTOR_MAX: f64 = 2.0;

/// Share of the server's core that other programs may use. The kernel's work for the server's sockets is a part of it.
const OTHERS_SHARE_MAX: f64 = 0.3;

/// The phases for people.
const NAMES: [&str; PHASES] = ["before", "during", "after"];

/// The figures of all attacks.
#[derive(Debug, Serialize)]
pub struct Attacks {
    /// Number of players.
    pub players: usize,
    /// Seconds of each phase.
    pub seconds: [f64; PHASES],
    /// One entry per attack.
    pub attacks: Vec<Attacked>,
}

/// The figures of one attack.
#[derive(Debug, Serialize)]
pub struct Attacked {
    /// The attack.
    pub kind: Kind,
    /// Before, during and after.
    pub phases: [Phase; PHASES],
    /// Sockets of players that were closed, and refused intents, by reason.
    pub troubles: BTreeMap<String, u64>,
    /// Resident bytes of the server: just before the attack, the most during it, and at the end.
    pub resident_bytes: [u64; PHASES],
    /// The counters of the server that have changed, by how much, from just before the attack to just after it.
    pub counters: BTreeMap<String, f64>,
    /// What the attackers did.
    pub deeds: BTreeMap<String, u64>,
}

/// The figures of one phase.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Phase {
    /// Answers to the players.
    pub answers: Times,
    /// Lateness of the players' own thread.
    pub lateness: Times,
    /// Answers to others on new connections.
    pub requests: Times,
    /// Logins of others, if measured.
    pub logins: Option<Times>,
    /// Processor time of the server, as a share of one core.
    pub server_cpu: f64,
    /// Busy share of the server's core, from any program.
    pub server_core: f64,
    /// Busy share of the load's core, from any program.
    pub load_core: f64,
}

impl Attacked {
    /// The largest p99 that is good enough.
    fn wanted_ms(&self) -> f64 {
        (P99_FACTOR_MAX * self.phases[0].answers.p99_ms).min(P99_MS_MAX)
    }

    fn is_good(&self) -> bool {
        let during = &self.phases[1].answers;
        during.count > 0 && during.p99_ms <= self.wanted_ms()
    }

    /// Returns true if other programs used the server's core before or during the attack: then the players waited for
    /// them, too.
    fn is_disturbed(&self) -> bool {
        self.phases[..2].iter().any(|phase| phase.server_core - phase.server_cpu > OTHERS_SHARE_MAX)
    }

    /// The verdict as one line.
    pub fn verdict(&self) -> String {
        let [before, during, after] = self.phases.map(|phase| phase.answers.p99_ms);
        let verdict = if self.is_good() { "yes" } else { "no" };
        let doubt = if self.is_disturbed() { " (other programs used the server's core)" } else { "" };
        format!(
            "{}: p99 {during:.2} ms during (before {before:.2}, after {after:.2}) ≤ 2 × before and < 20 ms: \
             {verdict}{doubt}",
            self.kind.name()
        )
    }
}

impl Attacks {
    /// The goals.
    pub fn goals(&self) -> Vec<Goal> {
        let goal = |attacked: &Attacked| {
            let what = format!("{}: players' p99 during the attack, in ms", attacked.kind.name());
            let during = &attacked.phases[1].answers;
            Goal::at_most(what, attacked.wanted_ms(), (during.count > 0).then_some(during.p99_ms))
        };
        self.attacks.iter().map(goal).collect()
    }

    /// The figures for people.
    pub fn markdown(&self) -> String {
        let [before, during, after] = self.seconds;
        let mut text = format!(
            "\n## Attacks (SQLite, default limits)\n\n{} players, each at its own address, send 5 intents per second: \
             {before} s before, {during} s during and {after} s after each attack. Failed: refused, or never answered. \
             Requests are those of others on new connections. CPU as shares of one core.\n\n\
             | attack | phase | p50 | p99 | longest | failed | load late (p99) | requests' p50 | p99 | failed \
             | logins' p50 | p99 | failed | server's CPU | its core | load's core | memory, MiB |\n\
             | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n",
            self.players
        );
        for attacked in &self.attacks {
            for ((phase, name), bytes) in attacked.phases.iter().zip(NAMES).zip(attacked.resident_bytes) {
                let Phase { answers, lateness, requests, logins, server_cpu, server_core, load_core } = phase;
                let logins = logins.map_or("– | – | –".to_owned(), |logins| {
                    format!("{:.1} | {:.1} | {}", logins.p50_ms, logins.p99_ms, logins.failed)
                });
                let _ = writeln!(
                    text,
                    "| {} | {name} | {:.2} | {:.2} | {:.1} | {} | {:.2} | {:.2} | {:.2} | {} | {logins} | {server_cpu:.2} \
                     | {server_core:.2} | {load_core:.2} | {:.1} |",
                    attacked.kind.name(),
                    answers.p50_ms,
                    answers.p99_ms,
                    answers.max_ms,
                    answers.failed,
                    lateness.p99_ms,
                    requests.p50_ms,
                    requests.p99_ms,
                    requests.failed,
                    bytes as f64 / 1_048_576.0,
                );
            }
        }
        text += "\n";
        for attacked in &self.attacks {
            let counters = attacked.counters.iter().map(|(name, change)| format!("`{name}` +{}", thousands(*change)));
            let deeds = list(&attacked.deeds);
            let troubles = if attacked.troubles.is_empty() { "none".to_owned() } else { list(&attacked.troubles) };
            let _ = writeln!(
                text,
                "- **{}** {}\n  - Attackers: {deeds}\n  - Players' troubles: {troubles}\n  - Metrics: {}",
                attacked.verdict(),
                attacked.kind.description(),
                counters.collect::<Vec<_>>().join(", "),
            );
        }
        text
    }
}

fn list(counts: &BTreeMap<String, u64>) -> String {
    let entries = counts.iter().map(|(what, count)| format!("{what}: {}", thousands(*count as f64)));
    entries.collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attacked(p99_ms: [f64; PHASES]) -> Attacked {
        let phases = p99_ms.map(|p99_ms| {
            let answers = Times { count: 1, p99_ms, ..Times::default() };
            Phase { answers, ..Phase::default() }
        });
        let none = BTreeMap::new();
        let [troubles, deeds] = [(); 2].map(|()| BTreeMap::new());
        Attacked { kind: Kind::Pings, phases, troubles, resident_bytes: [0; PHASES], counters: none, deeds }
    }

    #[test]
    fn a_verdict_says_if_other_programs_used_the_servers_core() {
        let mut attacked = attacked([1.0; PHASES]);
        assert!(attacked.verdict().ends_with("< 20 ms: yes"), "{}", attacked.verdict());
        (attacked.phases[1].server_cpu, attacked.phases[1].server_core) = (0.2, 0.9);
        assert!(attacked.verdict().ends_with("used the server's core)"), "{}", attacked.verdict());
    }

    #[test]
    fn an_attack_may_double_the_p99_up_to_twenty_milliseconds() {
        for (p99_ms, expected) in
            [([1.0, 2.0, 1.0], true), ([1.0, 2.1, 1.0], false), ([15.0, 20.0, 1.0], true), ([15.0, 21.0, 1.0], false)]
        {
            assert_eq!(attacked(p99_ms).is_good(), expected, "{p99_ms:?}");
        }
        let mut silent = attacked([1.0; PHASES]);
        silent.phases[1].answers.count = 0;
        assert!(!silent.is_good(), "players without an answer are no success");
    }
}
