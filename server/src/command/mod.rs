//! The commands other than `serve`.
//!
//! They work beside a running server and only use the database. A command about characters in memory records a decision
//! there, and the server applies it.

mod account;
mod backup;
mod dead_letters;
mod health;
mod keys;
mod nodes;
mod upgrade;

use std::io::{BufRead, Write};
use std::sync::Arc;

use anyhow::Context as _;
use castellan_protocol::CharacterId;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::audit::{self, Actor, Event, Outcome, Target};
use crate::clock::{system_clock, system_entropy};
use crate::config::{Account, AccountVerb, Config, DeadLetters, Keys, Task};
use crate::storage::{self, Storage, StorageOptions};

/// Runs a task other than the server, and records it. Output goes to `out`; a password may be read from `input`.
///
/// # Errors
///
/// Says why the task failed.
pub async fn run(config: &Config, task: Task, input: &mut dyn BufRead, out: &mut dyn Write) -> anyhow::Result<()> {
    let recorded = recorded(&task);
    // A backup fails if there is no database. Opening one here would create it.
    let creates_nothing = !matches!(task, Task::Backup(_));
    let result = perform(config, task, input, out).await;
    if let Some((action, target)) = recorded
        && (result.is_ok() || creates_nothing)
    {
        let outcome = if result.is_ok() { Outcome::Done } else { Outcome::Failed };
        let event = Event { actor: Actor::Operator, address: None, target, action, outcome };
        match open(config).await {
            Ok(storage) => audit::record_command(&*storage, &system_clock(), &system_entropy(), &event).await,
            // The command could not open it either, and says so.
            Err(error) => tracing::debug!(error = format!("{error:#}"), "the command is not recorded"),
        }
    }
    result
}

/// What the audit says of a task; nothing of those that only look.
fn recorded(task: &Task) -> Option<(&'static str, Target)> {
    let character = |id: &CharacterId| Target::Named(format!("character {id}"));
    Some(match task {
        Task::Serve | Task::Node | Task::Gateway(_) | Task::CheckConfig | Task::Doctor | Task::Health => return None,
        Task::Migrate | Task::Nodes | Task::Keys(Keys::List) => return None,
        Task::Drain(node) => ("drain", Target::Named(format!("node {node}"))),
        Task::Undrain(node) => ("undrain", Target::Named(format!("node {node}"))),
        Task::FinishUpgrade => ("upgrade finish", Target::Nothing),
        Task::DeadLetters(DeadLetters::List | DeadLetters::Show(_)) => return None,
        Task::Account(Account::List) => return None,
        Task::Account(Account::Create { name, role, .. }) => {
            ("account create", Target::Named(format!("account {name}, role {}", role.as_str())))
        }
        Task::Account(Account::One { account, verb }) => {
            let named = || Target::Named(format!("account {account}"));
            match verb {
                AccountVerb::Show | AccountVerb::Sessions => return None,
                AccountVerb::Password { .. } => ("account password", named()),
                AccountVerb::Role(role) => {
                    ("account role", Target::Named(format!("account {account}, role {}", role.as_str())))
                }
                AccountVerb::Disable => ("account disable", named()),
                AccountVerb::Enable => ("account enable", named()),
                AccountVerb::Delete => ("account delete", named()),
                AccountVerb::Revoke(None) => ("account revoke", named()),
                AccountVerb::Revoke(Some(session)) => ("account revoke", Target::Session(*session)),
            }
        }
        Task::Keys(Keys::Rotate) => ("keys rotate", Target::Nothing),
        Task::Keys(Keys::Retire { now: false }) => ("keys retire", Target::Nothing),
        Task::Keys(Keys::Retire { now: true }) => ("keys retire --now", Target::Nothing),
        Task::Keys(Keys::Encrypt { .. }) => ("keys encrypt", Target::Nothing),
        Task::Keys(Keys::Decrypt) => ("keys decrypt", Target::Nothing),
        Task::DeadLetters(DeadLetters::Retry(id)) => ("dead-letters retry", character(id)),
        Task::DeadLetters(DeadLetters::Discard(id)) => ("dead-letters discard", character(id)),
        Task::Backup(file) => ("backup", Target::Named(format!("file {}", file.display()))),
        Task::Restored => ("restored", Target::Nothing),
    })
}

async fn perform(config: &Config, task: Task, input: &mut dyn BufRead, out: &mut dyn Write) -> anyhow::Result<()> {
    match task {
        Task::Serve | Task::Node | Task::Gateway(_) | Task::Doctor => anyhow::bail!("not a task of this room"),
        // The command line was refused before this if anything was wrong.
        Task::CheckConfig => writeln!(out, "the settings and the files that they name are good")?,
        Task::Health => health::ask(config, out).await?,
        Task::Migrate => {
            open(config).await?.migrate().await?;
            writeln!(out, "{} has the current schema", config.database.url)?;
        }
        Task::Account(task) => account::run(config, open(config).await?, task, input, out).await?,
        Task::Backup(file) => backup::copy(config, &file, out).await?,
        Task::Restored => backup::restored(open(config).await?.as_ref(), out).await?,
        Task::Nodes => nodes::list(open(config).await?.as_ref(), out).await?,
        Task::Drain(node) => nodes::drain(open(config).await?.as_ref(), &node, out).await?,
        Task::Undrain(node) => nodes::undrain(open(config).await?.as_ref(), &node, out).await?,
        Task::FinishUpgrade => upgrade::finish(open(config).await?.as_ref(), out).await?,
        Task::Keys(task) => keys::run(config, open(config).await?, task, out).await?,
        Task::DeadLetters(task) => dead_letters::run(open(config).await?.as_ref(), task, out).await?,
    }
    Ok(())
}

/// Opens the database beside a server that may be using it.
async fn open(config: &Config) -> anyhow::Result<Arc<dyn Storage>> {
    let storage = storage::connect(config.database.url.expose(), &options(config)).await;
    storage.with_context(|| format!("cannot open {}", config.database.url))
}

fn options(config: &Config) -> StorageOptions {
    StorageOptions { exclusive: false, connections_max: 2, ..config.database.options() }
}

/// A time, for people.
fn time_of(ms: i64) -> String {
    let time = OffsetDateTime::from_unix_timestamp(ms.div_euclid(1_000)).ok();
    time.and_then(|time| time.format(&Rfc3339).ok()).unwrap_or_else(|| format!("{ms} ms since 1970"))
}

#[cfg(test)]
mod tests;
