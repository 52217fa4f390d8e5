//! Spool files: characters that a stopping server could not store. The next start imports them.
//!
//! A spool file has one character per line, as a JSON object. It is written under another name, synced, renamed, and
//! its folder synced, so that a file with the right name is complete. Only its owner may read the file and its folder.
//!
//! Each character is stored under the lease of the server that wrote the file, before the shards are taken over. As
//! long as that lease holds, nobody has loaded the character since. Once it is gone, another server has gone on from
//! the database: clients have sent their intents to that server again, and some were told that their intents were
//! refused. Storing the spooled state then would apply refused intents, or undo newer ones. So its line is set aside in
//! a file that no server reads, and the character stays as the other server left it.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use castellan_protocol::{CharacterId, UserId};
use serde::{Deserialize, Serialize};

use super::Batch;
use crate::storage::{CharacterRow, DeadLetter, Lease, ShardId, Storage, StorageError};

/// The extension of a complete spool file.
const SPOOL: &str = "spool";

/// The extension of a file with lines that were not imported, for people.
const SET_ASIDE: &str = "set-aside";

/// Why a spool could not be imported.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// The file cannot be read or removed.
    #[error("cannot read or remove the spool file or folder {path}: {error}")]
    File {
        /// The file.
        path: PathBuf,
        /// The operating system's error.
        error: io::Error,
    },
    /// The database did not store it.
    #[error("cannot store the spooled characters: {0}")]
    Storage(#[from] StorageError),
}

/// A character in a spool file.
#[derive(Debug, Serialize, Deserialize)]
struct Line {
    id: CharacterId,
    user: UserId,
    shard: u16,
    epoch: i64,
    recoveries: i64,
    name: String,
    version: u64,
    schema_version: i32,
    state: String,
    request_ids: Vec<u64>,
    created_at_ms: i64,
    updated_at_ms: i64,
    deleted_at_ms: Option<i64>,
}

impl Line {
    fn new(row: &CharacterRow, lease: Lease) -> Self {
        Self {
            id: row.id,
            user: row.user,
            shard: row.shard.number(),
            epoch: lease.epoch,
            recoveries: row.recoveries,
            name: row.name.clone(),
            version: row.version,
            schema_version: row.schema_version,
            state: row.state.clone(),
            request_ids: row.request_ids.clone(),
            created_at_ms: row.created_at_ms,
            updated_at_ms: row.updated_at_ms,
            deleted_at_ms: row.deleted_at_ms,
        }
    }

    fn into_row(self) -> (Lease, CharacterRow) {
        let shard = ShardId::new(self.shard);
        let lease = Lease { shard, epoch: self.epoch, recoveries: self.recoveries };
        let row = CharacterRow {
            id: self.id,
            user: self.user,
            shard,
            name: self.name,
            version: self.version,
            recoveries: self.recoveries,
            schema_version: self.schema_version,
            state: self.state,
            request_ids: self.request_ids,
            created_at_ms: self.created_at_ms,
            updated_at_ms: self.updated_at_ms,
            deleted_at_ms: self.deleted_at_ms,
        };
        (lease, row)
    }
}

/// Writes a batch to a new file in `folder`, synced, and returns its path.
///
/// # Errors
///
/// The operating system's error. Then there is no file.
pub fn write(folder: &Path, batch: &Batch, now_ms: i64) -> io::Result<PathBuf> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)?;
    let path = folder.join(format!("{now_ms}-{}.{SPOOL}", std::process::id()));
    put(&path, |file| {
        for row in &batch.rows {
            serde_json::to_writer(&mut *file, &Line::new(row, batch.lease_of(row.shard)))?;
            file.write_all(b"\n")?;
        }
        Ok(())
    })?;
    Ok(path)
}

/// Makes a file that is complete under its name, even after a power cut.
fn put(path: &Path, fill: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>) -> io::Result<()> {
    let partial = path.with_extension("partial");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options.open(&partial).and_then(|file| {
        let mut file = BufWriter::new(file);
        fill(&mut file)?;
        file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
    });
    if let Err(error) = written {
        // Half a file would only take the room that the next one needs.
        let _ = fs::remove_file(&partial);
        return Err(error);
    }
    fs::rename(&partial, path)?;
    sync_folder_of(path)
}

fn sync_folder_of(path: &Path) -> io::Result<()> {
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}

/// Imports every spool file in `folder`. Call it before the shards are taken over: a takeover ends the leases that the
/// files were written under.
///
/// # Errors
///
/// [`SpoolError`]. Nothing is lost: the file stays, and the next start imports it again.
pub async fn bring_in(folder: &Path, storage: &Arc<dyn Storage>, now_ms: i64) -> Result<(), SpoolError> {
    let failed = |error| SpoolError::File { path: folder.to_owned(), error };
    for path in files(folder, SPOOL).map_err(failed)? {
        import(&path, storage, now_ms).await?;
    }
    for path in files(folder, SET_ASIDE).map_err(failed)? {
        let path = path.display();
        tracing::warn!(%path, "this file has changes that were never stored; look at it, then delete it");
    }
    Ok(())
}

async fn import(path: &Path, storage: &Arc<dyn Storage>, now_ms: i64) -> Result<(), SpoolError> {
    let failed = |error| SpoolError::File { path: path.to_owned(), error };
    let (mut stored, mut aside) = (0_usize, Vec::new());
    for line in BufReader::new(File::open(path).map_err(failed)?).split(b'\n') {
        let line = line.map_err(failed)?;
        let taken = match serde_json::from_slice::<Line>(&line) {
            Ok(line) => store(storage, line, now_ms).await?,
            Err(error) => {
                tracing::error!(path = %path.display(), %error, "a line of a spool file cannot be read");
                false
            }
        };
        if taken { stored += 1 } else { aside.push(line) }
    }
    tracing::info!(path = %path.display(), characters = stored, "imported a spool file");
    if !aside.is_empty() {
        let rest = path.with_extension(SET_ASIDE);
        put(&rest, |file| aside.iter().try_for_each(|line| file.write_all(line).and_then(|()| file.write_all(b"\n"))))
            .map_err(failed)?;
        tracing::error!(
            path = %rest.display(),
            characters = aside.len(),
            "these changes were set aside: another server has taken over without them, or they cannot be read"
        );
    }
    fs::remove_file(path).and_then(|()| sync_folder_of(path)).map_err(failed)
}

/// Stores a character, as a dead letter if the database refuses it. Returns false if it cannot be stored any more.
async fn store(storage: &Arc<dyn Storage>, line: Line, now_ms: i64) -> Result<bool, StorageError> {
    let (lease, row) = line.into_row();
    let error = match storage.save(&[lease], std::slice::from_ref(&row)).await {
        Ok(fenced) => return Ok(fenced.is_empty()),
        Err(StorageError::Fenced(_)) => return Ok(false),
        Err(StorageError::Refused(error)) => error,
        Err(error) => return Err(error),
    };
    let letter =
        DeadLetter { row, epoch: lease.epoch, error, attempts: 1, failed_at_ms: now_ms, verdict: None, stored: None };
    match storage.add_dead_letter(lease, &letter).await {
        Ok(()) => {
            let (character, error) = (letter.row.id, letter.error);
            tracing::error!(
                %character,
                error,
                "the database refused a spooled character; it is a dead letter now (castellan dead-letters show \
                 {character})"
            );
            Ok(true)
        }
        Err(StorageError::Fenced(_) | StorageError::Refused(_)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// The files of a folder with an extension, oldest first; none if there is no folder.
fn files(folder: &Path, extension: &str) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|found| found == extension) {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests;
