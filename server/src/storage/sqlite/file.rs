//! The database's file: its folder, its permissions, and the lock against other servers.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::storage::StorageError;

/// Creates a missing file and folder, private to this user, and returns the file's canonical path.
pub(super) fn make(path: &Path) -> Result<PathBuf, StorageError> {
    let unusable =
        |error: io::Error| StorageError::Unusable(format!("cannot open the database file {}: {error}", path.display()));
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        let mut builder = DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(folder).map_err(unusable)?;
    }
    open_private(path).map_err(unusable)?;
    path.canonicalize().map_err(unusable)
}

/// Keeps other servers out for as long as the returned file is open.
///
/// The lock is on a separate file: SQLite's locks on the database file are POSIX locks, which a process loses when it
/// closes any descriptor of that file.
///
/// Source: <https://www.sqlite.org/howtocorrupt.html>, section 2.2.
pub(super) fn hold(path: &Path) -> Result<File, StorageError> {
    let lock = beside(path, ".lock");
    let file = open_private(&lock)
        .map_err(|error| StorageError::Unusable(format!("cannot open the lock file {}: {error}", lock.display())))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StorageError::Unusable(format!(
            "the database file {} is in use by another server; stop that one first",
            path.display()
        ))),
        Err(TryLockError::Error(error)) => {
            Err(StorageError::Unusable(format!("cannot lock {}: {error}", lock.display())))
        }
    }
}

/// Removes a write-ahead log that another file has left beside this one; refuses it unless `held`, because another process
/// may just be making it.
///
/// After a crash the log stays. SQLite would read it into a backup that was put in place of the database, and bring the
/// lost time back or mix both. A file whose header does not say WAL has no log of its own: our copies are such files.
///
/// Source: <https://www.sqlite.org/fileformat.html>, section 1.3.3; the byte at offset 19 is 2 in WAL mode.
pub(super) fn remove_foreign_log(path: &Path, held: bool) -> Result<(), StorageError> {
    let log = beside(path, "-wal");
    if !log.exists() || !has_no_log(path)? {
        return Ok(());
    }
    if !held {
        return Err(StorageError::Unusable(format!(
            "{log} does not belong to {database}, because that file was replaced; remove {log}, or start the server, \
             which removes it",
            log = log.display(),
            database = path.display()
        )));
    }
    for stale in [log, beside(path, "-shm")] {
        match fs::remove_file(&stale) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(StorageError::Unusable(format!("cannot remove {}: {error}", stale.display())));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Returns true if the file is a database that is not in WAL mode.
fn has_no_log(path: &Path) -> Result<bool, StorageError> {
    let mut header = [0; 20];
    match File::open(path).and_then(|mut file| file.read_exact(&mut header)) {
        Ok(()) => Ok(header[19] != 2),
        // A new file.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(StorageError::Unusable(format!("cannot read {}: {error}", path.display()))),
    }
}

/// The path with something appended to its name.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Creates an empty file, private to this user; fails if there is one.
pub(super) fn create_private(path: &Path) -> io::Result<File> {
    private().create_new(true).open(path)
}

/// Opens a file for writing; creates a missing one, private to this user.
fn open_private(path: &Path) -> io::Result<File> {
    private().create(true).truncate(false).open(path)
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}
