//! The database's file: its folder, its permissions, and the lock against other servers.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
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
    let mut lock = path.as_os_str().to_owned();
    lock.push(".lock");
    let lock = PathBuf::from(lock);
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

/// Opens a file for writing; creates a missing one, private to this user.
fn open_private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}
