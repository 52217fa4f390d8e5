//! Errors of the database, sorted by what the caller must do.

use sqlx::migrate::MigrateError;
use sqlx::postgres::PgDatabaseError;
use sqlx::sqlite::SqliteError;

use super::ShardId;

/// Why a call to the database failed.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The database could not be reached or the connection broke. A write may or may not have been committed. Every
    /// call may be repeated; only a repetition that succeeds proves anything.
    #[error("the database cannot do this right now: {0}")]
    Transient(String),
    /// Another process has taken over this shard: drop what is in memory, never retry.
    #[error("another server has taken over shard {0}")]
    Fenced(ShardId),
    /// The database refused the data and would refuse it again.
    #[error("the database refused the data: {0}")]
    Refused(String),
    /// The database holds data that the server cannot read.
    #[error("the database contains unexpected data: {0}")]
    Corrupt(String),
    /// The name is taken.
    #[error("the name is already taken")]
    AlreadyExists,
    /// The setup is wrong: a wrong URL, a file that another server uses, no right to create tables. Only
    /// [`connect`](fn@super::connect), [`migrate`](super::Storage::migrate) and [`backup`](fn@super::backup) return it;
    /// repeating does not help.
    #[error("{0}")]
    Unusable(String),
}

/// Says if a failed call may succeed when it is repeated, and if not, why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// The same call may succeed later.
    Transient,
    /// The data is at fault.
    Refused,
    /// The database's content is damaged.
    Corrupt,
}

impl From<sqlx::Error> for StorageError {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::Database(error) => {
                if let Some(error) = error.try_downcast_ref::<PgDatabaseError>() {
                    of(postgres_fate(error.code()), postgres_text(error))
                } else if let Some(error) = error.try_downcast_ref::<SqliteError>() {
                    of(sqlite_fate(sqlite_code(error)), error.to_string())
                } else {
                    Self::Transient(error.to_string())
                }
            }
            sqlx::Error::Encode(error) => Self::Refused(error.to_string()),
            sqlx::Error::ColumnDecode { .. }
            | sqlx::Error::ColumnNotFound(_)
            | sqlx::Error::ColumnIndexOutOfBounds { .. }
            | sqlx::Error::Decode(_)
            | sqlx::Error::RowNotFound
            | sqlx::Error::TypeNotFound { .. } => Self::Corrupt(error.to_string()),
            error => Self::Transient(error.to_string()),
        }
    }
}

impl From<MigrateError> for StorageError {
    fn from(error: MigrateError) -> Self {
        let text = error.to_string();
        match error {
            MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => at_start(error),
            _ => Self::Unusable(format!("cannot migrate the database: {text}")),
        }
    }
}

/// The meaning of an error while a database is opened: only trouble that passes by itself is worth a retry.
pub(super) fn at_start(error: sqlx::Error) -> StorageError {
    if passes(&error) {
        StorageError::from(error)
    } else {
        StorageError::Unusable(format!("cannot use the database: {error}; check database.url"))
    }
}

/// Returns true if an error while a database is opened may pass by itself.
pub(super) fn passes(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(error) => match error.code() {
            Some(code) if error.try_downcast_ref::<PgDatabaseError>().is_some() => {
                ["08", "53", "57", "58", "40", "25", "55"].iter().any(|class| code.starts_with(class))
            }
            Some(code) => sqlite_passes(code.parse().unwrap_or_default()),
            None => true,
        },
        sqlx::Error::Configuration(_) | sqlx::Error::Tls(_) => false,
        _ => true,
    }
}

fn of(fate: Fate, text: String) -> StorageError {
    match fate {
        Fate::Transient => StorageError::Transient(text),
        Fate::Refused => StorageError::Refused(text),
        Fate::Corrupt => StorageError::Corrupt(text),
    }
}

