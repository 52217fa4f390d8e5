//! The check after a run: does the database contain what the records say, and was it written correctly?
//!
//! It reports what is certainly wrong and nothing else: an intent that was never answered may be in the database or
//! not, and with two clients on one character one of them may be refused.
//!
//! If the run ended early, the players were killed: their records have no end and lack the latest request ids,
//! and nobody sent again what was applied and not yet stored. Some rules then prove nothing ([`Standing::MayFollow`]).

mod goods;
mod history;
mod records;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;

use castellan_srd::wire::{CharacterId, RequestId};
use client_sim::recorded::trace::Trace;

use crate::evidence::{Evidence, Record, Write};

/// The broken rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// An intent that was answered `applied` or called durable is not in the database.
    Lost,
    /// An intent was called durable while no standby could have it.
    Premature,
    /// An intent is in the database more than once.
    Twice,
    /// The state does not follow from its intents.
    State,
    /// The database contains something that nobody asked for, or that was rejected.
    Phantom,
    /// A client was refused although nobody interfered.
    Refused,
    /// A client's intents did not all become durable although everything worked.
    Stuck,
    /// A version is missing, fell, or jumped without reason.
    Versions,
    /// One version named two states.
    TwoStates,
    /// A process wrote after it lost the lease.
    Fence,
    /// A planned move closed a client's socket.
    Closed,
    /// The coins do not add up.
    Coins,
    /// The sum of all traders' goods has changed.
    Goods,
    /// The server used more memory than allowed.
    Memory,
    /// A server ended or failed to start unexpectedly.
    Process,
}

/// What a finding proves, in the order of the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Standing {
    /// A process panicked or ended unexpectedly.
    Crashed,
    /// It ended the run early: players and servers were killed in the middle of play.
    BrokeOff,
    /// It is wrong no matter how the run ended.
    Certain,
    /// It is wrong only if the run ended normally: it may follow from the early end.
    MayFollow,
}

/// One broken rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The rule.
    pub rule: Rule,
    /// What it proves.
    pub standing: Standing,
    /// A description for people.
    pub what: String,
}

impl Finding {
    /// A process panicked or ended unexpectedly.
    pub const fn crashed(what: String) -> Self {
        Self { rule: Rule::Process, standing: Standing::Crashed, what }
    }

    /// The run could not continue.
    pub const fn broke_off(what: String) -> Self {
        Self { rule: Rule::Process, standing: Standing::BrokeOff, what }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.rule, self.what)
    }
}

/// The result of the check.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Intents that players sent.
    pub intents: u64,
    /// Intents answered `applied` or called durable.
    pub acknowledged: u64,
    /// Intents never answered.
    pub unknown: u64,
    /// Refused by rule 9 of `docs/protocol.md#versions-ids-recovery`, on characters with two clients.
    pub refused: u64,
    /// Goods that were stored as on their way or as held by an offer: gifts, offers and acceptances.
    pub deals: u64,
    /// Times that the goods of all traders were added up: after each of their writes.
    pub sums: u64,
    /// Offers that were accepted in time.
    pub trades: u64,
    /// All broken rules.
    pub findings: Vec<Finding>,
}

impl Verdict {
    /// Adds the result of another check.
    pub fn add(&mut self, other: Self) {
        self.intents += other.intents;
        self.acknowledged += other.acknowledged;
        self.unknown += other.unknown;
        self.refused += other.refused;
        self.deals += other.deals;
        self.sums += other.sums;
        self.trades += other.trades;
        self.findings.extend(other.findings);
    }

    /// The finding to show if there is room for only one: about data rather than a process, and a certain one if possible.
    pub fn most_telling(&self) -> Option<&Finding> {
        self.findings.iter().min_by_key(|finding| (finding.standing == Standing::MayFollow, finding.rule))
    }

    /// Adds a finding that is wrong no matter how the run ended.
    pub fn complain(&mut self, rule: Rule, what: String) {
        self.findings.push(Finding { rule, standing: Standing::Certain, what });
    }

    /// Adds a finding that is wrong only if the run ended normally.
    fn doubt(&mut self, rule: Rule, what: String) {
        self.findings.push(Finding { rule, standing: Standing::MayFollow, what });
    }

    /// The run ended normally, so every finding is certain.
    fn remove_doubts(&mut self) {
        let doubts = self.findings.iter_mut().filter(|finding| finding.standing == Standing::MayFollow);
        doubts.for_each(|finding| finding.standing = Standing::Certain);
    }
}

/// Compares the records with the database.
pub fn check(evidence: &Evidence) -> Verdict {
    let mut verdict = Verdict::default();
    let mut characters: BTreeMap<CharacterId, OneCharacter<'_>> = BTreeMap::new();
    for record in &evidence.records {
        characters.entry(record.character).or_default().records.push(record);
    }
    for write in evidence.writes.iter().filter(|write| !evidence.traders.contains(&write.character)) {
        characters.entry(write.character).or_default().writes.push(write);
    }
    for row in evidence.rows.iter().filter(|row| !evidence.traders.contains(&row.character)) {
        characters.entry(row.character).or_default().row = Some(row);
    }
    let (mut coins, mut coins_expected) = (0, 0);
    for (id, character) in &mut characters {
        character.decided = evidence.decided.contains(id);
        character.name_intents();
        let applied = history::follow(*id, character, &mut verdict);
        records::compare(*id, character, &applied, &mut verdict);
        records::compare_states(*id, character, &mut verdict);
        coins += character.row.map_or(0, |row| row.counters.coins());
        coins_expected += records::counted(character, &applied).coins();
    }
    history::check_fence(evidence, &mut verdict);
    goods::add_up(evidence, &mut verdict);
    if coins != coins_expected {
        verdict.doubt(
            Rule::Coins,
            format!("there are {coins} coins, but according to the records there must be {coins_expected}"),
        );
    }
    if !evidence.broken_off {
        verdict.remove_doubts();
    }
    verdict
}

/// Everything known about one character.
#[derive(Default)]
struct OneCharacter<'a> {
    records: Vec<&'a Record>,
    writes: Vec<&'a Write>,
    row: Option<&'a Write>,
    decided: bool,
    /// Lane and number of each intent that has an id.
    intents: BTreeMap<RequestId, (u8, u64)>,
}

impl OneCharacter<'_> {
    fn name_intents(&mut self) {
        for record in &self.records {
            let Some(lane) = record.lane else { continue };
            let named = record.intents.iter().filter_map(|(n, fate)| Some((fate.id?, (lane, *n))));
            self.intents.extend(named);
        }
    }

    fn trace(&self, id: RequestId) -> Option<Trace> {
        self.intents.get(&id).map(|(lane, n)| Trace::of(*lane, *n))
    }

    /// Number of clients that act on it.
    fn clients(&self) -> usize {
        self.records.iter().filter(|record| record.lane.is_some()).count()
    }
}
