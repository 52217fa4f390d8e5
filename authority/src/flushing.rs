//! The shard's exchange with the flusher: it hands over states and learns the results.

use std::mem;

use castellan_game::Game;
use castellan_protocol::pack::write_json;
use castellan_protocol::{CharacterId, UserId, Version};

use crate::books::BooksOf;
use crate::core::Core;
use crate::effect::{Effect, Effects, Subscriber};
use crate::entry::Entry;
use crate::header::Header;
use crate::planted;
use crate::row::{CharacterRow, Lease, WITH_BOOKS};

/// Selects dirty characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Queue {
    /// All of them.
    Dirty,
    /// Those whose commit someone waits for.
    Hurried,
}

/// Initial capacity for a state, in bytes: enough for most.
const STATE_BYTES: usize = 1_536;

/// A copy of a character from when it was collected. It becomes a row outside the shard's lock.
#[derive(Debug)]
pub struct Snapshot<G: Game> {
    header: Header,
    state: G::State,
    request_ids: Vec<u64>,
    deleted_at_ms: Option<i64>,
    books: Option<BooksOf<G>>,
    lease: Lease,
    /// The schema to store it in.
    schema_version: i32,
}

impl<G: Game> Snapshot<G> {
    pub(crate) fn of<S>(entry: &Entry<G, S>, lease: Lease, schema_version: i32) -> Self {
        Self {
            header: entry.header,
            state: entry.state.clone(),
            request_ids: planted::request_ids(entry.ring.oldest_first()),
            deleted_at_ms: entry.deleted_at_ms,
            books: entry.ledger.as_ref().map(|ledger| &ledger.books).filter(|books| !books.is_empty()).cloned(),
            lease,
            schema_version,
        }
    }

    /// The row to write.
    pub fn into_row(self) -> CharacterRow {
        let mut packed = Vec::with_capacity(STATE_BYTES);
        self.header.store::<G>(&self.state, self.books.as_ref(), &mut packed);
        let mut state = Vec::with_capacity(STATE_BYTES);
        write_json(&mut packed.as_slice(), &mut state);
        let mut state = String::from_utf8(state).expect("JSON is UTF-8");
        let mut schema_version = G::SCHEMA_VERSION;
        // A state that does not fit was stored in the present schema before, and must not lose anything.
        if self.schema_version < G::SCHEMA_VERSION && G::fits(self.schema_version, &self.state) {
            schema_version = self.schema_version;
            state = G::downgrade(schema_version, state);
        }
        if self.books.is_some() {
            schema_version += WITH_BOOKS;
        }
        CharacterRow {
            id: self.header.id,
            user: self.header.user,
            shard: self.lease.shard,
            name: G::name(&self.state).to_owned(),
            version: self.header.version.get(),
            recoveries: self.lease.recoveries,
            schema_version,
            state,
            request_ids: self.request_ids,
            created_at_ms: self.header.created_at_ms,
            updated_at_ms: self.header.updated_at_ms,
            deleted_at_ms: self.deleted_at_ms,
        }
    }
}

impl<G: Game, S: Subscriber> Core<G, S> {
    /// The characters that the flusher must collect. Some may have been collected from the other queue meanwhile.
    fn queue(&mut self, queue: Queue) -> &mut Vec<(UserId, CharacterId)> {
        match queue {
            Queue::Dirty => &mut self.dirty,
            Queue::Hurried => &mut self.hurried,
        }
    }

    /// An upper bound for the number of characters in a queue.
    pub fn queued(&mut self, queue: Queue) -> usize {
        self.queue(queue).len()
    }

    /// When the oldest change was applied that waits for the flusher, in milliseconds since the Unix epoch.
    pub fn oldest_dirty_ms(&self) -> Option<i64> {
        let entry = |(user, id): &(_, _)| self.rosters.get(user)?.entries.iter().find(|entry| entry.id() == *id);
        let entries = self.dirty.iter().filter_map(entry);
        entries.filter(|entry| entry.queued).map(|entry| entry.dirty_since_ms).min()
    }

    /// Takes the newest states of a queue. Returns the lease to write them under, if there are any.
    pub fn collect(&mut self, queue: Queue, snapshots: &mut Vec<Snapshot<G>>) -> Option<Lease> {
        let lease = self.held()?;
        let before = snapshots.len();
        let mut queued = mem::take(self.queue(queue));
        for (user, character) in queued.drain(..) {
            let entry = self.rosters.get_mut(&user).and_then(|roster| roster.any_mut(character));
            if let Some(entry) = entry
                && entry.queued
            {
                (entry.queued, entry.hurried) = (false, false);
                snapshots.push(Snapshot::of(entry, lease, self.schema_version));
            }
        }
        *self.queue(queue) = queued;
        self.writing += snapshots.len() - before;
        (snapshots.len() > before).then_some(lease)
    }

    /// Somebody waits for the commit of all of a user's characters, or of `only` one.
    pub fn hurry(&mut self, user: UserId, only: Option<CharacterId>, effects: &mut Effects<S>) {
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
    pub fn saved(
        &mut self,
        user: UserId,
        character: CharacterId,
        version: Version,
        now_ms: i64,
        effects: &mut Effects<S>,
    ) {
        self.writing = self.writing.saturating_sub(1);
        let Some(roster) = self.rosters.get_mut(&user) else { return };
        let Some(entry) = roster.any_mut(character).filter(|entry| entry.is_of_this_life(version)) else { return };
        if version > entry.header.version {
            // The database has a state that this process never made.
            entry.take_out_of_play(effects);
            self.buried.insert(user, character);
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
        if entry.is_clean() && entry.deleted_at_ms.is_some() && entry.is_settled() {
            roster.entries.retain(|entry| entry.id() != character);
            effects.push(Effect::Places(-1));
        }
        self.try_leave(user, effects);
    }

    /// The database has not taken this version of a character: the flusher must collect it again.
    pub fn put_back(&mut self, user: UserId, character: CharacterId, version: Version) {
        self.writing = self.writing.saturating_sub(1);
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
