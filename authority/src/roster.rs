//! A user's characters in a shard's memory.

use castellan_game::Game;
use castellan_protocol::CharacterId;

use crate::effect::Subscriber;
use crate::entry::Entry;

/// The characters of one user. A deleted one stays until its deletion is durable.
#[derive(Debug)]
pub struct Roster<G: Game, S> {
    pub(crate) entries: Vec<Entry<G, S>>,
    pub(crate) used_at_ms: i64,
    /// The roster leaves memory as soon as nothing keeps it there.
    leaving: bool,
}

impl<G: Game, S: Subscriber> Roster<G, S> {
    /// The roster of a user who has these characters.
    pub(crate) fn new(entries: Vec<Entry<G, S>>, now_ms: i64) -> Self {
        Self { entries, used_at_ms: now_ms, leaving: false }
    }

    /// Notes that somebody asked for the roster.
    pub(crate) fn touch(&mut self, now_ms: i64) {
        (self.used_at_ms, self.leaving) = (now_ms, false);
    }

    /// Lets it leave memory once nothing keeps it there.
    pub(crate) fn may_leave(&mut self) {
        self.leaving = true;
    }

    /// Returns true if it should leave memory, all its characters are flushed, and no connection has seen them.
    pub(crate) fn leaves(&self) -> bool {
        let idle =
            |entry: &Entry<G, S>| entry.is_evictable() && entry.links.iter().all(|link| link.subscriber.is_gone());
        self.leaving && self.entries.iter().all(idle)
    }

    /// The places that it takes in memory: its characters and one for the user.
    pub(crate) fn places(&self) -> isize {
        self.entries.len().cast_signed() + 1
    }

    /// The characters that are not deleted, for writing.
    pub fn living_mut(&mut self) -> impl Iterator<Item = &mut Entry<G, S>> {
        self.entries.iter_mut().filter(|entry| entry.deleted_at_ms.is_none())
    }

    /// The characters that are not deleted.
    pub fn living(&self) -> impl Iterator<Item = &Entry<G, S>> {
        self.entries.iter().filter(|entry| entry.deleted_at_ms.is_none())
    }

    /// Finds a character that is not deleted.
    pub(crate) fn find_mut(&mut self, character: CharacterId) -> Option<&mut Entry<G, S>> {
        self.entries.iter_mut().find(|entry| entry.id() == character && entry.deleted_at_ms.is_none())
    }

    /// Finds an entry, even a deleted one.
    pub(crate) fn any_mut(&mut self, character: CharacterId) -> Option<&mut Entry<G, S>> {
        self.entries.iter_mut().find(|entry| entry.id() == character)
    }
}
