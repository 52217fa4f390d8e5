//! Connections that come and go, and what they wait for.

use std::sync::Arc;

use castellan_authority::{Effects, Entry, Refusal, shard_of};
use castellan_game::Game;
use castellan_protocol::{CharacterId, CharacterSummary, UserId};

use super::mailbox::Mailbox;
use super::store::Shards;

impl<G: Game> Shards<G> {
    /// Begins a connection of a user: proves the lease of the user's shard and returns the living characters.
    ///
    /// # Errors
    ///
    /// The refusal, if the shard is not ours or the database cannot be reached.
    pub async fn welcome(self: &Arc<Self>, user: UserId, mailbox: &Mailbox) -> Result<Vec<CharacterSummary>, Refusal> {
        let shard = shard_of(user);
        loop {
            self.load(user).await?;
            self.prove(shard).await?;
            let mut shard = self.lock(shard);
            let Some(roster) = shard.core.welcome(user, mailbox, (self.clock)()) else {
                // Evicted or lost after the load.
                continue;
            };
            let summary = |entry: &Entry<G, Mailbox>| CharacterSummary {
                id: entry.id(),
                name: entry.name().to_owned(),
                version: entry.version(),
            };
            return Ok(roster.living().map(summary).collect());
        }
    }

    /// Forgets a connection that may have seen characters of a user. Without connections they may leave memory.
    pub fn farewell(&self, user: UserId, mailbox: &Mailbox) {
        let mut effects = Effects::default();
        let mut shard = self.lock(shard_of(user));
        shard.core.farewell(user, mailbox, &mut effects);
        self.perform(shard, effects);
    }

    /// Ends a watch.
    pub fn unwatch(&self, owner: UserId, character: CharacterId, mailbox: &Mailbox) {
        self.lock(shard_of(owner)).core.unwatch(owner, character, mailbox);
    }

    /// Marks a dirty character as hurried: the flusher writes it at once and first.
    pub fn hurry(&self, owner: UserId, character: CharacterId) {
        let mut effects = Effects::default();
        let mut shard = self.lock(shard_of(owner));
        shard.core.hurry(owner, Some(character), &mut effects);
        self.perform(shard, effects);
    }

    /// Flushes a user's characters at once, and lets them leave memory when they are clean and nobody uses them.
    pub fn leave(&self, user: UserId) {
        let mut effects = Effects::default();
        let mut shard = self.lock(shard_of(user));
        shard.core.hurry(user, None, &mut effects);
        shard.core.leave(user, &mut effects);
        self.perform(shard, effects);
    }
}
