//! Characters of users whose account was deleted: the server that has their shard deletes them, like the user would.

use std::sync::Arc;

use castellan_authority::{Answered, Base, Change, Command, Entry, Refusal, Shape, shard_of};
use castellan_game::Game;
use castellan_protocol::{CharacterId, RequestId, UserId, Version};

use super::store::Shards;
use crate::storage::StorageError;

/// Most users looked at in a second.
const USERS_MAX: u32 = 1_000;

/// How long after the account its characters are deleted, in milliseconds.
///
/// Longer than a session outlives its account, so that nobody makes a character afterwards.
const REST_MS: i64 = 5_000;

impl<G: Game> Shards<G> {
    /// Deletes the characters of users whose account was deleted, if their shard is ours.
    ///
    /// # Errors
    ///
    /// If the database cannot be reached. The next call does the rest.
    pub async fn delete_departed(self: &Arc<Self>) -> Result<(), StorageError> {
        let before_ms = (self.clock)() - REST_MS;
        for user in self.storage.departed_users(before_ms, USERS_MAX).await? {
            if self.lock(shard_of(user)).core.lease().is_none() {
                continue;
            }
            match self.delete_characters_of(user).await {
                Ok(()) => {}
                Err(refusal) => tracing::debug!(%user, error = %refusal.message, "a departed user's characters wait"),
            }
            // False until the deletions are stored.
            self.storage.forget_departed(user).await?;
        }
        Ok(())
    }

    async fn delete_characters_of(self: &Arc<Self>, user: UserId) -> Result<(), Refusal> {
        self.load(user).await?;
        let now_ms = (self.clock)();
        let living: Vec<CharacterId> = {
            let mut shard = self.lock(shard_of(user));
            let roster = shard.core.roster(user, now_ms);
            roster.map(|roster| roster.living().map(Entry::id).collect()).unwrap_or_default()
        };
        for character in living {
            let command = Command {
                owner: user,
                character,
                id: request_id(now_ms),
                base: Base { after: None, expect: Some(Version::new(0)) },
                change: Change::Delete,
                permitted: true,
                is_limited: false,
            };
            match self.change(&command, None, Shape::Body, now_ms, &mut Vec::new()).await {
                Answered::Applied { .. } => {
                    tracing::info!(%user, %character, "deleted a character: its user's account was deleted");
                }
                Answered::Refused(refusal) => return Err(refusal),
                Answered::Conflict(_) | Answered::Closing => {}
            }
        }
        self.leave(user);
        Ok(())
    }
}

/// A request id from the half that servers use, which clients do not.
fn request_id(now_ms: i64) -> RequestId {
    let half = 1_u64 << 52;
    RequestId::new(half | (now_ms.unsigned_abs() & (half - 1)))
}
