//! Looks once, at a start, at what the database is and how it is set up.

use std::time::Duration;

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Row};

use crate::storage::{Examination, StorageError};

/// Oldest version that is tested. As PostgreSQL counts: 14.0.
const VERSION_MIN: i32 = 140_000;

/// Since version 15 PostgreSQL knows which version of the operating system's collations a database was made with.
const VERSION_WITH_COLLATIONS: i32 = 150_000;

/// How often each of two connections is asked for its process.
const POOLER_ROUNDS: usize = 8;

/// Refuses a pooler that gives each statement or transaction another connection to PostgreSQL.
///
/// Time limits and prepared statements belong to a connection to PostgreSQL. Behind such a pooler they would be lost,
/// or hit other programs. It shows itself: it hands the process that just served the first connection to the second
/// one, or serves the first one by another process.
pub(super) async fn refuse_pooler(first: &mut PgConnection, second: &mut PgConnection) -> Result<(), StorageError> {
    let own = process(first).await?;
    for _ in 0..POOLER_ROUNDS {
        if process(first).await? != own || process(second).await? == own {
            return Err(StorageError::Unusable(
                "database.url leads to a pooler that may run each statement on a different connection, such as \
                 PgBouncer with pool_mode=transaction; time limits and prepared statements do not work there. Set \
                 pool_mode=session for this database, or connect to PostgreSQL itself"
                    .to_owned(),
            ));
        }
    }
    Ok(())
}

/// The process of PostgreSQL behind a connection. Leaves no prepared statement behind.
async fn process(connection: &mut PgConnection) -> Result<String, sqlx::Error> {
    one(connection, "SELECT pg_backend_pid()::text").await
}

/// How the database is set up.
struct Facts {
    version: i32,
    name: String,
    encoding: String,
    fsync: String,
    full_page_writes: String,
    synchronous_commit: String,
    standbys: String,
}

/// Refuses a database that cannot work, and returns warnings about one that breaks promises.
pub(super) async fn check(connection: &mut PgConnection) -> Result<Vec<String>, StorageError> {
    let facts = facts(connection).await?;
    let mut warnings = judge(&facts).map_err(StorageError::Unusable)?;
    if facts.version >= VERSION_WITH_COLLATIONS {
        warnings.extend(collation(connection, &facts.name).await?);
    }
    Ok(warnings)
}

/// How far the slowest standby is behind. Those that only a superuser or a member of `pg_monitor` may see do not count.
pub(super) async fn replica_lag(connection: &mut PgConnection) -> Result<Option<Duration>, StorageError> {
    // A standby that has everything, and gets nothing new, has no lag.
    let lag = sqlx::query_scalar(
        "SELECT max(extract(epoch FROM coalesce(replay_lag, '0'))::float8) FROM pg_stat_replication \
         WHERE state IN ('catchup', 'streaming')",
    );
    let lag: Option<f64> = lag.fetch_one(connection).await?;
    Ok(lag.map(|seconds| Duration::try_from_secs_f64(seconds).unwrap_or_default()))
}

/// Looks at the database for an operator.
pub(super) async fn examine(connection: &mut PgConnection) -> Result<Examination, StorageError> {
    let row = sqlx::raw_sql(
        "SELECT current_setting('server_version'), current_database()::text, pg_is_in_recovery(), \
         current_setting('synchronous_standby_names'), (SELECT count(*) FROM pg_stat_replication), \
         current_setting('max_connections'), pg_size_pretty(pg_database_size(current_database())), \
         (extract(epoch FROM clock_timestamp()) * 1000)::bigint, to_regclass('_sqlx_migrations') IS NOT NULL",
    )
    .fetch_one(&mut *connection)
    .await?;
    let text = |column: usize| row.try_get::<String, _>(column);
    let (standbys, replicas) = (text(3)?, row.try_get::<i64, _>(4)?);
    let mut warnings = check(connection).await?;
    if row.try_get(2)? {
        warnings.push("it is a standby and takes no writes; connect to the primary".to_owned());
    }
    let replication = match (standbys.as_str(), replicas) {
        ("", 0) => "no standby: what is durable is on one machine".to_owned(),
        ("", replicas) => format!("{replicas} asynchronous standbys: a failover may lose the last commits"),
        (names, replicas) => format!("synchronous_standby_names = {names}, {replicas} standbys connected"),
    };
    let mut migrations = Vec::new();
    if row.try_get(8)? {
        let rows = sqlx::query("SELECT version FROM _sqlx_migrations WHERE success ORDER BY version");
        for row in rows.fetch_all(connection).await? {
            migrations.push(row.try_get(0)?);
        }
    }
    Ok(Examination {
        what: format!("PostgreSQL {}, database {}", text(0)?, text(1)?),
        facts: vec![format!("max_connections = {}, {} of data", text(5)?, text(6)?), replication],
        warnings,
        clock_ms: Some(row.try_get(7)?),
        migrations,
    })
}

