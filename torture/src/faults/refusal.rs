//! The database refuses one character's row, and an operator decides on the dead letter.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use castellan_srd::wire::CharacterId;
use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use tokio::time::Instant;

use super::{PATIENCE, ms};
use crate::history::{Gate, History};
use crate::world::World;

/// Time to watch writes before choosing a written character: each player acts several times.
const WATCH: Duration = Duration::from_secs(1);

/// Time between two looks at the database.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Time limit for a state newer than the dead letter to be flushed: four sweeps.
const NEWER_PATIENCE: Duration = Duration::from_secs(1);

impl World<'_> {
    pub(crate) async fn refuse_row(&mut self, verdict: &str, rng: &mut StdRng) -> Result<()> {
        let mut writes = RecentWrites::begin(&self.history).await?;
        let character = self.choose_written(&mut writes, rng).await?;
        self.decided.insert(character);
        self.history.refuse(character, true).await?;
        self.until_buried(character, true, &mut writes)
            .await
            .context("waiting for a refused row to become a dead letter")?;
        tokio::time::sleep(ms(rng, 0..700)).await;
        self.history.refuse(character, false).await?;
        let decided = self.decide(character, verdict).await;
        // The command fails if the database has taken a later state meanwhile. Then the letter goes by itself.
        self.until_buried(character, false, &mut writes)
            .await
            .with_context(|| format!("waiting for an operator's decision to be carried out; the command: {decided:?}"))
    }

    /// The operator decides while a state newer than the dead letter is between the proof of its lease and its row.
    pub(crate) async fn refuse_while_written(&mut self, rng: &mut StdRng) -> Result<()> {
        let mut writes = RecentWrites::begin(&self.history).await?;
        let character = self.choose_written(&mut writes, rng).await?;
        self.decided.insert(character);
        let mut letters = self.history.close(Gate::Letters).await?;
        let mut newer = self.history.close(Gate::NewerThanLetter).await?;
        self.history.refuse(character, true).await?;
        if !letters.holds_somebody(PATIENCE).await? {
            let known = self.what_is_known(Some(character), &mut writes).await;
            bail!("waiting for a refused row to become a dead letter: none was written within {PATIENCE:?}: {known}");
        }
        // The character is still in play, so more intents are applied meanwhile: a player pauses for 0.9 s at most.
        // The server waits for 2 s.
        tokio::time::sleep(ms(rng, 900..1_400)).await;
        letters.open().await?;
        if !newer.holds_somebody(NEWER_PATIENCE).await? {
            eprintln!("      no newer state of {character} was being written");
        }
        self.history.refuse(character, false).await?;
        self.decide(character, if rng.random() { "retry" } else { "discard" }).await?;
        self.until_buried(character, false, &mut writes)
            .await
            .context("waiting for an operator's decision to be carried out")?;
        newer.open().await
    }

    /// A character that was just written, so somebody acts on it.
    ///
    /// Others may be silent for longer than anybody waits here. After a long time without a server a player waits up to
    /// 30 s before it connects again; after a dead letter it holds its intents as long, unless its socket ends before;
    /// and memory has not room for all characters, so one may wait for others to be stored.
    async fn choose_written(&mut self, writes: &mut RecentWrites, rng: &mut StdRng) -> Result<CharacterId> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            tokio::time::sleep(WATCH).await;
            writes.look(&self.history).await?;
            let letters = self.history.dead_letters().await?;
            let in_play = |character: &&CharacterId| !letters.contains(*character);
            let candidates: Vec<CharacterId> = writes.seen.keys().filter(in_play).copied().collect();
            if let Some(character) = candidates.choose(rng) {
                return Ok(*character);
            }
            if Instant::now() > deadline {
                bail!("no character was written within {PATIENCE:?}: {}", self.what_is_known(None, writes).await);
            }
        }
    }

    async fn decide(&self, character: CharacterId, verdict: &str) -> Result<()> {
        let arguments = ["dead-letters", verdict, &character.to_string()];
        self.servers.command_line(&self.history.place().url(), &arguments).await
    }

    /// Waits until a character has, or no longer has, a dead letter.
    async fn until_buried(&self, character: CharacterId, buried: bool, writes: &mut RecentWrites) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while self.history.dead_letters().await?.contains(&character) != buried {
            writes.look(&self.history).await?;
            if Instant::now() > deadline {
                let known = self.what_is_known(Some(character), writes).await;
                bail!("it did not happen within {PATIENCE:?}; {known}");
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        Ok(())
    }

    /// Facts that distinguish a silent character from a silent server, for people.
    async fn what_is_known(&self, character: Option<CharacterId>, writes: &mut RecentWrites) -> String {
        let mut known = match writes.look(&self.history).await {
            Ok(()) => writes.tell(character, Instant::now()),
            Err(error) => format!("cannot read the writes: {error:#}"),
        };
        if let Some(character) = character {
            known += &match self.history.dead_letters().await {
                Ok(letters) if letters.contains(&character) => "; it has a dead letter".to_owned(),
                Ok(letters) => format!("; it has no dead letter, but {} others do", letters.len()),
                Err(error) => format!("; cannot read the dead letters: {error:#}"),
            };
        }
        match &self.present {
            Some(server) => {
                let (number, readiness) = (server.number, server.readiness().await);
                format!(
                    "{known}; server {number} at GET /health/ready: {readiness}; its log ends:\n{}",
                    server.last_words()
                )
            }
            None => format!("{known}; there is no server"),
        }
    }
}

/// The characters written since a fault began, each with the time of its last known write.
struct RecentWrites {
    began: Instant,
    /// Of the newest write looked at.
    place: i64,
    seen: BTreeMap<CharacterId, Instant>,
}

impl RecentWrites {
    async fn begin(history: &History) -> Result<Self> {
        Ok(Self { began: Instant::now(), place: history.newest_place().await?, seen: BTreeMap::new() })
    }

    async fn look(&mut self, history: &History) -> Result<()> {
        for (place, character) in history.written_since(self.place).await? {
            self.place = place;
            self.seen.insert(character, Instant::now());
        }
        Ok(())
    }

    /// The time since a character, and any character, was last written, for people.
    fn tell(&self, character: Option<CharacterId>, now: Instant) -> String {
        let ago = |time: Option<&Instant>| match time {
            Some(time) => format!("{:.1} s ago", now.duration_since(*time).as_secs_f64()),
            None => format!("more than {:.1} s ago", now.duration_since(self.began).as_secs_f64()),
        };
        let newest = ago(self.seen.values().max());
        match character {
            Some(character) => {
                let written = ago(self.seen.get(&character));
                format!("{character} was last written {written}, the last write of any character was {newest}")
            }
            None => format!("any character was last written {newest}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_when_a_character_was_last_written_and_when_any_was() {
        let [first, second] = [1, 2].map(|n| CharacterId::from_uuid(uuid::Uuid::from_u128(n)));
        let began = Instant::now();
        let after = |seconds| began + Duration::from_secs(seconds);
        let mut writes = RecentWrites { began, place: 0, seen: BTreeMap::new() };
        assert_eq!(writes.tell(None, after(3)), "any character was last written more than 3.0 s ago");
        writes.seen = [(first, after(3)), (second, after(7))].into();
        let told = format!("{first} was last written 5.0 s ago, the last write of any character was 1.0 s ago");
        assert_eq!(writes.tell(Some(first), after(8)), told);
    }
}
