//! The commands other than `serve`.
//!
//! They work beside a running server and only use the database. A command about characters in memory records a decision
//! there, and the server applies it.

mod account;
mod backup;
mod dead_letters;
mod keys;

use std::io::{BufRead, Write};
use std::sync::Arc;

use anyhow::Context as _;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::config::{Config, Task};
use crate::storage::{self, Storage, StorageOptions};

/// Runs a task other than the server. Output goes to `out`; a password may be read from `input`.
///
/// # Errors
///
/// Says why the task failed.
pub async fn run(config: &Config, task: Task, input: &mut dyn BufRead, out: &mut dyn Write) -> anyhow::Result<()> {
    match task {
        Task::Serve => anyhow::bail!("`serve` is not handled here"),
        Task::Migrate => {
            open(config).await?.migrate().await?;
            writeln!(out, "{} has the current schema", config.database.url)?;
        }
        Task::Account(task) => account::run(config, open(config).await?, task, input, out).await?,
        Task::Backup(file) => backup::copy(config, &file, out).await?,
        Task::Restored => backup::restored(open(config).await?.as_ref(), out).await?,
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