async fn facts(connection: &mut PgConnection) -> Result<Facts, sqlx::Error> {
    let names = [
        "server_version_num",
        "server_encoding",
        "fsync",
        "full_page_writes",
        "synchronous_commit",
        "synchronous_standby_names",
    ];
    let settings = names.map(|name| format!("current_setting('{name}')")).join(", ");
    let statement = format!("SELECT current_database()::text, {settings}");
    let row = sqlx::raw_sql(AssertSqlSafe(statement)).fetch_one(connection).await?;
    let text = |column: usize| row.try_get::<String, _>(column);
    Ok(Facts {
        name: text(0)?,
        version: text(1)?.parse().unwrap_or_default(),
        encoding: text(2)?,
        fsync: text(3)?,
        full_page_writes: text(4)?,
        synchronous_commit: text(5)?,
        standbys: text(6)?,
    })
}

fn judge(facts: &Facts) -> Result<Vec<String>, String> {
    if facts.version < VERSION_MIN {
        let (version, min) = (facts.version / 10_000, VERSION_MIN / 10_000);
        return Err(format!("PostgreSQL {version} is too old; version {min} or newer is needed"));
    }
    if facts.encoding != "UTF8" {
        return Err(format!(
            "the database {} has the encoding {}, which cannot store every name. Create a database with UTF8 and \
             move the data with pg_dump: CREATE DATABASE castellan TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C'",
            facts.name, facts.encoding
        ));
    }
    let mut warnings = Vec::new();
    if facts.fsync == "off" {
        warnings.push(
            "PostgreSQL runs with fsync=off: a crash of its machine loses changes that were reported as durable"
                .to_owned(),
        );
    }
    if facts.full_page_writes == "off" {
        warnings.push(
            "PostgreSQL runs with full_page_writes=off: unless its storage writes whole pages atomically, a crash of \
             its machine can corrupt changes that were reported as durable"
                .to_owned(),
        );
    }
    // `off` is raised to `on` on every connection.
    if !facts.standbys.is_empty() && matches!(facts.synchronous_commit.as_str(), "local" | "remote_write") {
        let risk = match facts.synchronous_commit.as_str() {
            "local" => "does not wait for them, so a failover",
            _ => "does not wait for their disks, so a crash of both machines",
        };
        warnings.push(format!(
            "PostgreSQL has synchronous standbys, but synchronous_commit={} {risk} loses changes that were reported as \
             durable; set it to on",
            facts.synchronous_commit
        ));
    }
    Ok(warnings)
}

/// Warns if the operating system sorts text differently than when the database was made.
///
/// The index that keeps usernames unique relies on that order. Other orders and comparisons do not matter: names are
/// folded by the server, and rows are found by their ids.
async fn collation(connection: &mut PgConnection, name: &str) -> Result<Option<String>, sqlx::Error> {
    let changed = "SELECT coalesce((SELECT datcollversion || ' to ' || pg_database_collation_actual_version(oid) \
         FROM pg_database WHERE datname = current_database() \
         AND datcollversion <> pg_database_collation_actual_version(oid)), '')";
    let change = one(connection, changed).await?;
    Ok((!change.is_empty()).then(|| {
        format!(
            "the collation of the database {name} changed with the operating system, from version {change}: the index \
             on usernames may no longer find every name. Run REINDEX DATABASE {name}; ALTER DATABASE {name} REFRESH \
             COLLATION VERSION"
        )
    }))
}

/// The text that a statement answers with. Prepares no statement.
async fn one(connection: &mut PgConnection, statement: &'static str) -> Result<String, sqlx::Error> {
    sqlx::raw_sql(statement).fetch_one(connection).await?.try_get(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sound() -> Facts {
        Facts {
            version: VERSION_MIN,
            name: "castellan".to_owned(),
            encoding: "UTF8".to_owned(),
            fsync: "on".to_owned(),
            full_page_writes: "on".to_owned(),
            synchronous_commit: "on".to_owned(),
            standbys: String::new(),
        }
    }

    #[test]
    fn a_sound_database_is_taken_in_silence() {
        let with_standby = Facts { standbys: "b".to_owned(), ..sound() };
        for facts in [sound(), with_standby, Facts { synchronous_commit: "local".to_owned(), ..sound() }] {
            assert_eq!(judge(&facts), Ok(Vec::new()));
        }
    }

    #[test]
    fn an_old_version_and_another_encoding_are_refused() {
        let old = judge(&Facts { version: 130_014, ..sound() }).expect_err("too old");
        assert!(old.contains("PostgreSQL 13 is too old; version 14"), "{old}");
        let latin = judge(&Facts { encoding: "LATIN1".to_owned(), ..sound() }).expect_err("not every name");
        assert!(latin.contains("encoding LATIN1") && latin.contains("ENCODING 'UTF8'"), "{latin}");
    }

    #[test]
    fn settings_that_break_the_promise_are_named() {
        let off = || "off".to_owned();
        let standby = |level: &str| Facts { standbys: "b".to_owned(), synchronous_commit: level.to_owned(), ..sound() };
        for (facts, expected) in [
            (Facts { fsync: off(), ..sound() }, "fsync=off"),
            (Facts { full_page_writes: off(), ..sound() }, "full_page_writes=off"),
            (standby("local"), "synchronous_commit=local"),
            (standby("remote_write"), "synchronous_commit=remote_write"),
        ] {
            let warnings = judge(&facts).expect("only warned");
            assert!(warnings.len() == 1 && warnings[0].contains(expected), "{expected}: {warnings:?}");
        }
        assert_eq!(judge(&standby("off")), Ok(Vec::new()), "the server raises it by itself");
    }
}
