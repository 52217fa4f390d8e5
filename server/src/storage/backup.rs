//! Copies a database while a server uses it.

use std::path::Path;

use super::{StorageError, StorageOptions, sqlite};

/// A finished copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Copied {
    /// Its size.
    pub bytes: u64,
    /// The characters in it, without deleted ones.
    pub characters: u64,
}

/// Copies the SQLite database that `url` names to `file`, which must not exist yet.
///
/// A server may be using the database. The copy holds one moment of it. A server that is started on the copy recognises
/// it by itself: [`Storage::recognise`](super::Storage::recognise).
///
/// # Errors
///
/// `Unusable`: why there is no copy. Nothing is left of it.
pub async fn backup(url: &str, file: &Path, now_ms: i64, options: &StorageOptions) -> Result<Copied, StorageError> {
    match url.split_once("://") {
        Some(("sqlite", path)) if !path.is_empty() => sqlite::backup(Path::new(path), file, now_ms, options).await,
        _ => Err(StorageError::Unusable(
            "`castellan backup` copies an SQLite file; back up PostgreSQL with pg_dump or a base backup, as \
             docs/operate.md says"
                .to_owned(),
        )),
    }
}
