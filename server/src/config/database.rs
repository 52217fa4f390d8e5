//! The database, flushing, and the characters in memory.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::setting::settings;
use super::text::FromText;
use crate::storage::{StorageOptions, check_url};

settings! {
    /// The database.
    Database under "Database" {
        /// Database for the characters: sqlite://PATH or postgres://USER:PASSWORD@HOST/NAME. TLS, several hosts and
        /// poolers: docs/database.md. Percent-encode special characters in the password: @ is %40. Logs never show the
        /// password. Set this in the environment or the settings file, because other users of the machine can read
        /// the command line.
        "database.url" url: DatabaseUrl = "sqlite://./data/castellan.db";
        /// Connections kept open to PostgreSQL.
        "database.pool_size" pool_size: u32 = "8", "2" to "1000";
        /// Time limit for one statement, and for getting a connection.
        "database.timeout" timeout: Duration = "5s", "10ms" to "5m";
        /// How long the server waits at startup for a database that does not answer yet.
        "database.wait" wait: Duration = "60s", "0s" to "1h";
    }
}

settings! {
    /// Flushing changed characters to the database.
    Flush under "Flushing" {
        /// How often each changed character is written. Many characters are spread evenly over this time.
        "flush.interval" interval: Duration = "1s", "1ms" to "1m";
        /// Most rows in one transaction. Small transactions keep latency even; large ones write faster.
        "flush.batch_rows" batch_rows: usize = "250", "1" to "10000";
        /// Changed characters that may wait for the database; at this limit new changes are refused as overloaded.
        "flush.dirty_max" dirty_max: usize = "50000", "1" to "10000000";
        /// Folder for changes that a shutdown could not write to the database; the server writes
        /// them when it starts again.
        "flush.spool" spool: PathBuf = "./data/spool";
        /// How long an intent with ack durable waits for its commit before it is answered as applied, not yet durable.
        "durable_timeout" durable_timeout: Duration = "10s", "10ms" to "5m";
    }
}

settings! {
    /// Characters in memory.
    Cache under "Memory" {
        /// Characters kept in memory, counting each user as one more; at this limit, idle users whose characters are
        /// all written are evicted.
        "cache.characters_max" characters_max: usize = "200000", "1" to "100000000";
    }
}

settings! {
    /// How long data is kept that nobody uses any more.
    Keep under "Retention" {
        /// How long a deleted character stays in the database, where an operator can restore it.
        "deleted_keep" deleted: Duration = "30d", "1h" to "3650d";
        /// How long a guest's account without characters is kept that nobody uses and nobody has claimed.
        "guests_keep" guests: Duration = "30d", "2d" to "3650d";
        /// The same for a guest's account with characters, which are deleted with it.
        "guests_characters_keep" guests_characters: Duration = "365d", "2d" to "3650d";
        /// How long the audit keeps what somebody did.
        "audit_keep" audit: Duration = "90d", "1h" to "3650d";
    }
}

impl Database {
    /// The options with which a server opens its database.
    pub fn options(&self) -> StorageOptions {
        StorageOptions {
            connections_max: self.pool_size,
            acquire_timeout: self.timeout,
            call_timeout: self.timeout,
            exclusive: true,
        }
    }
}

/// The database's address. Neither `{}` nor `{:?}` shows its password.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl(String);

impl DatabaseUrl {
    /// The whole address with its password, for connecting.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl FromText for DatabaseUrl {
    const KIND: &'static str = "URL";
    const SECRET: bool = true;

    fn from_text(text: &str) -> Result<Self, String> {
        check_url(text).map(|()| Self(text.to_owned()))
    }
}

impl fmt::Display for DatabaseUrl {
    /// Hides everything between the user and the last `@`, and the query: both may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((scheme, rest)) = self.0.split_once("://") else { return f.write_str("…") };
        if scheme == "sqlite" {
            return f.write_str(&self.0);
        }
        let (user, place) = rest.rsplit_once('@').map_or((None, rest), |(user, place)| (Some(user), place));
        write!(f, "{scheme}://")?;
        if let Some(user) = user {
            match user.split_once(':') {
                Some((name, _)) => write!(f, "{name}:…@")?,
                None => write!(f, "{user}@")?,
            }
        }
        match place.split_once('?') {
            Some((place, _)) => write!(f, "{place}?…"),
            None => f.write_str(place),
        }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_never_shown() {
        let table = [
            ("sqlite://./data/castellan.db", "sqlite://./data/castellan.db"),
            ("postgres://host/name", "postgres://host/name"),
            ("postgres://user@host/name", "postgres://user@host/name"),
            ("postgres://user:hush@host:5432/name", "postgres://user:…@host:5432/name"),
            ("postgres://user:hu@sh/hush@host/name", "postgres://user:…@host/name"),
            ("postgres://user:hush@a:1,b:2/name", "postgres://user:…@a:1,b:2/name"),
            ("postgresql://host/name?user=me&password=hush", "postgresql://host/name?…"),
            ("postgres://user:hush@host/name?password=hush", "postgres://user:…@host/name?…"),
        ];
        for (text, shown) in table {
            let url = DatabaseUrl(text.to_owned());
            assert_eq!(url.to_string(), shown);
            assert_eq!(format!("{url:?}"), shown);
            assert_eq!(url.expose(), text);
        }
        assert!(DatabaseUrl::from_text("postgres://user:hush@a:1,b:2/name?sslmode=require").is_ok());
        let error = DatabaseUrl::from_text("postgres://user:hu/sh@host/name").expect_err("not encoded");
        assert!(error.contains("percent-encoded") && !error.contains("sh@"), "{error}");
        assert!(DatabaseUrl::from_text("mysql://host").is_err());
        assert!(DatabaseUrl::from_text("sqlite://").is_err());
    }
}
