//! Characters out of play: the database refused their state, so they take no intents until an operator has decided.
//! Then memory falls back to the database.
//!
//! A write of the character may still be in flight, and may arrive after its caller gave up. So the transaction that
//! carries out the decision raises the row's version above every version that this process has shown or written. Then a
//! late write changes nothing, and no version names two states. The answer to a late write is about an earlier life of
//! the entry and is ignored.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use castellan_authority::{Effects, restore};
use castellan_game::Game;
use castellan_protocol::{CharacterId, UserId};
use futures_util::FutureExt;
use tokio::time::Instant;

use super::store::{Shards, Stuck};
use crate::storage::{CharacterRow, DeadLetter, Lease, ShardId, StorageError, VERSION_JUMP, Verdict};
use crate::telemetry;

/// First and longest pause before a character that cannot be brought back is tried again. The pause doubles in between.
const PAUSE_MIN: Duration = Duration::from_secs(2);
const PAUSE_MAX: Duration = Duration::from_secs(64);

/// The next step for a dead letter.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// It changes nothing any more: delete it.
    Forget,
    /// The database has a newer state: the operator's retry cannot be carried out.
    Reject,
    /// The operator's decisions.
    Retry,
    Discard,
}

impl<G: Game> Shards<G> {
    /// Notes which characters wait for an operator. Call it at the start, before anything is loaded.
    ///
    /// # Errors
    ///
    /// If the database cannot be read.
    pub async fn recall_dead_letters(&self) -> Result<(), StorageError> {
        self.recall_dead_letters_of(|_| true).await
    }

    /// The same for the shards for which `counts` returns true.
    ///
    /// # Errors
    ///
    /// If the database cannot be read.
    pub async fn recall_dead_letters_of(&self, counts: impl Fn(ShardId) -> bool) -> Result<(), StorageError> {
        let letters = self.storage.dead_letters().await?;
        telemetry::dead_letters(letters.len());
        for letter in letters.iter().filter(|letter| counts(letter.row.shard)) {
            let (character, version) = (letter.row.id, letter.row.version);
            if letter.is_open() {
                self.lock(letter.row.shard).core.recall(&letter.row);
            } else {
                tracing::warn!(
                    %character,
                    version,
                    "the database has the state of a dead letter or a newer one; the character is in play"
                );
            }
        }
        Ok(())
    }

