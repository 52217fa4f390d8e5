//! What a shard hands to the flusher, and what it learns from it.

use std::mem;

use castellan_protocol::{CharacterId, UserId, Version};

use super::core::Core;
use super::effect::{Effect, Effects, Subscriber};
use super::entry::Entry;
use super::view::{Header, StoredView};
use crate::flush::Queue;
use crate::planted::{self, Bug};
use crate::storage::{CharacterRow, Lease};
use castellan_srd::Character;
use castellan_srd::stored::SCHEMA_VERSION;

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
    fn of<S>(entry: &Entry<S>, lease: Lease) -> Self {
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

impl<S: Subscriber> Core<S> {
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

    /// Somebody waits for the commit of a user's characters, or of one of them.
    pub(super) fn hurry(&mut self, user: UserId, only: Option<CharacterId>, effects: &mut Effects<S>) {
        let Some(roster) = self.rosters.get_mut(&user) else { return };
        let mut any = false;
        for entry in &mut roster.entries {
            if entry.queued && only.is_none_or(|character| character == entry.id()) {
                any = true;
                if !mem::replace(&mut entry.hurried, true) {
                    self.hurried.push((user, entry.id()));
                }
            }
        }
        if any {
            effects.push(Effect::Hurry);
        }
    }

    /// The database has this version of a character.
    pub(super) fn saved(
        &mut self,
        user: UserId,
        character: CharacterId,
        version: Version,
        now_ms: i64,
        effects: &mut Effects<S>,
    ) {
        let Some(roster) = self.rosters.get_mut(&user) else { return };
        let Some(entry) = roster.any_mut(character).filter(|entry| entry.is_of_this_life(version)) else { return };
        if version > entry.header.version {
            // The database has a state that this process never made.
            entry.take_out_of_play(effects);
            self.buried.insert(character, user);
            return;
        }
        let waited_ms = now_ms.saturating_sub(entry.dirty_since_ms).max(0).unsigned_abs();
        let was_flushable = entry.is_flushable();
        entry.saved(version, effects);
        entry.dirty_since_ms = now_ms;
        effects.push(Effect::Persisted { waited_ms });
        if was_flushable && entry.is_clean() {
            effects.push(Effect::Dirty(-1));
        }
        if entry.is_clean() && entry.deleted_at_ms.is_some() {
            roster.entries.retain(|entry| entry.id() != character);
            effects.push(Effect::Places(-1));
        }
        self.try_leave(user, effects);
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
