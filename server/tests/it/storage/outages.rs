//! A database that is silent, cut off, or gone for a while: calls end within their time, and go on afterwards.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use castellan::storage::{Lease, ShardId, Storage, StorageError, StorageOptions, connect};
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, Row};

use super::fences::until_waiting;
use super::rows::{assert_same, character, later, only, take_over, user};
use crate::harness::{Database, Kind, Proxy, options, until};

const SHARD: ShardId = ShardId::new(0);

/// A server whose way to the database leads through a proxy, with little patience.
async fn through_proxy(database: &Database) -> (Proxy, Arc<dyn Storage>) {
    let target: PgConnectOptions = database.url.parse().expect("a URL");
    let address: SocketAddr = format!("{}:{}", target.get_host(), target.get_port()).parse().expect("an address");
    let proxy = Proxy::start(address).await;
    let url = database.url.replace(&address.to_string(), &proxy.address().to_string());
    let patience = Duration::from_millis(300);
    let options = StorageOptions { call_timeout: patience, acquire_timeout: patience, ..options() };
    (proxy, connect(&url, &options).await.expect("lazily"))
}

/// Asks until the database can be reached again.
async fn recovered(storage: &Arc<dyn Storage>) {
    until("the database", || async { storage.ping().await.is_ok() }).await;
}

async fn save_fails(storage: &Arc<dyn Storage>, lease: Lease) {
    let outcome = storage.save(&[lease], &[character(user(), SHARD)]).await;
    assert!(matches!(outcome, Err(StorageError::Transient(_))), "{outcome:?}");
}

#[tokio::test]
async fn a_silent_database_is_given_up_in_time_and_used_again() {
    let database = Database::new(Kind::Postgres).await;
    let (proxy, storage) = through_proxy(&database).await;
    let lease = take_over(&*storage).await[0];
    let row = character(user(), SHARD);
    storage.save(&[lease], std::slice::from_ref(&row)).await.expect("saved");

    proxy.silence();
    let bound = Duration::from_secs(5);
    for _ in 0..6 {
        tokio::time::timeout(bound, save_fails(&storage, lease)).await.expect("an answer in time");
        let load = tokio::time::timeout(bound, storage.load(lease, &[row.user])).await.expect("in time");
        assert!(matches!(load, Err(StorageError::Transient(_))), "{load:?}");
    }
    proxy.restore();
    recovered(&storage).await;
    assert_same(&only(&*storage, lease, row.user).await, &row);
}

#[tokio::test]
async fn cut_connections_are_replaced() {
    let database = Database::new(Kind::Postgres).await;
    let (proxy, storage) = through_proxy(&database).await;
    let lease = take_over(&*storage).await[0];
    for _ in 0..5 {
        let row = character(user(), SHARD);
        storage.save(&[lease], std::slice::from_ref(&row)).await.expect("saved");
        proxy.cut();
        recovered(&storage).await;
        assert_same(&only(&*storage, lease, row.user).await, &row);
    }
}

/// After a restart of the database no call fails for the sake of a connection that had died while nobody used it.
#[tokio::test]
async fn connections_that_died_idle_are_replaced_unseen() {
    let database = Database::new(Kind::Postgres).await;
    let lease = take_over(&*database.storage).await[0];
    let rows: Vec<_> = (0..3).map(|_| character(user(), SHARD)).collect();
    let mut raw = database.raw().await;
    let mut obstacle = raw.begin().await.expect("a transaction");
    sqlx::query("SELECT 1 FROM shard_leases FOR UPDATE").execute(&mut *obstacle).await.expect("locked");
    let loads = futures_util::future::try_join_all(
        rows.iter().map(|row| database.storage.load(lease, std::slice::from_ref(&row.user))),
    );
    let all_at_once = async {
        until_waiting(&database, 3).await;
        obstacle.rollback().await.expect("rolled back");
    };
    let (loaded, ()) = tokio::join!(loads, all_at_once);
    loaded.expect("three connections");
    let killed = sqlx::query(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity \
         WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )
    .execute(&mut raw)
    .await
    .expect("an answer");
    assert!(killed.rows_affected() >= 3);
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(1)).await;
    tokio::time::resume();
    for row in rows {
        assert_eq!(database.storage.save(&[lease], &[row]).await.expect("saved at once"), []);
    }
}

/// A refused save holds nothing any more when its caller hears of it.
#[tokio::test]
async fn a_refused_save_leaves_no_transaction_open() {
    let database = Database::new(Kind::Postgres).await;
    let lease = take_over(&*database.storage).await[0];
    let bad = castellan::storage::CharacterRow { version: 0, ..character(user(), SHARD) };
    let outcome = database.storage.save(&[lease], &[bad]).await;
    assert!(matches!(outcome, Err(StorageError::Refused(_))), "{outcome:?}");
    let open = sqlx::query(
        "SELECT count(*) AS open FROM pg_stat_activity \
         WHERE datname = current_database() AND state LIKE 'idle in transaction%'",
    )
    .fetch_one(&mut database.raw().await)
    .await
    .expect("an answer");
    assert_eq!(open.get::<i64, _>("open"), 0);
}

