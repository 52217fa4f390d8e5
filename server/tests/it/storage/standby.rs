//! A database with synchronous standbys: nothing counts as stored that a failover would lose.
//!
//! The standby that these clusters wait for does not exist, so each commit waits until its name is taken away.

use std::sync::Arc;
use std::time::Duration;

use castellan::storage::{CharacterRow, Lease, SessionRow, ShardId, Storage, StorageError, StorageOptions, connect};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use uuid::Uuid;
use xtask::postgres::{Cluster, ClusterOptions, Stop};

use super::accounts::{account, login};
use super::membership::report;
use super::rows::{assert_same, character, later, only, take_over, user};
use crate::harness::{options, until};

const SHARD: ShardId = ShardId::new(0);

/// A cluster with one character, before a standby is missing.
struct Bench {
    cluster: Cluster,
    storage: Arc<dyn Storage>,
    lease: Lease,
    /// What is stored.
    row: CharacterRow,
    /// The row to store next.
    next: CharacterRow,
}

impl Bench {
    async fn new(call_timeout: Duration) -> Self {
        let cluster = Cluster::start(ClusterOptions::default()).expect("a cluster");
        let options = StorageOptions { call_timeout, ..options() };
        let storage = connect(&cluster.url(), &options).await.expect("lazily");
        storage.migrate().await.expect("the tables are made");
        let lease = take_over(&*storage).await[0];
        let row = character(user(), SHARD);
        storage.save(&[lease], std::slice::from_ref(&row)).await.expect("saved");
        let next = later(&row, 1);
        Self { cluster, storage, lease, row, next }
    }

    /// From now on each commit waits for a standby of this name; for none if it is empty.
    async fn wait_for_standby(&self, name: &str) {
        let mut raw = self.raw().await;
        let set = AssertSqlSafe(format!("ALTER SYSTEM SET synchronous_standby_names = '{name}'"));
        sqlx::raw_sql(set).execute(&mut raw).await.expect("set");
        sqlx::raw_sql("SELECT pg_reload_conf()").execute(&mut raw).await.expect("read again");
        until("the setting", || async {
            let mut fresh = self.raw().await;
            let now: String =
                sqlx::query_scalar("SHOW synchronous_standby_names").fetch_one(&mut fresh).await.expect("shown");
            now == name
        })
        .await;
    }

    async fn raw(&self) -> PgConnection {
        let mut raw = PgConnection::connect(&self.cluster.url()).await.expect("PostgreSQL answers");
        sqlx::raw_sql("SET synchronous_commit = local").execute(&mut raw).await.expect("set");
        raw
    }

    /// The number of commits that wait for a standby.
    async fn waiting(&self) -> i64 {
        sqlx::query_scalar("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'")
            .fetch_one(&mut self.raw().await)
            .await
            .expect("counted")
    }

    async fn version_in_database(&self) -> i64 {
        sqlx::query_scalar("SELECT version FROM characters").fetch_one(&mut self.raw().await).await.expect("a row")
    }

    /// Starts to save a later version and returns once its commit waits.
    async fn save_that_waits(&self) -> tokio::task::JoinHandle<Result<Vec<ShardId>, StorageError>> {
        let (storage, lease, next) = (Arc::clone(&self.storage), self.lease, self.next.clone());
        let save = tokio::spawn(async move { storage.save(&[lease], &[next]).await });
        until("a commit that waits", || async { self.waiting().await == 1 }).await;
        save
    }
}

fn is_unknown<T: std::fmt::Debug>(outcome: Result<T, StorageError>) {
    assert!(matches!(outcome, Err(StorageError::Transient(_))), "{outcome:?}");
}

const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_commit_whose_wait_for_the_standby_is_cancelled_is_unknown() {
    let bench = Bench::new(PATIENCE).await;
    bench.wait_for_standby("nobody").await;
    let save = bench.save_that_waits().await;
    let cancel = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
    // The commit itself, and then the look whether it is safe after all.
    until("the end of the save", || async {
        sqlx::query(cancel).execute(&mut bench.raw().await).await.expect("cancelled");
        save.is_finished()
    })
    .await;
    is_unknown(save.await.expect("it ran"));
    assert_eq!(bench.version_in_database().await, 2, "visible all the same");

    bench.wait_for_standby("").await;
    bench.storage.save(&[bench.lease], std::slice::from_ref(&bench.next)).await.expect("known at the second try");
}

