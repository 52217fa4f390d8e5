//! The check afterwards: does the database have what the ledgers say, and was it written as it must be?
//!
//! It reports what is certainly wrong and nothing else: an intent that was never answered may be in the database or
//! not, and with two clients on one character one of them may be refused.
//!
//! If the run was broken off, the players were killed: their ledgers have no end and lack the request ids noted last,
//! and nobody sent again what was applied and not yet stored. Some rules then prove nothing ([`Standing::MayFollow`]).

mod history;
mod ledgers;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;

use castellan_srd::wire::{CharacterId, RequestId};
use client_sim::player::trace::Trace;

use crate::evidence::{Evidence, Ledger, Write};

/// What was broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// An intent answered `applied`, or said to be durable, is not in the database.
    Lost,
    /// An intent is in the database more than once.
    Twice,
    /// The state is not what its intents make.
    State,
    /// Something is in the database that nobody asked for, or that was turned down.
    Phantom,
    /// A client was refused without anybody having been in its way.
    Refused,
    /// A client could not bring all that it asked for to the database while everything was well.
    Stuck,
    /// A version is missing, fell, or jumped without a reason.
    Versions,
    /// One version named two states.
    TwoStates,
    /// A process wrote that had lost the lease.
    Fence,
    /// The coins do not add up.
    Coins,
    /// The server's memory passed its bound.
    Memory,
    /// A server ended, or did not start, where it should not have.
    Process,
}

/// What a violation proves, in the order of the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Standing {
    /// A process panicked, or ended as it should not have.
    Crashed,
    /// It broke the run off: players and servers were killed in the middle of the play.
    BrokeOff,
    /// It is wrong however the run ended.
    Certain,
    /// It is wrong only if the run ended well: it may follow from what broke the run off.
    MayFollow,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which rule.
    pub rule: Rule,
    /// What it proves.
    pub standing: Standing,
    /// What happened, for a person.
    pub what: String,
}

impl Violation {
    /// A process panicked, or ended as it should not have.
    pub const fn crashed(what: String) -> Self {
        Self { rule: Rule::Process, standing: Standing::Crashed, what }
    }

    /// The run could not go on.
    pub const fn broke_off(what: String) -> Self {
        Self { rule: Rule::Process, standing: Standing::BrokeOff, what }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.rule, self.what)
    }
}

/// What the check came to.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Intents that players sent.
    pub intents: u64,
    /// Of these, answered `applied` or said to be durable.
    pub acknowledged: u64,
    /// Of these, never answered.
    pub unknown: u64,
    /// Refused by rule 9 of `docs/protocol.md#versions-ids-recovery`, on characters with two clients.
    pub refused: u64,
    /// What is wrong.
    pub violations: Vec<Violation>,
}

impl Verdict {
    /// Adds what another check came to.
    pub fn add(&mut self, other: Self) {
        self.intents += other.intents;
        self.acknowledged += other.acknowledged;
        self.unknown += other.unknown;
        self.refused += other.refused;
        self.violations.extend(other.violations);
    }

    /// The violation to show where there is room for one: of the data rather than of a process, and certain if any is.
    pub fn most_telling(&self) -> Option<&Violation> {
        self.violations.iter().min_by_key(|violation| (violation.standing == Standing::MayFollow, violation.rule))
    }

    /// Notes something that is wrong however the run ended.
    pub fn complain(&mut self, rule: Rule, what: String) {
        self.violations.push(Violation { rule, standing: Standing::Certain, what });
    }

    /// Notes something that is wrong if the run ended well.
    fn doubt(&mut self, rule: Rule, what: String) {
        self.violations.push(Violation { rule, standing: Standing::MayFollow, what });
    }

    /// The run ended well, so nothing follows from its end.
    fn remove_doubts(&mut self) {
        let doubts = self.violations.iter_mut().filter(|violation| violation.standing == Standing::MayFollow);
        doubts.for_each(|violation| violation.standing = Standing::Certain);
    }
}

/// Compares the ledgers with the database.
pub fn check(evidence: &Evidence) -> Verdict {
    let mut verdict = Verdict::default();
    let mut characters: BTreeMap<CharacterId, OneCharacter<'_>> = BTreeMap::new();
    for ledger in &evidence.ledgers {
        characters.entry(ledger.character).or_default().ledgers.push(ledger);
    }
    for write in &evidence.writes {
        characters.entry(write.character).or_default().writes.push(write);
    }
    for row in &evidence.rows {
        characters.entry(row.character).or_default().row = Some(row);
    }
    let (mut coins, mut coins_expected) = (0, 0);
    for (id, character) in &mut characters {
        character.settled = evidence.settled.contains(id);
        character.name_intents();
        let applied = history::follow(*id, character, &mut verdict);
        ledgers::compare(*id, character, &applied, &mut verdict);
        ledgers::compare_states(*id, character, &mut verdict);
        coins += character.row.map_or(0, |row| row.counters.coins());
        coins_expected += ledgers::counted(character, &applied).coins();
    }
    history::check_fence(evidence, &mut verdict);
    if coins != coins_expected {
        verdict.doubt(Rule::Coins, format!("there are {coins} coins, and the ledgers say {coins_expected}"));
    }
    if !evidence.broken_off {
        verdict.remove_doubts();
    }
    verdict
}

/// What is known of one character.
#[derive(Default)]
struct OneCharacter<'a> {
    ledgers: Vec<&'a Ledger>,
    writes: Vec<&'a Write>,
    row: Option<&'a Write>,
    settled: bool,
    /// Lane and number of each intent that has an id.
    intents: BTreeMap<RequestId, (u8, u64)>,
}

impl OneCharacter<'_> {
    fn name_intents(&mut self) {
        for ledger in &self.ledgers {
            let Some(lane) = ledger.lane else { continue };
            let named = ledger.intents.iter().filter_map(|(n, fate)| Some((fate.id?, (lane, *n))));
            self.intents.extend(named);
        }
    }

    fn trace(&self, id: RequestId) -> Option<Trace> {
        self.intents.get(&id).map(|(lane, n)| Trace::of(*lane, *n))
    }

    /// Clients that act on it.
    fn clients(&self) -> usize {
        self.ledgers.iter().filter(|ledger| ledger.lane.is_some()).count()
    }
}
