//! `castellan dead-letters`: characters that the database refused to store.

use std::io::Write;

use castellan_protocol::CharacterId;

use super::time_of;
use crate::config::DeadLetters;
use crate::storage::{DeadLetter, Storage, Verdict};

/// Runs a command about dead letters.
pub(super) async fn run(storage: &dyn Storage, task: DeadLetters, out: &mut dyn Write) -> anyhow::Result<()> {
    match task {
        DeadLetters::List => list(&storage.dead_letters().await?, out),
        DeadLetters::Show(id) => show(&storage.dead_letters().await?, id, out),
        DeadLetters::Retry(id) => decide(storage, id, Verdict::Retry, out).await,
        DeadLetters::Discard(id) => decide(storage, id, Verdict::Discard, out).await,
    }
}

fn list(letters: &[DeadLetter], out: &mut dyn Write) -> anyhow::Result<()> {
    for letter in letters {
        let first = letter.error.lines().next().unwrap_or_default();
        writeln!(
            out,
            "{}  {}  version {}  {}  {first}",
            letter.row.id,
            time_of(letter.failed_at_ms),
            letter.row.version,
            verdict_of(letter)
        )?;
    }
    match letters.len() {
        0 => writeln!(out, "no dead letters")?,
        count => writeln!(out, "{count} in total; `castellan dead-letters show ID` shows one in full")?,
    }
    Ok(())
}

fn show(letters: &[DeadLetter], id: CharacterId, out: &mut dyn Write) -> anyhow::Result<()> {
    let letter = find(letters, id)?;
    writeln!(out, "character  {id} ({})", letter.row.name)?;
    writeln!(out, "user       {}", letter.row.user)?;
    writeln!(out, "shard      {} (epoch {})", letter.row.shard, letter.epoch)?;
    writeln!(out, "version    {} ({})", letter.row.version, database_of(letter))?;
    writeln!(out, "failed     {} after {} attempts", time_of(letter.failed_at_ms), letter.attempts)?;
    writeln!(out, "decision   {}", verdict_of(letter))?;
    writeln!(out, "error      {}", letter.error)?;
    writeln!(out, "state      {}", letter.row.state)?;
    Ok(())
}

async fn decide(storage: &dyn Storage, id: CharacterId, verdict: Verdict, out: &mut dyn Write) -> anyhow::Result<()> {
    let letters = storage.dead_letters().await?;
    let letter = find(&letters, id)?;
    anyhow::ensure!(
        verdict == Verdict::Discard || !letter.is_overtaken(),
        "{}, which is newer than version {} of this dead letter, so the letter can no longer be stored. The character \
         is in play. Delete the letter with `castellan dead-letters discard {id}`",
        database_of(letter),
        letter.row.version
    );
    anyhow::ensure!(storage.decide_dead_letter(id, verdict).await?, "the dead letter of character {id} is gone");
    writeln!(
        out,
        "decision recorded; the server that holds this character carries it out within a second, or when it next starts"
    )?;
    Ok(())
}

fn find(letters: &[DeadLetter], id: CharacterId) -> anyhow::Result<&DeadLetter> {
    let letter = letters.iter().find(|letter| letter.row.id == id);
    letter.ok_or_else(|| anyhow::anyhow!("no dead letter for character {id}; `castellan dead-letters list` lists all"))
}

fn database_of(letter: &DeadLetter) -> String {
    match letter.stored {
        Some(version) => format!("the database has version {version}"),
        None => "the database does not have this character".to_owned(),
    }
}

fn verdict_of(letter: &DeadLetter) -> &'static str {
    match letter.verdict {
        None if letter.is_overtaken() => "overtaken",
        None => "undecided",
        Some(Verdict::Retry) => "to be retried",
        Some(Verdict::Discard) => "to be discarded",
    }
}
