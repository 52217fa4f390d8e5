//! Characters whose state the database refused: they wait for an operator, and go on as decided.

use castellan_protocol::{CharacterId, UserId};

use super::core::Core;
use super::entry::Entry;
use super::mailbox::CloseOrder;
use super::store::Shards;
use crate::rules::{Character, stored};
use crate::storage::{CharacterRow, DeadLetter, Lease, StorageError, Verdict};
use crate::telemetry;

impl Core {
    /// The database refuses this character: it takes no intents until an operator has decided.
    ///
    /// Returns whether it was among those with something to flush, of which it is none any more. The second time it is
    /// not: the flusher comes by again where an intent was applied while the letter was on its way.
    pub(super) fn bury(&mut self, user: UserId, character: CharacterId) -> bool {
        self.buried.insert(character);
        let entry = self.rosters.get_mut(&user).and_then(|roster| roster.any_mut(character));
        entry.is_some_and(|entry| {
            let was_flushable = entry.is_flushable();
            entry.dead_letter = true;
            was_flushable
        })
    }

    /// Memory falls back to what the database has of a character (`None`: nothing): whoever saw it is ended.
    fn exhume(&mut self, lease: Lease, user: UserId, id: CharacterId, stored: Option<(CharacterRow, Character)>) {
        self.buried.remove(&id);
        let Some(roster) = self.rosters.get_mut(&user) else { return };
        let Some(index) = roster.entries.iter().position(|entry| entry.id() == id) else { return };
        for link in &roster.entries[index].links {
            link.mailbox.order_close(CloseOrder::SHARD_MOVED);
        }
        match stored {
            Some((row, character)) => roster.entries[index] = Entry::loaded(row, character, lease),
            // An empty place is kept until the user leaves memory, so that the count of places stays right.
            None => roster.entries[index].deleted_at_ms = Some(roster.used_at_ms),
        }
    }
}

impl Shards {
    /// Notes which characters wait for an operator: at the start, before anything is loaded.
    ///
    /// # Errors
    ///
    /// Where the database cannot say.
    pub async fn recall_dead_letters(&self) -> Result<(), StorageError> {
        let letters = self.storage.dead_letters().await?;
        telemetry::dead_letters(letters.len());
        for letter in letters {
            self.lock(letter.row.shard).core.buried.insert(letter.row.id);
        }
        Ok(())
    }

    /// Carries out what operators have decided since the last time.
    ///
    /// # Errors
    ///
    /// Where the database is not to be had; what was left undone is done the next time.
    pub async fn settle_dead_letters(&self) -> Result<(), StorageError> {
        let letters = self.storage.dead_letters().await?;
        telemetry::dead_letters(letters.len());
        for letter in &letters {
            let Some(lease) = self.lock(letter.row.shard).core.lease else { continue };
            let settled = match letter.verdict {
                None => continue,
                Some(Verdict::Retry) => self.retry(lease, letter).await,
                Some(Verdict::Discard) => self.discard(lease, letter).await,
            };
            if let Err(StorageError::Fenced(_)) = settled {
                self.lose(lease);
            } else {
                settled?;
            }
        }
        Ok(())
    }

    async fn retry(&self, lease: Lease, letter: &DeadLetter) -> Result<(), StorageError> {
        match self.storage.retry_dead_letter(lease, &letter.row).await {
            Ok(()) => {
                tracing::info!(character = %letter.row.id, "a dead letter was written after all");
                self.fall_back(lease, &letter.row).await
            }
            Err(StorageError::Refused(error)) => {
                tracing::warn!(character = %letter.row.id, error, "the database still refuses a dead letter");
                let attempts = letter.attempts.saturating_add(1);
                let again = DeadLetter { error, attempts, verdict: None, ..letter.clone() };
                self.storage.add_dead_letter(lease, &again).await
            }
            Err(error) => Err(error),
        }
    }

    async fn discard(&self, lease: Lease, letter: &DeadLetter) -> Result<(), StorageError> {
        let discarded = self.lock(lease.shard).core.present_version(letter.row.user, letter.row.id);
        let version = discarded.map_or(letter.row.version, |version| version.get().max(letter.row.version)) + 1;
        self.storage.discard_dead_letter(lease, letter.row.id, version).await?;
        tracing::info!(character = %letter.row.id, "a dead letter was discarded");
        self.fall_back(lease, &letter.row).await
    }

    /// Goes on with a character as the database has it now.
    async fn fall_back(&self, lease: Lease, letter: &CharacterRow) -> Result<(), StorageError> {
        let rows = self.storage.load_user(lease, letter.user).await?;
        let stored = match rows.into_iter().find(|row| row.id == letter.id) {
            Some(row) => {
                let character = stored::decode(row.schema_version, &row.state)
                    .map_err(|error| StorageError::Corrupt(error.to_string()))?;
                Some((row, character))
            }
            None => None,
        };
        let mut shard = self.lock(lease.shard);
        if shard.core.lease == Some(lease) {
            shard.core.exhume(lease, letter.user, letter.id, stored);
        }
        Ok(())
    }
}
