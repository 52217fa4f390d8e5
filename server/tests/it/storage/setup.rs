//! How a database is set up, and how its URL is written: what cannot work is refused with words.

use castellan::storage::{StorageError, connect};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use uuid::Uuid;

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
    for raw in ["hu@s h%/#?:1", "hu%40s%20h%25/%23%3F%3A1", "hu%40s%20h%25%2F#%3F%3A1", "hu%40s%20h%25%2F%23?%3A1"] {
        let why = refusal(&with(raw)).await;
        assert!(why.contains("percent-encoded") && why.contains("database.url") && !why.contains("hu"), "{raw}: {why}");
    }
    let why = refusal(&with("hu%2540s")).await;
    assert!(why.contains("28P01") && why.contains("percent-encode"), "{why}");
}
