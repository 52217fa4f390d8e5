//! Servers of two versions on one database, one after the other: an upgrade, and the way back.
//!
//! `samples/` holds databases as servers of older schemas left them, and the statements of those servers.

use std::path::PathBuf;

use serde_json::{Value, json};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, Connection, PgConnection, SqliteConnection};

use crate::harness::{Http, Kind, Server};
use crate::play::House;

/// A character that the older server made.
const NAME: &str = "Brannor 日本";

/// Its version in the samples: one crash, then one more intent.
const VERSION: u64 = (1 << 20) + 4;

fn sample(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/it/samples/schema-1").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

enum Database {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

impl Database {
    async fn open(house: &House, kind: Kind) -> Self {
        if kind == Kind::Postgres {
            return Self::Postgres(PgConnection::connect(house.url()).await.expect("PostgreSQL answers"));
        }
        let file = house.folder().join("data/castellan.db");
        std::fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
        let options = SqliteConnectOptions::new().filename(file).create_if_missing(true);
        Self::Sqlite(SqliteConnection::connect_with(&options).await.expect("it opens"))
    }

    /// Makes the tables and rows of a sample.
    async fn fill(&mut self) {
        match self {
            Self::Sqlite(connection) => {
                sqlx::raw_sql(AssertSqlSafe(sample("sqlite.sql"))).execute(connection).await.map(drop)
            }
            Self::Postgres(connection) => {
                sqlx::raw_sql(AssertSqlSafe(sample("postgres.sql"))).execute(connection).await.map(drop)
            }
        }
        .expect("the sample is loaded");
    }

    /// Does what the older server did, statement by statement.
    async fn act_as_the_older_server(&mut self) {
        let text = sample(match self {
            Self::Sqlite(_) => "sqlite-server.sql",
            Self::Postgres(_) => "postgres-server.sql",
        });
        let mut statements = 0;
        for block in text.split("\n\n").skip(1) {
            let (notes, sql) = block.split_at(block.rfind("-- rows: ").expect("how many rows it returns"));
            let (rows, sql) = sql["-- rows: ".len()..].split_once('\n').expect("a statement");
            let found = match self {
                Self::Sqlite(connection) => rows_of_sqlite(connection, sql, notes).await,
                Self::Postgres(connection) => {
                    sqlx::raw_sql(AssertSqlSafe(sql)).fetch_all(connection).await.map(|rows| rows.len())
                }
            };
            let found = found.unwrap_or_else(|error| panic!("{error} in {block}"));
            assert_eq!(found.to_string(), rows, "{block}");
            statements += 1;
        }
        assert!(statements > 30, "only {statements} were found");
    }
}

async fn rows_of_sqlite(connection: &mut SqliteConnection, sql: &str, notes: &str) -> Result<usize, sqlx::Error> {
    let values = notes.lines().find_map(|line| line.strip_prefix("-- bind: ")).unwrap_or("[]");
    let values: Vec<Value> = serde_json::from_str(values).expect("parameters as JSON");
    let mut query = sqlx::query(AssertSqlSafe(sql));
    for value in &values {
        query = match value {
            Value::Null => query.bind(None::<i64>),
            Value::Number(number) => query.bind(number.as_i64()),
            other => query.bind(other.as_str()),
        };
    }
    Ok(query.fetch_all(connection).await?.len())
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(work)
}

/// Logs in, and finds the character by its name.
fn find(server: &Server, user: &str) -> (Http, Value) {
    let (http, _) = Http::new(server.address()).login(user, "sesame");
    let all = http.get("/characters").json;
    let found = all["characters"].as_array().expect("a list").iter().find(|found| found["name"] == NAME);
    (http, found.cloned().unwrap_or_default())
}

fn an_upgrade_and_the_way_back_keep_everything(kind: Kind) {
    let house = House::new(kind);
    block_on(async { Database::open(&house, kind).await.fill().await });

    let server = house.server(&[]);
    assert!(!server.log().contains("restored"), "{}", server.log());
    let (http, found) = find(&server, "ada");
    assert_eq!((found["version"].as_u64(), found["last"].as_u64()), (Some(VERSION), Some(1003)));
    assert_eq!(found["currency"]["gp"], json!(42));
    let path = format!("/characters/{}/intents", found["id"].as_str().expect("an id"));
    let fields = json!({"id": 1003, "version": 0, "action": {"modify_currency": {"gp": 1}}});
    assert_eq!(http.post(&path, &fields).header("castellan-duplicate"), "true", "ids are remembered");
    let fields = json!({"after": 1003, "id": 1004, "ack": "durable", "action": {"modify_currency": {"gp": 1}}});
    let answer = http.post(&path, &fields);
    assert_eq!((answer.status, answer.json["version"].as_u64()), (200, Some(VERSION + 1)), "{answer:?}");
    assert_eq!(http.get("/characters").json["characters"].as_array().map(Vec::len), Some(1), "deleted is deleted");
    assert!(server.terminate().success());

    block_on(async { Database::open(&house, kind).await.act_as_the_older_server().await });

    let server = house.server(&[]);
    let (http, found) = find(&server, "ada");
    assert_eq!((found["version"].as_u64(), found["last"].as_u64()), (Some(VERSION + 2), Some(1005)));
    assert_eq!(found["currency"]["gp"], json!(99), "as the older server left it");
    assert_eq!(http.get("/characters").json["characters"].as_array().map(Vec::len), Some(2), "and one that it made");
    let (_, nobody) = find(&server, "éowyn");
    assert_eq!(nobody, Value::Null, "an account that the older server made has no character");
    assert!(server.terminate().success());
}

#[test]
fn an_upgrade_and_the_way_back_keep_everything_on_sqlite() {
    an_upgrade_and_the_way_back_keep_everything(Kind::Sqlite);
}

#[test]
fn an_upgrade_and_the_way_back_keep_everything_on_postgresql() {
    an_upgrade_and_the_way_back_keep_everything(Kind::Postgres);
}
