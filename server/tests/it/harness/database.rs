//! A database of its own for each test.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use castellan::storage::faulty::MemoryStorage;
use castellan::storage::{Storage, StorageOptions, connect};
use sqlx::{Connection, PgConnection, SqlSafeStr};
use tempfile::TempDir;
use uuid::Uuid;

/// How long the tests wait for a thing before they say that it does not come.
const PATIENCE: Duration = Duration::from_secs(20);

/// Which database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Sqlite,
    Postgres,
    /// The model that simulations run on; it has to pass what the real ones pass.
    Memory,
}

/// A fresh database, its tables made.
pub(crate) struct Database {
    pub(crate) kind: Kind,
    /// What `connect` takes.
    pub(crate) url: String,
    /// The first server's view of it.
    pub(crate) storage: Arc<dyn Storage>,
    memory: MemoryStorage,
    folder: TempDir,
}

impl Database {
    /// A fresh one with tables.
    pub(crate) async fn new(kind: Kind) -> Self {
        let database = Self::bare(kind).await;
        database.storage.migrate().await.expect("the tables are made");
        database
    }

    /// A fresh one without tables.
    pub(crate) async fn bare(kind: Kind) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let memory = MemoryStorage::new();
        let url = match kind {
            Kind::Sqlite => format!("sqlite://{}", folder.path().join("data/castellan.db").display()),
            Kind::Postgres => fresh_postgres().await,
            Kind::Memory => String::new(),
        };
        let storage = open(kind, &url, &memory, &options()).await;
        Self { kind, url, storage, memory, folder }
    }

    /// Another server's view of the same database.
    pub(crate) async fn open(&self) -> Arc<dyn Storage> {
        open(self.kind, &self.url, &self.memory, &options()).await
    }

    /// The folder that goes when this goes.
    pub(crate) fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// A connection for what no server would do. PostgreSQL only.
    pub(crate) async fn raw(&self) -> PgConnection {
        PgConnection::connect(&self.url).await.expect("PostgreSQL answers")
    }
}

/// As a server that does not keep others out.
pub(crate) fn options() -> StorageOptions {
    StorageOptions { exclusive: false, connections_max: 4, call_timeout: PATIENCE, acquire_timeout: PATIENCE }
}

async fn open(kind: Kind, url: &str, memory: &MemoryStorage, options: &StorageOptions) -> Arc<dyn Storage> {
    match kind {
        Kind::Memory => Arc::new(memory.clone()),
        Kind::Sqlite | Kind::Postgres => connect(url, options).await.expect("the database opens"),
    }
}

/// What a server process gets as its database: `None` for its own SQLite file.
pub(crate) fn database_url(kind: Kind) -> Option<String> {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    match kind {
        Kind::Postgres => Some(runtime().block_on(fresh_postgres())),
        Kind::Sqlite => None,
        Kind::Memory => panic!("a process has no database in memory"),
    }
}

/// The URL of a fresh database in the cluster that `cargo xtask test` has started.
pub(crate) async fn fresh_postgres() -> String {
    #[expect(clippy::disallowed_methods, reason = "how xtask tells the tests where its PostgreSQL is")]
    let admin = std::env::var("CASTELLAN_TEST_POSTGRES")
        .expect("these tests need a PostgreSQL: run them with `cargo xtask test`, which starts one");
    let name = format!("castellan_{}", Uuid::new_v4().simple());
    let mut connection = PgConnection::connect(&admin).await.expect("the PostgreSQL of the tests answers");
    let create = format!("CREATE DATABASE {name}");
    sqlx::raw_sql(sqlx::AssertSqlSafe(create)).execute(&mut connection).await.expect("a database is made");
    connection.close().await.expect("the connection ends");
    let (server, _) = admin.rsplit_once('/').expect("the URL names a database");
    format!("{server}/{name}")
}

/// Runs a statement that no server would on a PostgreSQL; returns the number that it answers with, 0 if it answers none.
pub(crate) fn run_on(url: &str, statement: impl SqlSafeStr) -> i64 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut connection = PgConnection::connect(url).await.expect("PostgreSQL answers");
        let row = sqlx::query_scalar(statement).fetch_optional(&mut connection).await.expect("it is carried out");
        row.unwrap_or_default()
    })
}

/// Asks until the answer is yes.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, mut ask: impl FnMut() -> F) {
    let asking = async {
        while !ask().await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, asking).await.unwrap_or_else(|_| panic!("{what} does not come"));
}
