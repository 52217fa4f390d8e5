//! A player's entries in its record.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::Path;

use castellan_client::ledger::Event;
use castellan_srd::wire::{Character, CharacterId, RequestId, Version};

use super::record_file::{Line, RecordFile};

/// An event that is impossible for a character with one client. It is reported at once, not only by the check at the
/// end.
pub(super) struct Alarm(pub(super) String);

/// One player's record.
pub(super) struct Recorder {
    file: RecordFile,
    character: CharacterId,
    /// Intents without a final answer.
    open: HashMap<RequestId, u64>,
    next: u64,
    /// The last recorded state, so that a state shown for many intents takes one line.
    last_seen: Option<(Version, u64)>,
}

impl Recorder {
    /// Starts the record of a player.
    pub(super) fn begin(path: &Path, name: String, character: CharacterId, lane: Option<u8>) -> io::Result<Self> {
        let mut file = RecordFile::create(path)?;
        file.append(&Line::Player { name, character, lane })?;
        file.sync()?;
        Ok(Self { file, character, open: HashMap::new(), next: 0, last_seen: None })
    }

    /// Records that the next `count` intents will be sent. Returns their numbers once the record is on disk.
    pub(super) fn intend(&mut self, count: u64) -> io::Result<std::ops::Range<u64>> {
        let numbers = self.next..self.next + count;
        for n in numbers.clone() {
            self.file.append(&Line::Intent { n })?;
        }
        self.next = numbers.end;
        self.file.sync()?;
        Ok(numbers)
    }

    /// Records the request id of an intent.
    pub(super) fn name(&mut self, n: u64, id: RequestId) -> io::Result<()> {
        self.open.insert(id, n);
        self.file.append(&Line::Named { n, id })
    }

    /// Records an event of the client.
    pub(super) fn hear(&mut self, event: &Event<Character>) -> io::Result<Option<Alarm>> {
        let n = |id: &RequestId| self.open.get(id).copied();
        let line = match event {
            Event::Applied { id, state } => {
                let applied = n(id).map(|n| Line::Applied { n });
                self.see(state)?;
                applied
            }
            Event::Durable { id, version, .. } => self.open.remove(id).map(|n| Line::Durable { n, version: *version }),
            Event::Refused { id, latest } => {
                self.see(latest)?;
                self.open.remove(id).map(|n| Line::Refused { n, version: latest.version })
            }
            Event::Rejected { id, code, .. } => self.open.remove(id).map(|n| Line::Rejected { n, code: *code }),
            Event::State { state, .. } => {
                self.see(state)?;
                None
            }
            Event::Welcome(_) | Event::Accepted { .. } | Event::Denied { .. } | Event::Closing(_) => None,
        };
        let alarm = match &line {
            Some(Line::Refused { n, version }) => {
                Some(Alarm(format!("{}: intent {n} was refused at version {version}", self.character)))
            }
            Some(Line::Rejected { n, code }) => {
                Some(Alarm(format!("{}: intent {n} was rejected: {code}", self.character)))
            }
            _ => None,
        };
        if let Some(line) = line {
            self.file.append(&line)?;
        }
        Ok(alarm)
    }

    /// Records that the connection has ended, at once.
    pub(super) fn offline(&mut self, reason: String) -> io::Result<()> {
        self.file.append(&Line::Offline { reason })?;
        self.file.sync()
    }

    /// Records that the player leaves.
    pub(super) fn end(mut self, kept: usize) -> io::Result<()> {
        self.file.append(&Line::End { kept })?;
        self.file.sync()
    }

    fn see(&mut self, state: &Character) -> io::Result<()> {
        if state.id != self.character {
            return Ok(());
        }
        let mut hasher = DefaultHasher::new();
        serde_json::to_vec(state)?.hash(&mut hasher);
        let hash = hasher.finish();
        if self.last_seen.replace((state.version, hash)) != Some((state.version, hash)) {
            self.file.append(&Line::Seen { version: state.version, last: state.last, hash })?;
        }
        Ok(())
    }
}