/// The standby comes back while the cancelled commit is being looked up.
#[tokio::test]
async fn a_cancelled_commit_that_the_standby_has_after_all_is_a_success() {
    let bench = Bench::new(PATIENCE).await;
    bench.wait_for_standby("nobody").await;
    let save = bench.save_that_waits().await;
    let cancelled: i64 =
        sqlx::query_scalar("SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity WHERE wait_event = 'SyncRep'")
            .fetch_one(&mut bench.raw().await)
            .await
            .expect("cancelled");
    assert_eq!(cancelled, 1);
    until("the row", || async { bench.version_in_database().await == 2 }).await;
    until("a commit that waits", || async { bench.waiting().await == 1 }).await;
    assert!(!save.is_finished(), "it must not be believed yet");
    bench.wait_for_standby("").await;
    assert_eq!(save.await.expect("it ran").expect("stored"), []);
}

/// After a restart of the primary the row is visible, though no standby ever had it.
#[tokio::test]
async fn what_only_the_primary_has_is_not_believed() {
    let mut bench = Bench::new(Duration::from_secs(1)).await;
    let hero = account("hero");
    bench.wait_for_standby("nobody").await;
    is_unknown(bench.storage.save(&[bench.lease], std::slice::from_ref(&bench.next)).await);
    is_unknown(bench.storage.create_account(&hero).await);
    bench.cluster.stop(Stop::Immediate).expect("stopped");
    bench.cluster.start_again().expect("started");
    until("the rows", || async { bench.version_in_database().await == 2 }).await;

    let storage = &bench.storage;
    let session = SessionRow { user: hero.user, ..login() };
    let held = [bench.lease];
    let (load, proof, account, account_of) = tokio::join!(
        storage.load(bench.lease, std::slice::from_ref(&bench.row.user)),
        storage.prove(&held),
        storage.account("hero"),
        storage.account_of(hero.user),
    );
    is_unknown(load);
    is_unknown(proof);
    is_unknown(account);
    is_unknown(account_of);
    let (keys, letters, revoked, repeated) = tokio::join!(
        storage.keys(),
        storage.dead_letters(),
        storage.revoked_sessions(0),
        storage.create_session(&session, &hero.password_hash),
    );
    is_unknown(keys);
    is_unknown(letters);
    is_unknown(revoked);
    is_unknown(repeated);
    // Nobody is watched, so nobody seems dead, while no heartbeat can be stored.
    let members = storage.membership().expect("PostgreSQL has several processes");
    let report = report("r1");
    let (nodes, owners, renewed, left) = tokio::join!(
        members.nodes(),
        members.owners(),
        members.renew(Uuid::nil(), &report),
        members.leave(Uuid::nil()),
    );
    is_unknown(nodes);
    is_unknown(owners);
    is_unknown(renewed);
    is_unknown(left);
    is_unknown(storage.take_over("rival").await);

    bench.wait_for_standby("").await;
    let lease = take_over(&**storage).await[0];
    assert_same(&only(&**storage, lease, bench.row.user).await, &bench.next);
    assert_eq!(storage.account("hero").await.expect("read").expect("there").user, hero.user);
}

/// A commit that was given up would hold its locks, and its place, until the standby comes back.
#[tokio::test]
async fn commits_that_were_given_up_are_cancelled() {
    let bench = Bench::new(Duration::from_millis(800)).await;
    bench.wait_for_standby("nobody").await;
    for _ in 0..3 {
        is_unknown(bench.storage.save(&[bench.lease], &[character(user(), SHARD)]).await);
    }
    until("the end of all waits", || async {
        // What is left is cancelled when the next call is given up.
        is_unknown(bench.storage.prove(&[bench.lease]).await);
        bench.waiting().await <= 1
    })
    .await;
    let mut raw = bench.raw().await;
    sqlx::query("UPDATE characters SET name = 'free'").execute(&mut raw).await.expect("no row is locked");
}

/// A primary that was cut off and then replaced may know of a takeover that never counted, or not know of one that did.
#[tokio::test]
async fn a_lost_lease_that_only_the_primary_knows_of_is_not_believed() {
    let bench = Bench::new(Duration::from_secs(1)).await;
    bench.wait_for_standby("nobody").await;
    is_unknown(bench.storage.take_over("rival").await);
    until("the takeover", || async {
        let epoch: i64 = sqlx::query_scalar("SELECT epoch FROM shard_leases WHERE shard = 0")
            .fetch_one(&mut bench.raw().await)
            .await
            .expect("a lease");
        epoch == bench.lease.epoch + 1
    })
    .await;
    let held = [bench.lease];
    is_unknown(bench.storage.save(&held, std::slice::from_ref(&bench.next)).await);
    is_unknown(bench.storage.load(bench.lease, &[bench.row.user]).await);
    is_unknown(bench.storage.prove(&held).await);
    is_unknown(bench.storage.lost(&held).await);

    bench.wait_for_standby("").await;
    assert_eq!(bench.storage.save(&held, std::slice::from_ref(&bench.next)).await.expect("an answer"), [SHARD]);
}