/// Sorts a SQLSTATE by its class.
///
/// The data is at fault in 21 (a row twice in one statement), 22 (data exception), 23 (constraint), 44 (check option),
/// 38, 39 and P0 (raised by a trigger) and 54 (a row too large or too deep). All other classes, even unknown ones,
/// count as transient: a change kept in memory and retried is safe, while a dead letter stops its character until an
/// operator decides. XX001 and XX002 mean damaged pages.
///
/// Source: PostgreSQL documentation, appendix A, "PostgreSQL Error Codes".
fn postgres_fate(code: &str) -> Fate {
    match code {
        "XX001" | "XX002" => Fate::Corrupt,
        _ => match code.get(..2) {
            Some("21" | "22" | "23" | "38" | "39" | "44" | "54" | "P0") => Fate::Refused,
            _ => Fate::Transient,
        },
    }
}

/// The message with its SQLSTATE and its detail, if any. The detail names the key or the row.
fn postgres_text(error: &PgDatabaseError) -> String {
    let mut text = format!("{} ({})", error.message(), error.code());
    if let Some(detail) = error.detail() {
        text.push_str(": ");
        text.push_str(detail);
    }
    bounded(text)
}

/// Longest error text kept, in bytes. A constraint's detail would repeat the whole row.
const TEXT_BYTES_MAX: usize = 2_000;

fn bounded(mut text: String) -> String {
    if text.len() > TEXT_BYTES_MAX {
        text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
        text.push('…');
    }
    text
}

fn sqlite_code(error: &SqliteError) -> i32 {
    sqlx::error::DatabaseError::code(error).and_then(|code| code.parse().ok()).unwrap_or_default()
}

/// Sorts a SQLite result code by its low byte, the primary code.
///
/// 18 too big, 19 constraint, 20 mismatch: the data is at fault. 11 corrupt, 26 not a database: the file is damaged.
/// The rest, such as 5 busy, 10 I/O or 13 full, counts as transient for the reason given at [`postgres_fate`].
///
/// Source: <https://www.sqlite.org/rescode.html>.
fn sqlite_fate(code: i32) -> Fate {
    match code & 0xff {
        18..=20 => Fate::Refused,
        11 | 26 => Fate::Corrupt,
        _ => Fate::Transient,
    }
}

/// Busy, locked, out of memory, interrupted, I/O, full, locking protocol, schema changed.
fn sqlite_passes(code: i32) -> bool {
    matches!(code & 0xff, 5 | 6 | 7 | 9 | 10 | 13 | 15 | 17)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sqlstates_are_sorted_by_their_class() {
        for (code, fate) in [
            ("08006", Fate::Transient),
            ("25006", Fate::Transient),
            ("40001", Fate::Transient),
            ("40P01", Fate::Transient),
            ("53100", Fate::Transient),
            ("55P03", Fate::Transient),
            ("57014", Fate::Transient),
            ("57P01", Fate::Transient),
            ("42P01", Fate::Transient),
            ("0A000", Fate::Transient),
            ("XX000", Fate::Transient),
            ("XX001", Fate::Corrupt),
            ("22P05", Fate::Refused),
            ("22021", Fate::Refused),
            ("22P02", Fate::Refused),
            ("23514", Fate::Refused),
            ("54000", Fate::Refused),
            ("P0001", Fate::Refused),
            ("", Fate::Transient),
        ] {
            assert_eq!(postgres_fate(code), fate, "{code}");
        }
    }

    #[test]
    fn sqlite_codes_are_sorted_by_their_primary_code() {
        for (code, fate) in [
            (1, Fate::Transient),
            (5, Fate::Transient),
            (517, Fate::Transient),
            (10, Fate::Transient),
            (778, Fate::Transient),
            (13, Fate::Transient),
            (11, Fate::Corrupt),
            (26, Fate::Corrupt),
            (18, Fate::Refused),
            (275, Fate::Refused),
            (1299, Fate::Refused),
        ] {
            assert_eq!(sqlite_fate(code), fate, "{code}");
        }
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let text = bounded("ä".repeat(TEXT_BYTES_MAX));
        assert!(text.len() <= TEXT_BYTES_MAX + '…'.len_utf8());
        assert!(text.ends_with("ä…"));
    }
}
