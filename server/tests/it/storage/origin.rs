//! What a restore must not bring back: leases, sessions, and the keys of their tokens.

use castellan::storage::{KeyRow, Lease, Origin, ShardId};

use super::accounts::{login, store};
use super::rows::take_over;
use crate::harness::Database;

/// A time, and the number that epochs and recoveries jump to at it: seconds since 2026.
const RESTORED_AT_MS: i64 = 1_767_225_600_000 + 30_000_000_999;
const SECONDS: i64 = 30_000_000;

pub(super) async fn a_restore_fences_even_servers_that_the_backup_does_not_know(database: &Database) {
    let storage = &database.storage;
    let known = take_over(&**storage).await;
    storage.restored(RESTORED_AT_MS).await.expect("restored");
    let unknown: Vec<Lease> = known.iter().map(|lease| Lease { epoch: lease.epoch + 1, ..*lease }).collect();
    for leases in [known, unknown] {
        assert_eq!(storage.prove(&leases).await.expect("an answer"), ShardId::all().collect::<Vec<_>>());
    }
    let again = storage.take_again("test", &ShardId::all().collect::<Vec<_>>()).await.expect("an answer");
    assert_eq!(again, [], "nor do they take the shards again by themselves");
    let taken = take_over(&**storage).await;
    // One more: nobody had released the shards.
    assert!(taken.iter().all(|lease| (lease.epoch, lease.recoveries) == (SECONDS + 1, SECONDS + 1)), "{taken:?}");
    storage.restored(RESTORED_AT_MS).await.expect("in the same second");
    let jumped = SECONDS + 1 + 4_096 + 1;
    let taken = take_over(&**storage).await;
    assert!(taken.iter().all(|lease| (lease.epoch, lease.recoveries) == (jumped, jumped)), "{taken:?}");
}

pub(super) async fn a_restore_ends_sessions_and_replaces_the_keys_of_tokens(database: &Database) {
    let storage = &database.storage;
    let login = login();
    store(&**storage, &login).await;
    let keys = ["dice", "es256", "refresh"].map(|purpose| KeyRow {
        id: purpose.to_owned(),
        purpose: purpose.to_owned(),
        secret: vec![1],
        created_at_ms: 1,
    });
    assert!(storage.replace_keys(&[], &keys).await.expect("keys"));
    assert_eq!(storage.restored(RESTORED_AT_MS).await.expect("restored"), 1);
    assert_eq!(storage.session(login.id).await.expect("an answer"), None);
    let keys = storage.keys().await.expect("keys");
    assert_eq!(keys.iter().map(|key| key.purpose.as_str()).collect::<Vec<_>>(), ["dice"]);
}

pub(super) async fn a_database_that_stays_what_it_is_is_not_taken_for_restored(database: &Database) {
    let storage = &database.storage;
    for _ in 0..3 {
        assert_eq!(storage.recognise(RESTORED_AT_MS).await.expect("an answer"), Origin::default());
    }
    storage.restored(RESTORED_AT_MS).await.expect("restored");
    assert_eq!(storage.recognise(RESTORED_AT_MS).await.expect("an answer"), Origin::default());
    assert!(take_over(&**storage).await.iter().all(|lease| lease.epoch == SECONDS + 1));
}
