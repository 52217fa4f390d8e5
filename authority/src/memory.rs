//! Rosters come into memory, and leave it.

use std::collections::hash_map::Entry as Place;

use castellan_game::Game;
use castellan_protocol::UserId;

use crate::books::Loaded;
use crate::core::Core;
use crate::effect::{Effect, Effects, Subscriber};
use crate::entry::Entry;
use crate::roster::Roster;
use crate::row::{CharacterRow, Lease};

/// The conditions under which a load began; the load counts only if they still hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoadPermit {
    /// The lease that the rows are read under.
    pub lease: Lease,
    fallbacks: u64,
}

impl<G: Game, S: Subscriber> Core<G, S> {
    /// The permit for a load that begins now; `None` without a lease.
    pub fn load_permit(&self) -> Option<LoadPermit> {
        self.lease.map(|lease| LoadPermit { lease, fallbacks: self.fallbacks })
    }

    /// Installs the characters that were loaded with `permit`.
    ///
    /// Returns false, and installs nothing, if the shard has changed hands, if memory has fallen back to the database
    /// meanwhile, or if another load was first.
    pub fn install(
        &mut self,
        user: UserId,
        permit: LoadPermit,
        loaded: Vec<(CharacterRow, Loaded<G>)>,
        now_ms: i64,
        effects: &mut Effects<S>,
    ) -> bool {
        if self.load_permit() != Some(permit) {
            return false;
        }
        let Place::Vacant(place) = self.rosters.entry(user) else { return false };
        let entry = |(row, state)| {
            let mut entry = Entry::loaded(row, state, permit.lease);
            entry.dead_letter = self.buried.contains(entry.id());
            entry
        };
        let entries = loaded.into_iter().map(entry).collect();
        let roster = place.insert(Roster::new(entries, now_ms));
        effects.push(Effect::Places(roster.places()));
        true
    }

    /// Drops the least recently used user of those that may leave memory. Returns how many places became free.
    pub fn evict(&mut self, effects: &mut Effects<S>) -> Option<usize> {
        let idle = self.rosters.iter().filter(|(_, roster)| roster.entries.iter().all(Entry::is_evictable));
        let (&user, _) = idle.min_by_key(|(_, roster)| roster.used_at_ms)?;
        self.drop_roster(user, effects)
    }

    fn drop_roster(&mut self, user: UserId, effects: &mut Effects<S>) -> Option<usize> {
        let places = self.rosters.remove(&user)?.places();
        effects.push(Effect::Places(-places));
        Some(places.unsigned_abs())
    }

    /// Lets a user's characters leave memory: now, or as soon as they are flushed and no connection is left.
    pub fn leave(&mut self, user: UserId, effects: &mut Effects<S>) {
        if let Some(roster) = self.rosters.get_mut(&user) {
            roster.may_leave();
            self.try_leave(user, effects);
        }
    }

    /// Drops a user's characters if they should leave and nothing keeps them.
    pub(crate) fn try_leave(&mut self, user: UserId, effects: &mut Effects<S>) {
        if self.rosters.get(&user).is_some_and(Roster::leaves) {
            self.drop_roster(user, effects);
        }
    }
}