/// The call ends at the bound although the statement waits for a lock; nothing of it is left behind.
#[tokio::test]
async fn an_abandoned_save_leaves_no_lock_behind() {
    let database = Database::new(Kind::Postgres).await;
    let (_proxy, storage) = through_proxy(&database).await;
    let lease = take_over(&*storage).await[0];
    let row = character(user(), SHARD);
    storage.save(&[lease], std::slice::from_ref(&row)).await.expect("saved");

    let mut raw = database.raw().await;
    let mut obstacle = raw.begin().await.expect("a transaction");
    sqlx::query("SELECT 1 FROM characters FOR UPDATE").execute(&mut *obstacle).await.expect("locked");
    let outcome = storage.save(&[lease], &[later(&row, 1)]).await;
    assert!(matches!(outcome, Err(StorageError::Transient(_))), "{outcome:?}");
    obstacle.rollback().await.expect("rolled back");

    let new = take_over(&*database.storage).await[0];
    assert_eq!(new.epoch, lease.epoch + 1);
}

/// If a caller gives up in the middle of a call, its connection is closed instead of reused.
#[tokio::test]
async fn a_dropped_call_spoils_no_connection() {
    for kind in [Kind::Postgres, Kind::Sqlite] {
        let database = Database::new(kind).await;
        let lease = take_over(&*database.storage).await[0];
        let row = character(user(), SHARD);
        for version in 1..60 {
            let batch = [later(&row, version)];
            let save = database.storage.save(std::slice::from_ref(&lease), &batch);
            // Ever later in the call: after so many times that it was asked whether it is done.
            let mut save = std::pin::pin!(save);
            for _ in 0..version / 3 {
                tokio::select! {
                    biased;
                    _ = &mut save => break,
                    () = tokio::task::yield_now() => {}
                }
            }
        }
        let last = later(&row, 100);
        assert_eq!(database.storage.save(&[lease], std::slice::from_ref(&last)).await.expect("saved"), []);
        assert_same(&only(&*database.storage, lease, row.user).await, &last);
    }
}

/// A holder that freezes in the middle of a transaction does not keep its shards from the next one.
#[tokio::test]
async fn a_frozen_holder_does_not_stop_a_takeover() {
    let database = Database::new(Kind::Postgres).await;
    let (proxy, frozen) = through_proxy(&database).await;
    let lease = take_over(&*frozen).await[0];
    let mut raw = database.raw().await;
    let mut obstacle = raw.begin().await.expect("a transaction");
    let row = character(user(), SHARD);
    database.storage.save(&[lease], std::slice::from_ref(&row)).await.expect("saved");
    sqlx::query("SELECT 1 FROM characters FOR UPDATE").execute(&mut *obstacle).await.expect("locked");
    let next = later(&row, 1);
    let retry = frozen.retry_dead_letter(lease, &next, next.version);
    let takeover = async {
        let mut raw = database.raw().await;
        let waiting = "SELECT count(*) AS waiting FROM pg_stat_activity \
             WHERE datname = current_database() AND wait_event_type = 'Lock'";
        while sqlx::query(waiting).fetch_one(&mut raw).await.expect("an answer").get::<i64, _>("waiting") == 0 {
            tokio::task::yield_now().await;
        }
        // From here the holder hears nothing: its transaction stands open, with the lease's row locked.
        proxy.silence();
        obstacle.rollback().await.expect("rolled back");
        take_over(&*database.storage).await[0]
    };
    let (outcome, new) = tokio::join!(retry, takeover);
    assert!(matches!(outcome, Err(StorageError::Transient(_))), "{outcome:?}");
    assert_eq!(new.epoch, lease.epoch + 1);
    assert_same(&only(&*database.storage, new, row.user).await, &row);
}

/// What only PostgreSQL refuses, and what passes of itself although it is an error.
#[tokio::test]
async fn refusals_and_passing_failures_are_told_apart() {
    let database = Database::new(Kind::Postgres).await;
    let storage = &database.storage;
    let lease = take_over(&**storage).await[0];
    let good = character(user(), SHARD);
    let refused = [
        castellan::storage::CharacterRow { state: r#"{"name": "\u0000"}"#.to_owned(), ..good.clone() },
        castellan::storage::CharacterRow { name: "nul \0".to_owned(), ..good.clone() },
        castellan::storage::CharacterRow { state: "{\"a\": \"\0\"}".to_owned(), ..good.clone() },
        castellan::storage::CharacterRow { created_at_ms: i64::MAX, ..good.clone() },
    ];
    for row in refused {
        let outcome = storage.save(&[lease], std::slice::from_ref(&row)).await;
        assert!(matches!(outcome, Err(StorageError::Refused(_))), "{row:?}: {outcome:?}");
    }

    let mut raw = database.raw().await;
    sqlx::raw_sql("ALTER TABLE characters RENAME TO elsewhere").execute(&mut raw).await.expect("renamed");
    let outcome = storage.save(&[lease], std::slice::from_ref(&good)).await;
    assert!(matches!(outcome, Err(StorageError::Transient(_))), "{outcome:?}");
    sqlx::raw_sql("ALTER TABLE elsewhere RENAME TO characters").execute(&mut raw).await.expect("renamed back");
    assert_eq!(storage.save(&[lease], std::slice::from_ref(&good)).await.expect("saved"), []);
}
