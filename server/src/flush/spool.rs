//! Spool files: characters that a stopping server could not store. The next start imports them.
//!
//! A spool file has one character per line, as a JSON object. It is written under another name, synced, renamed, and
//! its folder synced, so that a file with the right name is complete.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use castellan_protocol::{CharacterId, UserId};
use serde::{Deserialize, Serialize};

use super::Batch;
use crate::storage::{CharacterRow, DeadLetter, Lease, ShardId, Storage, StorageError};

/// The suffix of a complete spool file.
const SUFFIX: &str = ".spool";

/// Why a spool could not be imported.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// The file cannot be read or removed.
    #[error("cannot read or remove the spool file {path}: {error}")]
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
/// The operating system's error. The file is then ignored.
pub fn write(folder: &Path, batch: &Batch, now_ms: i64) -> io::Result<PathBuf> {
    fs::create_dir_all(folder)?;
    let path = folder.join(format!("{now_ms}-{}{SUFFIX}", std::process::id()));
    let partial = path.with_extension("partial");
    let mut file = BufWriter::new(File::create_new(&partial)?);
    for row in &batch.rows {
        serde_json::to_writer(&mut file, &Line::new(row, batch.lease_of(row.shard)))?;
        file.write_all(b"\n")?;
    }
    file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
    fs::rename(&partial, &path)?;
    File::open(folder)?.sync_all()?;
    Ok(path)
}

/// The rest of an import of spool files, done once the leases are taken: dead letters to add, files to remove.
#[derive(Debug, Default)]
pub struct Leftovers {
    files: Vec<PathBuf>,
    /// Characters that another process may have changed since, or that the database refuses.
    letters: Vec<DeadLetter>,
}

/// Imports every spool file in `folder`. Call it before the leases are taken over: a character counts only if its epoch
/// has not changed.
///
/// # Errors
///
/// [`SpoolError`]. Nothing is lost: the files stay.
pub async fn bring_in(folder: &Path, storage: &Arc<dyn Storage>, now_ms: i64) -> Result<Leftovers, SpoolError> {
    let mut leftovers = Leftovers::default();
    for path in files(folder).map_err(|error| SpoolError::File { path: folder.to_owned(), error })? {
        let lines = read(&path).map_err(|error| SpoolError::File { path: path.clone(), error })?;
        let count = lines.len();
        for (lease, row) in lines {
            let error = match storage.save(&[lease], std::slice::from_ref(&row)).await {
                Ok(fenced) if fenced.is_empty() => continue,
                Ok(_) | Err(StorageError::Fenced(_)) => "spooled under an old epoch".to_owned(),
                Err(StorageError::Refused(error)) => error,
                Err(error) => return Err(error.into()),
            };
            let letter =
                DeadLetter { row, epoch: lease.epoch, error, attempts: 1, failed_at_ms: now_ms, verdict: None };
            leftovers.letters.push(letter);
        }
        tracing::info!(path = %path.display(), characters = count, "imported a spool file");
        leftovers.files.push(path);
    }
    Ok(leftovers)
}

impl Leftovers {
    /// Makes dead letters of the characters that were not imported, under the current leases, and removes the files.
    ///
    /// # Errors
    ///
    /// [`SpoolError`]. The files stay, and the next start imports them again.
    pub async fn write_down(self, storage: &Arc<dyn Storage>, leases: &[Lease]) -> Result<(), SpoolError> {
        for letter in &self.letters {
            let lease = leases.iter().find(|lease| lease.shard == letter.row.shard);
            let lease = lease.ok_or(StorageError::Fenced(letter.row.shard))?;
            storage.add_dead_letter(*lease, letter).await?;
            tracing::error!(character = %letter.row.id, error = letter.error, "a spooled character is a dead letter");
        }
        for path in self.files {
            fs::remove_file(&path).map_err(|error| SpoolError::File { path, error })?;
        }
        Ok(())
    }
}

/// The complete spool files of a folder, oldest first; none if there is no folder.
fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.to_string_lossy().ends_with(SUFFIX) {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

fn read(path: &Path) -> io::Result<Vec<(Lease, CharacterRow)>> {
    let lines = BufReader::new(File::open(path)?).lines();
    lines.map(|line| Ok(serde_json::from_str::<Line>(&line?)?.into_row())).collect()
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_complete_file_is_read_back_and_a_partial_one_is_ignored() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let shard = ShardId::new(7);
        let row = CharacterRow {
            id: CharacterId::from_uuid(Uuid::from_u128(1)),
            user: UserId::from_uuid(Uuid::from_u128(2)),
            shard,
            name: "Brannor\n\"the bold\"".to_owned(),
            version: 9,
            recoveries: 3,
            schema_version: 1,
            state: "{\"gp\":42}".to_owned(),
            request_ids: vec![5, 6, 1 << 52],
            created_at_ms: 10,
            updated_at_ms: 20,
            deleted_at_ms: None,
        };
        let lease = Lease { shard, epoch: 4, recoveries: 3 };
        let batch = Batch { leases: vec![lease], rows: vec![row.clone()] };
        let path = write(folder.path(), &batch, 1_000).expect("written");
        fs::write(folder.path().join("2000-1.partial"), "{\"id\":").expect("half a file");
        assert_eq!(files(folder.path()).expect("a folder"), std::slice::from_ref(&path));
        assert_eq!(read(&path).expect("a whole file"), [(lease, row)]);
    }

    #[test]
    fn a_missing_folder_has_no_files() {
        assert_eq!(files(Path::new("/nonexistent/spool")).expect("no error"), Vec::<PathBuf>::new());
    }
}
