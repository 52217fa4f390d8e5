//! Copies of rosters for the next owner of a shard.
//!
//! A copy is what a flush would write and a load would read. The next owner installs it in place of a load, if the former
//! one says that the database has exactly these versions.

use castellan_game::Game;
use castellan_protocol::{CharacterId, UserId, Version};

use crate::core::Core;
use crate::effect::Subscriber;
use crate::entry::Entry;
use crate::flushing::Snapshot;
use crate::roster::Roster;

/// The characters of a user, with their versions.
pub type Versions = Vec<(CharacterId, Version)>;

impl<G: Game, S: Subscriber> Core<G, S> {
    /// The rosters in memory that can be copied. With `only_stored`, those of which the database has everything.
    pub fn versions(&self, only_stored: bool) -> Vec<(UserId, Versions)> {
        let counts = |roster: &Roster<G, S>| {
            roster.is_copyable()
                && (!only_stored || roster.entries.iter().all(|entry| entry.is_clean() && !entry.queued))
        };
        let rosters = self.rosters.iter().filter(|(_, roster)| counts(roster));
        rosters.map(|(user, roster)| (*user, roster.versions())).collect()
    }

    /// Copies of a user's characters; `None` if they are not in memory, or cannot be copied.
    pub fn copy(&self, user: UserId) -> Option<Vec<Snapshot<G>>> {
        let lease = self.held()?;
        let roster = self.rosters.get(&user).filter(|roster| roster.is_copyable())?;
        Some(roster.entries.iter().map(|entry| Snapshot::of(entry, lease, self.schema_version)).collect())
    }
}

impl<G: Game, S: Subscriber> Roster<G, S> {
    /// Most deleted characters are no part of what a load reads, and one that is out of play is not as the database has it.
    fn is_copyable(&self) -> bool {
        self.entries.iter().all(|entry| entry.deleted_at_ms.is_none() && !entry.dead_letter)
    }

    fn versions(&self) -> Versions {
        self.entries.iter().map(|entry: &Entry<G, S>| (entry.id(), entry.version())).collect()
    }
}
