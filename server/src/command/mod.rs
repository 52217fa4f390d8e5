//! What the command line does beside being the server.
//!
//! These commands work beside a running server: they speak to the database only, and what concerns characters in
//! memory is left as a note that the server carries out.

mod account;
mod dead_letters;

use std::io::{BufRead, Write};
use std::sync::Arc;

use anyhow::Context as _;

use crate::config::{Config, Task};
use crate::storage::{self, Storage, StorageOptions};

/// Does a task that is not the server. Answers go to `out`; `input` is where a password may come from.
///
/// # Errors
///
/// Why it could not be done.
pub async fn run(config: &Config, task: Task, input: &mut dyn BufRead, out: &mut dyn Write) -> anyhow::Result<()> {
    match task {
        Task::Serve => anyhow::bail!("the server is no command"),
        Task::Migrate => {
            open(config).await?.migrate().await?;
            writeln!(out, "{} has the present shape", config.database.url)?;
        }
        Task::CreateAccount { name, role, password_stdin } => {
            let storage = open(config).await?;
            let input = password_stdin.then_some(input);
            account::create(config, storage, &name, role, input, out).await?;
        }
        Task::DeadLetters(task) => dead_letters::run(open(config).await?.as_ref(), task, out).await?,
    }
    Ok(())
}

/// The database, beside a server that may be holding it.
async fn open(config: &Config) -> anyhow::Result<Arc<dyn Storage>> {
    let options = StorageOptions { exclusive: false, connections_max: 2, ..config.database.options() };
    let storage = storage::connect(config.database.url.expose(), &options).await;
    storage.with_context(|| format!("{} cannot be opened", config.database.url))
}
