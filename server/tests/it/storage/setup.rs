//! How a database is set up, and how its URL is written: what cannot work is refused with words.

use std::process::Command;

use castellan::storage::{StorageError, connect};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use uuid::Uuid;
use xtask::postgres::{Cluster, ClusterOptions};

use crate::harness::{fresh_postgres, options};

async fn refusal(url: &str) -> String {
    let outcome = match connect(url, &options()).await {
        Ok(storage) => storage.migrate().await,
        Err(error) => Err(error),
    };
    let Err(StorageError::Unusable(why)) = outcome else { panic!("{url}: {outcome:?}") };
    why
}

async fn run(url: &str, statement: String) {
    let mut raw = PgConnection::connect(url).await.expect("PostgreSQL answers");
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut raw).await.expect("it is carried out");
}

#[tokio::test]
async fn a_database_that_cannot_hold_every_name_is_refused() {
    let url = fresh_postgres().await;
    for encoding in ["SQL_ASCII", "LATIN1"] {
        let other = format!("{url}_{}", encoding.to_lowercase());
        let name = other.rsplit('/').next().expect("the URL names a database");
        run(&url, format!("CREATE DATABASE {name} TEMPLATE template0 ENCODING '{encoding}' LOCALE 'C'")).await;
        let why = refusal(&other).await;
        assert!(
            why.contains(&format!("{name} has the encoding {encoding}")) && why.contains("CREATE DATABASE"),
            "{why}"
        );
    }
}

#[test]
fn settings_that_break_the_promise_of_durable_are_named_at_a_start() {
    let settings = [("synchronous_standby_names", "b"), ("synchronous_commit", "local")];
    let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let cluster = Cluster::start(ClusterOptions { settings, ..ClusterOptions::default() }).expect("a cluster");
    let mut command = Command::new(env!("CARGO_BIN_EXE_castellan"));
    let output = command.args(["migrate", "--database-url", &cluster.url()]).output().expect("it starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    for expected in ["fsync=off", "full_page_writes=off", "synchronous_commit=local"] {
        assert_eq!(errors.matches(expected).count(), 1, "{expected}: {errors}");
    }
}

/// The operating system's collations changed after the database was made, as PostgreSQL's own catalogue tells it.
#[tokio::test]
async fn a_collation_that_changed_is_named_at_a_start() {
    let url = fresh_postgres().await;
    let version: String = {
        let mut raw = PgConnection::connect(&url).await.expect("PostgreSQL answers");
        sqlx::query_scalar("SHOW server_version_num").fetch_one(&mut raw).await.expect("a version")
    };
    if version.parse::<u32>().expect("a number") < 150_000 {
        return eprintln!("PostgreSQL {version} does not know the versions of collations");
    }
    let other = format!("{url}_icu");
    let name = other.rsplit('/').next().expect("the URL names a database").to_owned();
    let settings = "TEMPLATE template0 ENCODING 'UTF8' LOCALE_PROVIDER icu ICU_LOCALE 'en' LOCALE 'C'";
    run(&url, format!("CREATE DATABASE {name} {settings}")).await;
    let start = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_castellan"));
        let output = command.args(["migrate", "--database-url", &other]).output().expect("it starts");
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{errors}");
        errors
    };
    assert!(!start().contains("collation"));
    run(&url, format!("UPDATE pg_database SET datcollversion = '1.0' WHERE datname = '{name}'")).await;
    let errors = start();
    assert!(
        errors.contains("from version 1.0 to ") && errors.contains(&format!("REINDEX DATABASE {name}")),
        "{errors}"
    );
}

#[tokio::test]
async fn a_password_may_hold_anything_if_it_is_encoded() {
    let url = fresh_postgres().await;
    let role = format!("role_{}", Uuid::new_v4().simple());
    run(&url, format!("CREATE ROLE {role} SUPERUSER LOGIN PASSWORD 'hu@s h%/#?:1'")).await;
    let (_, place) = url.rsplit_once('@').expect("the URL names a user");
    let with = |password: &str| format!("postgres://{role}:{password}@{place}");
    for encoded in ["hu%40s%20h%25%2F%23%3F%3A1", "hu@s h%25%2F%23%3F:1"] {
        let storage = connect(&with(encoded), &options()).await.expect("lazily");
        storage.migrate().await.unwrap_or_else(|error| panic!("{encoded}: {error}"));
    }
    for raw in [
        "hu@s h%/#?:1",
        "hu%40s%20h%%2F%23%3F%3A1",
        "hu%40s%20h%25/%23%3F%3A1",
        "hu%40s%20h%25%2F#%3F%3A1",
        "hu%40s%20h%25%2F%23?%3A1",
    ] {
        let why = refusal(&with(raw)).await;
        assert!(why.contains("percent-encoded") && why.contains("database.url") && !why.contains("hu"), "{raw}: {why}");
    }
    let why = refusal(&with("hu%2540s")).await;
    assert!(why.contains("28P01") && why.contains("percent-encode"), "{why}");
}
