//! Characters out of play: the database refused their state, so they take no intents until an operator has decided.
//! Then memory falls back to the database.
//!
//! A write of the character may still be in flight, and may arrive after its caller gave up. So the transaction that
//! carries out the decision raises the row's version above every version that this process has shown or written. Then a
//! late write changes nothing, and no version names two states. The answer to a late write is about an earlier life of
//! the entry and is ignored.

use castellan_protocol::{CharacterId, UserId};

use castellan_authority::Effects;

use super::store::Shards;
use crate::storage::{CharacterRow, DeadLetter, Lease, StorageError, VERSION_JUMP, Verdict};
use crate::telemetry;
use castellan_game::Game;

impl<G: Game> Shards<G> {
    /// Notes which characters wait for an operator. Call it at the start, before anything is loaded.
    ///
    /// # Errors
    ///
    /// If the database cannot be read.
    pub async fn recall_dead_letters(&self) -> Result<(), StorageError> {
        let letters = self.storage.dead_letters().await?;
        telemetry::dead_letters(letters.len());
        for letter in letters {
            self.lock(letter.row.shard).core.recall(&letter.row);
        }
        Ok(())
    }

    /// Carries out the decisions that operators have made since the last call, and brings back characters that are out
    /// of play without a dead letter. Such a character's decision was carried out but its answer was lost, or its
    /// versions contradicted each other.
    ///
    /// # Errors
    ///
    /// If the database cannot be reached. The next call does the rest.
    pub async fn carry_out_decisions(&self) -> Result<(), StorageError> {
        // Read before the letters: a refused character is out of play only after its letter was written.
        let out_of_play = self.out_of_play();
        let letters = self.storage.dead_letters().await?;
        telemetry::dead_letters(letters.len());
        let mut away = Ok(());
        for letter in &letters {
            let Some(lease) = self.lock(letter.row.shard).core.lease() else { continue };
            let done = match letter.verdict {
                None if self.lock(lease.shard).core.is_overtaken(&letter.row) => {
                    self.storage.forget_dead_letter(lease, letter.row.id, letter.row.version).await
                }
                None => continue,
                Some(Verdict::Retry) => self.retry(lease, letter).await,
                Some(Verdict::Discard) => self.discard(lease, letter).await,
            };
            away = self.concluded(lease, done).and(away);
        }
        for (lease, user, character) in out_of_play {
            if letters.iter().all(|letter| letter.row.id != character) {
                let done = self.start_over(lease, user, character, None).await;
                away = self.concluded(lease, done).and(away);
            }
        }
        away
    }

    fn out_of_play(&self) -> Vec<(Lease, UserId, CharacterId)> {
        let mut found = Vec::new();
        for shard in crate::storage::ShardId::all() {
            let shard = self.lock(shard);
            if let Some(lease) = shard.core.lease() {
                found.extend(shard.core.out_of_play().map(|(user, character)| (lease, user, character)));
            }
        }
        found
    }

    /// Handles one letter's result: a letter that cannot be settled does not hold up the others.
    fn concluded(&self, lease: Lease, done: Result<(), StorageError>) -> Result<(), StorageError> {
        match done {
            Err(StorageError::Fenced(_)) => self.lose(lease),
            Err(error @ StorageError::Transient(_)) => return Err(error),
            Err(error) => tracing::error!(%error, "a dead letter could not be settled"),
            Ok(()) => {}
        }
        Ok(())
    }

    async fn retry(&self, lease: Lease, letter: &DeadLetter) -> Result<(), StorageError> {
        let version = self.freeze(lease, letter.row.user, letter.row.id, Some(&letter.row));
        match self.storage.retry_dead_letter(lease, &letter.row, version).await {
            Ok(()) => {
                tracing::info!(character = %letter.row.id, "a dead letter was stored after all");
                self.reload(lease, letter.row.user, letter.row.id).await
            }
            Err(StorageError::Refused(error)) => self.put_away_again(lease, letter, error).await,
            Err(error) => Err(error),
        }
    }

    async fn discard(&self, lease: Lease, letter: &DeadLetter) -> Result<(), StorageError> {
        match self.start_over(lease, letter.row.user, letter.row.id, Some(&letter.row)).await {
            Err(StorageError::Refused(error)) => self.put_away_again(lease, letter, error).await,
            other => other,
        }
    }

    /// The decision cannot be carried out; the letter waits for another one.
    async fn put_away_again(&self, lease: Lease, letter: &DeadLetter, error: String) -> Result<(), StorageError> {
        tracing::warn!(character = %letter.row.id, error, "the database refuses the decision about a dead letter");
        let attempts = letter.attempts.saturating_add(1);
        let again = DeadLetter { error, attempts, verdict: None, ..letter.clone() };
        self.storage.add_dead_letter(lease, &again).await
    }

    /// Memory falls back to the database's state of a character. Its dead letter, if any, is deleted.
    async fn start_over(
        &self,
        lease: Lease,
        user: UserId,
        character: CharacterId,
        letter: Option<&CharacterRow>,
    ) -> Result<(), StorageError> {
        let version = self.freeze(lease, user, character, letter);
        self.storage.discard_dead_letter(lease, user, character, version).await?;
        tracing::info!(%character, "a character falls back to its state in the database");
        self.reload(lease, user, character).await
    }

    /// Takes a character out of play. Returns the version at which its next life begins.
    fn freeze(&self, lease: Lease, user: UserId, character: CharacterId, letter: Option<&CharacterRow>) -> u64 {
        let written = letter.map_or(0, |row| row.version + lease.crashes_since(row.recoveries) * VERSION_JUMP);
        let mut effects = Effects::default();
        let mut shard = self.lock(lease.shard);
        let next_version = shard.core.freeze(user, character, written, &mut effects);
        self.perform(shard, effects);
        next_version
    }

    /// Replaces a character in memory with the database's present state of it.
    async fn reload(&self, lease: Lease, user: UserId, character: CharacterId) -> Result<(), StorageError> {
        let rows = self.storage.load_user(lease, user).await?;
        let stored = match rows.into_iter().find(|row| row.id == character) {
            Some(row) => {
                let character = G::restore(row.schema_version, &row.state)
                    .map_err(|error| StorageError::Corrupt(error.to_string()))?;
                Some((row, character))
            }
            None => None,
        };
        let mut shard = self.lock(lease.shard);
        if shard.core.lease() == Some(lease) {
            let mut effects = Effects::default();
            shard.core.fall_back(lease, user, character, stored, &mut effects);
            self.perform(shard, effects);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
