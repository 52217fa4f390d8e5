//! A shard that another process will own: it serves nobody, but is still written. And one that another process has
//! already.

use crate::core::Core;
use crate::effect::{Effect, Effects, Subscriber};
use crate::entry::Link;
use crate::row::Lease;
use castellan_game::Game;

/// The part of a shard that is not stored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Unstored {
    /// Characters whose newest state is not stored.
    pub characters: usize,
    /// Those among them that the flusher will write next. An upper bound.
    pub hurried: usize,
    /// Rows that it is writing, perhaps of older states.
    pub writing: usize,
}

impl<G: Game, S: Subscriber> Core<G, S> {
    /// The lease, while the shard is served or still written.
    pub fn held(&self) -> Option<Lease> {
        self.lease.or(self.aside)
    }

    /// Serves nobody from now on, and hurries everything dirty into the database. Everybody who asks gets
    /// [`Refusal::shard_lost`](crate::Refusal::shard_lost).
    pub fn set_aside(&mut self, effects: &mut Effects<S>) {
        let Some(lease) = self.lease.take() else { return };
        self.aside = Some(lease);
        self.hurry_all(effects);
    }

    /// Hurries everything dirty into the database.
    pub fn hurry_all(&mut self, effects: &mut Effects<S>) {
        for (user, character) in &self.dirty {
            let entry = self.rosters.get_mut(user).and_then(|roster| roster.any_mut(*character));
            if let Some(entry) = entry
                && entry.queued
                && !std::mem::replace(&mut entry.hurried, true)
            {
                self.hurried.push((*user, *character));
            }
        }
        if !self.hurried.is_empty() {
            effects.push(Effect::Hurry);
        }
    }

    /// Lets these connections hear when everything that they may have seen is in the database.
    pub fn await_seen(&mut self, is_one: impl Fn(&S) -> bool) {
        for entry in self.rosters.values_mut().flat_map(|roster| &mut roster.entries) {
            let version = entry.is_flushable().then(|| entry.version());
            for link in entry.links.iter_mut().filter(|link| version.is_some() && is_one(&link.subscriber)) {
                link.unsafe_until = version;
            }
        }
    }

    /// Hurries everything into the database that these connections wait for. Returns true if there is something.
    pub fn hurry_awaited(&mut self, is_one: impl Fn(&S) -> bool, effects: &mut Effects<S>) -> bool {
        let mut is_awaited = false;
        for (user, roster) in &mut self.rosters {
            for entry in roster.entries.iter_mut().filter(|entry| entry.is_flushable()) {
                let awaits = |link: &Link<S>| link.unsafe_until.is_some() && is_one(&link.subscriber);
                if !entry.links.iter().any(awaits) {
                    continue;
                }
                is_awaited = true;
                if entry.queued && !std::mem::replace(&mut entry.hurried, true) {
                    self.hurried.push((*user, entry.id()));
                    effects.push(Effect::Hurry);
                }
            }
        }
        is_awaited
    }

    /// Serves again.
    pub fn resume(&mut self) {
        if let Some(lease) = self.aside.take() {
            self.lease = Some(lease);
        }
    }

    /// Returns true if nothing is left to store, and nothing is being stored.
    pub fn is_stored(&self) -> bool {
        !self.rosters.values().flat_map(|roster| &roster.entries).any(|entry| entry.queued || entry.is_flushable())
    }

    /// The part that is not stored.
    pub fn unstored(&self) -> Unstored {
        let entries = self.rosters.values().flat_map(|roster| &roster.entries);
        let characters = entries.filter(|entry| entry.queued || entry.is_flushable()).count();
        Unstored { characters, hurried: self.hurried.len(), writing: self.writing }
    }

    /// Another process has the shard: forgets everything and ends every connection that was told of it.
    ///
    /// Returns how many characters and users were dropped and how many characters were dirty.
    pub fn lose(&mut self, effects: &mut Effects<S>) -> (usize, usize) {
        let mut unflushed = 0;
        let places = self.forget(effects, |entry, effects| {
            unflushed += usize::from(entry.is_flushable());
            for link in entry.links {
                effects.push(Effect::Close { to: link.subscriber });
            }
        });
        // They stay in the list until their farewell; the shard may come back before that.
        for subscriber in &self.sockets {
            effects.push(Effect::Close { to: subscriber.clone() });
        }
        effects.push(Effect::Dirty(-unflushed.cast_signed()));
        (places.unsigned_abs(), unflushed)
    }

    /// Another process owns the shard now, and everything was stored: forgets all of it. No connection ends, because
    /// everything that one was told is stored.
    ///
    /// Returns how many characters and users were forgotten.
    pub fn hand_over(&mut self, effects: &mut Effects<S>) -> usize {
        let places = self.forget(effects, |_, _| {});
        self.sockets.clear();
        places.unsigned_abs()
    }
}
