//! `castellan backup` and `castellan restored`.

use std::io::Write;
use std::path::Path;

use super::options;
use crate::clock::system_clock;
use crate::config::Config;
use crate::storage::{self, Copied, Storage};

/// Copies the SQLite database to `file`.
pub(super) async fn copy(config: &Config, file: &Path, out: &mut dyn Write) -> anyhow::Result<()> {
    let now_ms = system_clock()();
    let Copied { bytes, characters } =
        storage::backup(config.database.url.expose(), file, now_ms, &options(config)).await?;
    writeln!(
        out,
        "copied {} to {}: {characters} characters, {bytes} bytes. To restore it, stop the server, put the copy where \
         the database was, and start the server again (docs/operate.md)",
        config.database.url,
        file.display()
    )?;
    Ok(())
}

/// Treats the database as restored from a backup.
pub(super) async fn restored(storage: &dyn Storage, out: &mut dyn Write) -> anyhow::Result<()> {
    // A backup may be older than the present schema.
    storage.migrate().await?;
    let sessions = storage.restored(system_clock()()).await?;
    writeln!(
        out,
        "done: the versions of all characters jump above every version used so far. {sessions} sessions have ended, \
         and all tokens issued so far are invalid. If a server is running on this database, it has lost its shards: \
         restart it"
    )?;
    Ok(())
}
