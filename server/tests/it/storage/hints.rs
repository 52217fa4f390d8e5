//! Hints: who owns what has changed, or a session has ended.

use std::sync::Arc;
use std::time::Duration;

use castellan::storage::{Hint, SessionRow, ShardId, Storage};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::accounts::{account, login};
use super::membership::{membership, node, report, take};
use super::rows::{character, time_ms, user};
use crate::harness::{Database, Kind};

const SHARD: ShardId = ShardId::new(7);

/// Longer than any hint needs.
const LONG: Duration = Duration::from_secs(20);

/// Listens, and waits until it does.
async fn listen(storage: &Arc<dyn Storage>) -> mpsc::Receiver<Hint> {
    let (heard, mut hints) = mpsc::channel(16);
    let storage = Arc::clone(storage);
    // Nobody listens any more when the test ends.
    tokio::spawn(async move { storage.hints(&move |hint| heard.try_send(hint).unwrap_or_default()).await });
    assert_eq!(next(&mut hints).await, Hint::Leases, "whatever changed before");
    assert_eq!(next(&mut hints).await, Hint::Sessions, "whatever changed before");
    hints
}

async fn next(hints: &mut mpsc::Receiver<Hint>) -> Hint {
    timeout(LONG, hints.recv()).await.expect("in time").expect("it listens")
}

#[tokio::test]
async fn each_change_of_owner_and_each_ended_session_is_hinted_and_no_flush() {
    let database = Database::new(Kind::Postgres).await;
    let storage = &database.storage;
    let members = membership(storage);
    let (a, b) = (node(storage, "a").await, node(storage, "b").await);
    let ada = account("ada");
    storage.create_account(&ada).await.expect("an account");
    let session = SessionRow { user: ada.user, ..login() };
    assert!(storage.create_session(&session, &ada.password_hash).await.expect("an answer"));
    let mut hints = listen(&database.open().await).await;

    let lease = take(storage, a, SHARD).await;
    assert_eq!(next(&mut hints).await, Hint::Leases, "a take");
    // Neither of these says anything, or the next hint would come too early.
    storage.save(&[lease], &[character(user(), SHARD)]).await.expect("saved");
    members.renew(a, &report("r1")).await.expect("renewed");
    storage.revoke_session(session.id, time_ms()).await.expect("ended");
    assert_eq!(next(&mut hints).await, Hint::Sessions);
    storage.revoke_session(session.id, time_ms()).await.expect("ended before");
    let moved = members.transfer(a, b, lease).await.expect("an answer").lease;
    assert_eq!(next(&mut hints).await, Hint::Leases, "a transfer");
    members.transfer(a, b, lease).await.expect("the same answer");
    storage.save(&[moved], &[]).await.expect("saved");
    storage.release(&[moved]).await.expect("released");
    assert_eq!(next(&mut hints).await, Hint::Leases, "a release");
    assert!(hints.try_recv().is_err());
}

#[tokio::test]
async fn a_lost_connection_is_opened_again() {
    let database = Database::new(Kind::Postgres).await;
    let mut hints = listen(&database.open().await).await;
    let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
               WHERE query LIKE 'LISTEN%' AND datname = current_database()";
    sqlx::query(cut).execute(&mut database.raw().await).await.expect("cut");
    assert_eq!(next(&mut hints).await, Hint::Leases, "it was lost, so anything may have changed");
    assert_eq!(next(&mut hints).await, Hint::Sessions);
    take(&database.storage, node(&database.storage, "a").await, SHARD).await;
    assert_eq!(next(&mut hints).await, Hint::Leases);
}
