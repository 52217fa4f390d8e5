//! The results of a run: the players' records, and everything that was ever written to the database.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use castellan_authority::BooksOf;
use castellan_srd::Srd;
use castellan_srd::wire::{CharacterId, RejectionCode, RequestId, Version};
use client_sim::recorded::record_file::{self, Line};
use client_sim::recorded::trace::Counters;
use uuid::Uuid;

use crate::wares::Wares;

/// A player's knowledge of one of its intents.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Fate {
    /// `None` if the player stopped before it was sent.
    pub id: Option<RequestId>,
    /// It was answered `applied`.
    pub applied: bool,
    /// It was called durable.
    pub durable: bool,
    /// The client dropped it.
    pub refused: bool,
    /// The server rejected it.
    pub rejected: Option<RejectionCode>,
}

/// A state that a player was shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Its version.
    pub version: Version,
    /// The intent that produced it.
    pub last: RequestId,
    /// A hash of the whole state.
    pub hash: u64,
}

/// One player's record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The account's name.
    pub name: String,
    /// The character.
    pub character: CharacterId,
    /// The client's number among the character's clients; `None` for one that only watches.
    pub lane: Option<u8>,
    /// The intents, by their numbers.
    pub intents: BTreeMap<u64, Fate>,
    /// The states shown, in order.
    pub seen: Vec<Seen>,
    /// Intents that the player still kept at its end; `None` if it stopped early.
    pub kept: Option<usize>,
}

impl Record {
    /// Reads a record; `None` if its player stopped before it had a character.
    ///
    /// # Errors
    ///
    /// An error of the operating system, or a file that is not a record.
    pub fn read(path: &Path) -> io::Result<Option<Self>> {
        Ok(Self::from_lines(record_file::read(path)?))
    }

    /// Builds a record from its lines.
    pub fn from_lines(lines: Vec<Line>) -> Option<Self> {
        let mut lines = lines.into_iter();
        let Some(Line::Player { name, character, lane }) = lines.next() else { return None };
        let mut record = Self { name, character, lane, intents: BTreeMap::new(), seen: Vec::new(), kept: None };
        for line in lines {
            match line {
                Line::Player { .. } => return None,
                Line::Intent { n } => *record.fate(n) = Fate::default(),
                Line::Named { n, id } => record.fate(n).id = Some(id),
                Line::Applied { n } => record.fate(n).applied = true,
                Line::Durable { n, .. } => record.fate(n).durable = true,
                Line::Refused { n, .. } => record.fate(n).refused = true,
                Line::Rejected { n, code } => record.fate(n).rejected = Some(code),
                Line::Seen { version, last, hash } => record.seen.push(Seen { version, last, hash }),
                // What it proves depends on the time; see `period`.
                Line::Offline { .. } => {}
                Line::End { kept } => record.kept = Some(kept),
            }
        }
        Some(record)
    }

    fn fate(&mut self, n: u64) -> &mut Fate {
        self.intents.entry(n).or_default()
    }
}

/// The lease of a character's shard in the database at the time of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseThen {
    /// Its `recoveries`.
    pub recoveries: i64,
    /// It was released.
    pub released: bool,
    /// The process that held it; `None` for a node.
    pub holder: Option<u32>,
    /// The registered process that owned it: a node, or a server.
    pub owner: Option<Uuid>,
}

/// A character's row as it was once written.
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
    /// The counters in the row's state.
    pub counters: Counters,
    /// The traded goods in the inventory and the purse. Those in the books are not counted.
    pub goods: Wares,
    /// The books in the row's state.
    pub books: BooksOf<Srd>,
    /// The lease at that time; `None` on SQLite.
    pub lease: Option<LeaseThen>,
    /// The number of the server that wrote it; `None` on SQLite.
    pub writer: Option<u32>,
}

/// The lifetime of a server process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetime {
    /// Its number in the run.
    pub number: u32,
    /// Its process id.
    pub process: u32,
    /// The id under which it is registered, if it has said it.
    pub registered: Option<Uuid>,
    /// Its start, in milliseconds of the run.
    pub began_ms: u64,
    /// When it ended; `None` while it runs.
    pub ended_ms: Option<u64>,
}

/// Everything that the check compares.
#[derive(Debug, Default, Clone)]
pub struct Evidence {
    /// The records of all players.
    pub records: Vec<Record>,
    /// Everything that was written and committed, in order.
    pub writes: Vec<Write>,
    /// The rows at the end: version, ids, counters.
    pub rows: Vec<Write>,
    /// All servers of the run.
    pub lifetimes: Vec<Lifetime>,
    /// The characters of traders, which have no records.
    pub traders: BTreeSet<CharacterId>,
    /// Characters with a dead letter that an operator decided on: their versions may jump.
    pub decided: BTreeSet<CharacterId>,
    /// True if the players were killed before everything was durable.
    pub broken_off: bool,
}
