//! What a run leaves behind: the players' ledgers, and all that was ever written to the database.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use castellan_srd::wire::{CharacterId, RejectionCode, RequestId, Version};
use client_sim::player::ledger_file::{self, Line};
use client_sim::player::trace::Counters;

/// What a player knows of one of its intents.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Fate {
    /// `None` where the player broke off before it was sent.
    pub id: Option<RequestId>,
    /// It was answered `applied`.
    pub applied: bool,
    /// It was said to be in the database.
    pub durable: bool,
    /// The client gave it up.
    pub refused: bool,
    /// The server turned it down.
    pub rejected: Option<RejectionCode>,
}

/// A state that a player was shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Its version.
    pub version: Version,
    /// The intent that made it.
    pub last: RequestId,
    /// A hash of all of it.
    pub hash: u64,
}

/// One player's ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ledger {
    /// The account's name.
    pub name: String,
    /// The character.
    pub character: CharacterId,
    /// Which of the character's clients; `None` for one that only watches.
    pub lane: Option<u8>,
    /// The intents, by their numbers.
    pub intents: BTreeMap<u64, Fate>,
    /// The states shown, in order.
    pub seen: Vec<Seen>,
    /// Intents that the player still kept when it left; `None` where it broke off.
    pub kept: Option<usize>,
}

impl Ledger {
    /// Reads a ledger; `None` where its player broke off before it had a character.
    ///
    /// # Errors
    ///
    /// What the operating system says, or that it is no ledger.
    pub fn read(path: &Path) -> io::Result<Option<Self>> {
        Ok(Self::from_lines(ledger_file::read(path)?))
    }

    /// From a ledger's lines.
    pub fn from_lines(lines: Vec<Line>) -> Option<Self> {
        let mut lines = lines.into_iter();
        let Some(Line::Player { name, character, lane }) = lines.next() else { return None };
        let mut ledger = Self { name, character, lane, intents: BTreeMap::new(), seen: Vec::new(), kept: None };
        for line in lines {
            match line {
                Line::Player { .. } => return None,
                Line::Intent { n } => *ledger.fate(n) = Fate::default(),
                Line::Named { n, id } => ledger.fate(n).id = Some(id),
                Line::Applied { n } => ledger.fate(n).applied = true,
                Line::Durable { n, .. } => ledger.fate(n).durable = true,
                Line::Refused { n, .. } => ledger.fate(n).refused = true,
                Line::Rejected { n, code } => ledger.fate(n).rejected = Some(code),
                Line::Seen { version, last, hash } => ledger.seen.push(Seen { version, last, hash }),
                Line::End { kept } => ledger.kept = Some(kept),
            }
        }
        Some(ledger)
    }

    fn fate(&mut self, n: u64) -> &mut Fate {
        self.intents.entry(n).or_default()
    }
}

/// The lease of a character's shard at the moment of a write, as the database had it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseThen {
    /// Its `recoveries`.
    pub recoveries: i64,
    /// It had been given back.
    pub released: bool,
    /// The process that held it.
    pub holder: Option<u32>,
}

/// A character's row as it was written at some time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// The character.
    pub character: CharacterId,
    /// The row's version.
    pub version: u64,
    /// The row's `recoveries`.
    pub recoveries: i64,
    /// The row's request ids, oldest first.
    pub ids: Vec<RequestId>,
    /// What the row's state counts.
    pub counters: Counters,
    /// The lease then; `None` on SQLite.
    pub lease: Option<LeaseThen>,
    /// The number of the server that wrote it; `None` on SQLite.
    pub writer: Option<u32>,
}

/// When a server process lived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Life {
    /// Its number in the run.
    pub number: u32,
    /// Its process id.
    pub process: u32,
    /// When it was started, in milliseconds of the run.
    pub began_ms: u64,
    /// When it was gone; `None` while it lives.
    pub ended_ms: Option<u64>,
}

/// Everything that the check looks at.
#[derive(Debug, Default, Clone)]
pub struct Evidence {
    /// Of all players.
    pub ledgers: Vec<Ledger>,
    /// Everything that was written and committed, in order.
    pub writes: Vec<Write>,
    /// The rows at the end: version, ids, counters.
    pub rows: Vec<Write>,
    /// All servers of the run.
    pub lives: Vec<Life>,
    /// Characters of which an operator had a dead letter settled: their versions may jump.
    pub settled: BTreeSet<CharacterId>,
    /// The players were killed before they had brought everything to the database.
    pub broken_off: bool,
}
