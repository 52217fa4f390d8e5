//! What a shard hands to the flusher, and what it learns from it.

use std::mem;
use std::sync::Arc;

use castellan_protocol::{CharacterId, UserId, Version};

use super::core::Core;
use super::entry::Entry;
use super::mailbox::Mailbox;
use super::view::{Header, StoredView};
use crate::flush::Queue;
use crate::planted::{self, Bug};
use crate::rules::Character;
use crate::rules::stored::SCHEMA_VERSION;
use crate::storage::{CharacterRow, Lease};

/// Room for a state that is made at once, in bytes: enough for most.
const STATE_BYTES: usize = 1_536;

/// A character as it was when the flusher came by; becomes a row outside the shard's lock.
#[derive(Debug)]
pub(super) struct Snapshot {
    header: Header,
    character: Character,
    request_ids: Vec<u64>,
    deleted_at_ms: Option<i64>,
    lease: Lease,
}

impl Snapshot {
    fn of(entry: &Entry, lease: Lease) -> Self {
        Self {
            header: entry.header,
            character: entry.character.clone(),
            request_ids: if planted::is(Bug::IdsNotStored) { Vec::new() } else { entry.ring.oldest_first() },
            deleted_at_ms: entry.deleted_at_ms,
            lease,
        }
    }

    pub(super) fn into_row(self) -> CharacterRow {
        let mut state = Vec::with_capacity(STATE_BYTES);
        serde_json::to_writer(&mut state, &StoredView::new(&self.header, &self.character))
            .expect("a character's state is plain data");
        CharacterRow {
            id: self.header.id,
            user: self.header.user,
            shard: self.lease.shard,
            name: self.character.name().to_owned(),
            version: self.header.version.get(),
            recoveries: self.lease.recoveries,
            schema_version: SCHEMA_VERSION,
            state: String::from_utf8(state).expect("JSON is UTF-8"),
            request_ids: self.request_ids,
            created_at_ms: self.header.created_at_ms,
            updated_at_ms: self.header.updated_at_ms,
            deleted_at_ms: self.deleted_at_ms,
        }
    }
}

impl Core {
    /// Those that the flusher is to collect; some may have been collected from the other queue meanwhile.
    pub(super) fn queue(&mut self, queue: Queue) -> &mut Vec<(UserId, CharacterId)> {
        match queue {
            Queue::Dirty => &mut self.dirty,
            Queue::Hurried => &mut self.hurried,
        }
    }

    /// Takes the newest states of a queue, and the lease that they are written under, where there is any.
    pub(super) fn collect(&mut self, queue: Queue, snapshots: &mut Vec<Snapshot>) -> Option<Lease> {
        let lease = self.lease?;
        let before = snapshots.len();
        let mut queued = mem::take(self.queue(queue));
        for (user, character) in queued.drain(..) {
            let entry = self.rosters.get_mut(&user).and_then(|roster| roster.any_mut(character));
            if let Some(entry) = entry
                && entry.queued
            {
                (entry.queued, entry.hurried) = (false, false);
                snapshots.push(Snapshot::of(entry, lease));
            }
        }
        *self.queue(queue) = queued;
        (snapshots.len() > before).then_some(lease)
    }

    /// Somebody waits for the commit of a user's characters, or of one of them. Returns whether the flusher is to come
    /// by for any.
    pub(super) fn hurry(&mut self, user: UserId, only: Option<CharacterId>) -> bool {
        let Some(roster) = self.rosters.get_mut(&user) else { return false };
        let mut any = false;
        for entry in &mut roster.entries {
            if entry.queued && only.is_none_or(|character| character == entry.id()) {
                any = true;
                if !mem::replace(&mut entry.hurried, true) {
                    self.hurried.push((user, entry.id()));
                }
            }
        }
        any
    }

    /// The database has this version. Returns what that came to; `None` if nobody here knows of it any more.
    pub(super) fn saved(
        &mut self,
        user: UserId,
        character: CharacterId,
        version: Version,
        now_ms: i64,
        wake: &mut Vec<Arc<Mailbox>>,
    ) -> Option<Saved> {
        let roster = self.rosters.get_mut(&user)?;
        let entry = roster.any_mut(character).filter(|entry| entry.is_of_this_life(version))?;
        let was_flushable = entry.is_flushable();
        if version > entry.header.version {
            // It has a state that this process never made.
            entry.take_out_of_play();
            self.buried.insert(character, user);
            return Some(Saved { waited_ms: 0, settled: was_flushable, left: false, broken: true });
        }
        let waited_ms = now_ms.saturating_sub(entry.dirty_since_ms).max(0).unsigned_abs();
        entry.saved(version, wake);
        entry.dirty_since_ms = now_ms;
        let left = entry.is_clean() && entry.deleted_at_ms.is_some();
        let settled = was_flushable && entry.is_clean();
        if left {
            roster.entries.retain(|entry| entry.id() != character);
        }
        Some(Saved { waited_ms, settled, left, broken: false })
    }

    /// The database has not taken this version of a character: the flusher must collect it again.
    pub(super) fn put_back(&mut self, user: UserId, character: CharacterId, version: Version) {
        let entry = self.rosters.get_mut(&user).and_then(|roster| roster.any_mut(character));
        if let Some(entry) = entry
            && entry.is_of_this_life(version)
            && !entry.queued
        {
            entry.queued = true;
            self.dirty.push((user, character));
        }
    }
}

/// What a write came to for a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Saved {
    /// How long the oldest intent in it waited, in milliseconds.
    pub(super) waited_ms: u64,
    /// It was among those with something to flush, and is not any more.
    pub(super) settled: bool,
    /// The character was deleted and has left memory.
    pub(super) left: bool,
    /// The database is said to have a version that was never made: the character was taken out of play.
    pub(super) broken: bool,
}
