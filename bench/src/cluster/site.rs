//! The processes of the part: a server, or nodes and a gateway, on a database of their own.

#![expect(clippy::disallowed_methods, reason = "the state of other processes can only be polled")]

use std::net::Ipv4Addr;
use std::process::{Command, Stdio};
use std::str::FromStr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use castellan_srd::wire::UserId;
use rand::RngExt;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Connection, Row};
use uuid::{Builder, Uuid};

use crate::caller::Caller;
use crate::cliff::shard_of;
use crate::load::{Target, few_addresses};
use crate::machine::pin_this_thread;
use crate::settings::RunSettings;
use crate::system::{Castellan, Database, Program};

/// Time limit for shards to find their owners. A node that joins waits ten seconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// Pause between two looks at the owners.
const LOOK_PERIOD: Duration = Duration::from_millis(50);

/// Number of shards.
pub(super) const SHARDS: usize = 256;

/// A database in the throwaway PostgreSQL.
pub(super) struct Site<'a> {
    settings: &'a RunSettings,
    url: String,
}

/// A running process with its folder.
pub(super) struct Piece {
    pub(super) running: Program,
    castellan: Castellan,
}

impl<'a> Site<'a> {
    /// An empty database with this name, and the bench's process id.
    pub(super) fn make(settings: &'a RunSettings, name: &str) -> Result<Self> {
        let url = settings.postgres.as_ref().context("the part `cluster` needs --postgres")?;
        let name = format!("{name}_{}", std::process::id());
        let options = PgConnectOptions::from_str(url).context("--postgres is not the URL of a PostgreSQL database")?;
        on(options.clone(), async |connection| {
            sqlx::raw_sql(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"))).execute(connection).await?;
            Ok(())
        })
        .context("cannot create a database")?;
        Ok(Self { settings, url: options.database(&name).to_url_lossy().to_string() })
    }

    /// Starts a process with these arguments on a core.
    pub(super) fn start(&self, core: usize, arguments: &[&str]) -> Result<Piece> {
        let castellan =
            Castellan::new(&self.settings.server, Database::Postgres(self.url.clone()), &self.settings.place, core)?;
        let what = arguments.first().unwrap_or(&"serve");
        let running = castellan.start_with(arguments).with_context(|| format!("cannot start `castellan {what}`"))?;
        Ok(Piece { running, castellan })
    }

    /// Starts a node on the servers' core.
    pub(super) fn start_node(&self, name: &str) -> Result<Piece> {
        self.start(self.settings.cores.server, &["node", "--name", name, "--policy", "permissive"])
    }

    /// Starts a gateway and waits until it knows an owner of every shard.
    pub(super) fn start_gateway(&self, core: usize) -> Result<Piece> {
        let piece = self.start(core, &["gateway"])?;
        let caller =
            Caller { address: piece.running.address(), trust: None, source: Ipv4Addr::LOCALHOST, patience: PATIENCE };
        until("the gateway does not become ready", || Ok(caller.get("/health/ready")?.0 == 200))?;
        Ok(piece)
    }

    /// The name of each shard's owner; empty if nobody owns it.
    pub(super) fn owners(&self) -> Result<Vec<String>> {
        let options = PgConnectOptions::from_str(&self.url)?;
        let owners = on(options, async |connection| {
            let rows = sqlx::query(
                "SELECT coalesce(owner.name, '') AS name FROM shard_leases AS lease \
                 LEFT JOIN nodes AS owner ON owner.id = lease.process AND NOT lease.released ORDER BY lease.shard",
            )
            .fetch_all(connection)
            .await?;
            rows.iter().map(|row| Ok(row.try_get("name")?)).collect::<Result<Vec<String>>>()
        })?;
        ensure!(owners.len() == SHARDS, "expected {SHARDS} shards, found {}", owners.len());
        Ok(owners)
    }

    /// Waits until this node owns so many shards.
    pub(super) fn until_owns(&self, node: &str, shards: usize) -> Result<()> {
        until(&format!("the node {node} does not get {shards} shards"), || {
            Ok(self.owners()?.iter().filter(|owner| *owner == node).count() == shards)
        })
    }

    /// Runs `castellan drain NODE` or `castellan undrain NODE` on the load's core.
    pub(super) fn order(&self, order: &str, node: &str) -> Result<()> {
        let mut command = Command::new(&self.settings.server);
        command.args([order, node]).env("CASTELLAN_DATABASE_URL", &self.url).stdout(Stdio::null());
        let run = || {
            // A program inherits the core of the thread that started it.
            pin_this_thread(self.settings.cores.load)?;
            command.status().with_context(|| format!("cannot run `castellan {order}`"))
        };
        let status = std::thread::scope(|scope| scope.spawn(run).join().expect("the thread does not panic"))?;
        ensure!(status.success(), "`castellan {order} {node}` ended with {status}");
        Ok(())
    }

    /// Makes accounts whose users are all in one shard, with the password of an existing account. Returns their names.
    pub(super) fn crowd(&self, shard: usize, count: usize, like: UserId) -> Result<Vec<String>> {
        let people = users_of(shard, count);
        let names: Vec<String> = (0..count).map(|number| format!("crowd-{number:05}")).collect();
        on(PgConnectOptions::from_str(&self.url)?, async |connection| {
            let added = sqlx::query(
                "INSERT INTO accounts (user_id, username, username_folded, password_hash, role, created_at) \
                 SELECT new.user_id, new.name, new.name, old.password_hash, old.role, old.created_at \
                 FROM accounts AS old CROSS JOIN unnest($1::uuid[], $2::text[]) AS new (user_id, name) \
                 WHERE old.user_id = $3",
            )
            .bind(&people)
            .bind(&names)
            .bind(like.uuid())
            .execute(connection)
            .await?
            .rows_affected();
            ensure!(added == count as u64, "only {added} of {count} accounts were made");
            Ok(())
        })?;
        Ok(names)
    }
}

impl Piece {
    /// The players' target.
    pub(super) fn target(&self) -> Target {
        let address = self.running.address();
        Target { address, trust: None, source: few_addresses, is_castellan: true, ack: None }
    }

    /// Ends it and waits for its end.
    pub(super) fn end(mut self) -> Result<()> {
        self.running.end().with_context(|| format!("in {}", self.castellan.folder().display()))
    }
}

/// Random users of one shard.
fn users_of(shard: usize, count: usize) -> Vec<Uuid> {
    let mut rng = rand::rng();
    std::iter::repeat_with(|| Builder::from_random_bytes(rng.random()).into_uuid())
        .filter(|user| shard_of(UserId::from_uuid(*user)) == shard as u64)
        .take(count)
        .collect()
}

/// Does something on a new connection to the database.
fn on<T>(options: PgConnectOptions, deed: impl AsyncFnOnce(&mut PgConnection) -> Result<T>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut connection = PgConnection::connect_with(&options).await?;
        let done = deed(&mut connection).await?;
        connection.close().await?;
        Ok(done)
    })
}

/// Waits until something is true.
fn until(failure: &str, mut holds: impl FnMut() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !holds()? {
        if Instant::now() > deadline {
            bail!("{failure} within {PATIENCE:?}");
        }
        std::thread::sleep(LOOK_PERIOD);
    }
    Ok(())
}