    /// Carries out the decisions that operators have made since the last call, and brings back characters that are out
    /// of play without a dead letter that they must wait for. Such a character's decision was carried out but its answer
    /// was lost, or the database took a later state, or its versions contradicted each other.
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
            let Some(step) = self.next_step(letter) else { continue };
            away = self.attempt(lease, letter.row.id, self.carry_out(step, lease, letter)).await.and(away);
        }
        for (lease, user, character) in out_of_play {
            let waits = letters.iter().any(|letter| letter.row.id == character && letter.is_open());
            if !waits && self.is_out_of_play(lease, character) {
                away = self.attempt(lease, character, self.start_over(lease, user, character, None)).await.and(away);
            }
        }
        away
    }

    /// The next step for a letter; `None` if it waits for an operator.
    fn next_step(&self, letter: &DeadLetter) -> Option<Step> {
        let mut shard = self.lock(letter.row.shard);
        let is_stored = letter.stored == Some(letter.row.version);
        if is_stored || shard.core.is_settled(&letter.row, letter.epoch) {
            return Some(Step::Forget);
        }
        match letter.verdict? {
            Verdict::Retry if letter.is_overtaken() => Some(Step::Reject),
            Verdict::Retry => Some(Step::Retry),
            Verdict::Discard if letter.is_overtaken() && !shard.core.is_out_of_play(letter.row.id) => {
                Some(Step::Forget)
            }
            Verdict::Discard => Some(Step::Discard),
        }
    }

    async fn carry_out(&self, step: Step, lease: Lease, letter: &DeadLetter) -> Result<(), StorageError> {
        let (character, version) = (letter.row.id, letter.row.version);
        match step {
            Step::Forget => {
                self.storage.forget_dead_letter(lease, character, version).await?;
                tracing::info!(
                    %character,
                    version,
                    "a dead letter was deleted: the database has its state or a newer one, or an earlier decision \
                     dropped it"
                );
                Ok(())
            }
            Step::Reject => {
                let stored = letter.stored.unwrap_or_default();
                let error = format!("the database has version {stored}; version {version} can only be discarded");
                self.reject(lease, letter, &error).await
            }
            Step::Retry => self.retry(lease, letter).await,
            Step::Discard => self.discard(lease, letter).await,
        }
    }

    /// Takes a step for a character, unless the last one failed a short time ago. Neither a failure nor a panic holds up
    /// the other characters.
    ///
    /// # Errors
    ///
    /// Only if the database cannot be reached.
    async fn attempt(
        &self,
        lease: Lease,
        character: CharacterId,
        step: impl Future<Output = Result<(), StorageError>>,
    ) -> Result<(), StorageError> {
        if self.stuck.lock().get(&character).is_some_and(|stuck| Instant::now() < stuck.next_try) {
            return Ok(());
        }
        let error = match AssertUnwindSafe(step).catch_unwind().await {
            Ok(Err(error @ StorageError::Transient(_))) => return Err(error),
            Ok(Err(StorageError::Fenced(_))) => {
                self.lose(lease);
                return Ok(());
            }
            Ok(Err(error)) => error.to_string(),
            Ok(Ok(())) => {
                self.stuck.lock().remove(&character);
                return Ok(());
            }
            Err(_) => "a panic".to_owned(),
        };
        let mut stuck = self.stuck.lock();
        let pause = stuck.get(&character).map_or(PAUSE_MIN, |stuck| (stuck.pause * 2).min(PAUSE_MAX));
        stuck.insert(character, Stuck { pause, next_try: Instant::now() + pause });
        tracing::error!(%character, error, "cannot bring a character back into play; trying again in {pause:?}");
        Ok(())
    }

    fn is_out_of_play(&self, lease: Lease, character: CharacterId) -> bool {
        self.lock(lease.shard).core.is_out_of_play(character)
    }

    fn out_of_play(&self) -> Vec<(Lease, UserId, CharacterId)> {
        let mut found = Vec::new();
        for shard in ShardId::all() {
            let shard = self.lock(shard);
            if let Some(lease) = shard.core.lease() {
                found.extend(shard.core.out_of_play().map(|(user, character)| (lease, user, character)));
            }
        }
        found
    }

    async fn retry(&self, lease: Lease, letter: &DeadLetter) -> Result<(), StorageError> {
        let version = self.freeze(lease, letter.row.user, letter.row.id, Some(&letter.row));
        match self.storage.retry_dead_letter(lease, &letter.row, version).await {
            Ok(()) => {
                tracing::info!(character = %letter.row.id, "a retried dead letter was stored");
                self.reload(lease, letter.row.user, letter.row.id).await
            }
            Err(StorageError::Refused(error)) => self.reject(lease, letter, &error).await,
            Err(error) => Err(error),
        }
    }

    async fn discard(&self, lease: Lease, letter: &DeadLetter) -> Result<(), StorageError> {
        match self.start_over(lease, letter.row.user, letter.row.id, Some(&letter.row)).await {
            Err(StorageError::Refused(error)) => self.reject(lease, letter, &error).await,
            other => other,
        }
    }

    /// The decision cannot be carried out; the letter waits for another one.
    async fn reject(&self, lease: Lease, letter: &DeadLetter, error: &str) -> Result<(), StorageError> {
        tracing::warn!(
            character = %letter.row.id,
            error,
            "the decision about a dead letter cannot be carried out; the letter waits for another decision"
        );
        self.storage.reject_decision(lease, letter, error).await
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
        let forgotten = letter.map(|row| row.version);
        self.storage.discard_dead_letter(lease, user, character, forgotten, version).await?;
        tracing::info!(%character, "a character was reset to its state in the database");
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
        let rows = self.storage.load(lease, &[user]).await?;
        let stored = match rows.into_iter().find(|row| row.id == character) {
            Some(row) => {
                let loaded = restore::<G>(row.schema_version, &row.state)
                    .map_err(|error| StorageError::Corrupt(error.to_string()))?;
                Some((row, loaded))
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
