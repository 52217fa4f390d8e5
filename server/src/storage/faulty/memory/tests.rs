//! What a synchronous standby means for the callers of a database.

use futures_util::FutureExt;
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::super::replication::Rules;
use super::*;

fn row(version: u64) -> CharacterRow {
    CharacterRow {
        id: CharacterId::from_uuid(Uuid::from_u128(1)),
        user: UserId::from_uuid(Uuid::from_u128(1)),
        shard: ShardId::new(0),
        name: "Brannor".to_owned(),
        version,
        recoveries: 0,
        schema_version: 1,
        state: "{}".to_owned(),
        request_ids: Vec::new(),
        created_at_ms: 0,
        updated_at_ms: 0,
        deleted_at_ms: None,
    }
}

/// A database whose standby has version 1, and the lease under which it was written.
async fn bench() -> (MemoryStorage, Lease) {
    let memory = MemoryStorage::new();
    let lease = memory.take_over("test").await.expect("nobody else is here")[0];
    assert_eq!(memory.save(&[lease], &[row(1)]).await.expect("saved"), []);
    (memory, lease)
}

/// Begins to save a version; returns when the call waits.
async fn saving(memory: &MemoryStorage, lease: Lease, version: u64) -> JoinHandle<Result<Vec<ShardId>, StorageError>> {
    let memory = memory.clone();
    let saving = tokio::spawn(async move { memory.save(&[lease], &[row(version)]).await });
    tokio::task::yield_now().await;
    assert!(!saving.is_finished());
    saving
}

/// The version that everyone sees, and the one that a failover would leave.
fn versions(memory: &MemoryStorage) -> [Option<u64>; 2] {
    let id = row(1).id;
    [memory.character(id), memory.replicated_character(id)].map(|row| row.map(|row| row.version))
}

fn is_unknown<T>(answer: &Result<T, StorageError>) -> bool {
    matches!(answer, Err(StorageError::Transient(_)))
}

#[tokio::test(start_paused = true)]
async fn a_commit_is_seen_and_answered_once_the_standby_has_it() {
    let (memory, lease) = bench().await;
    memory.standby_leaves();
    let second = saving(&memory, lease, 2).await;
    assert_eq!(versions(&memory), [Some(1), Some(1)]);
    memory.standby_returns();
    assert_eq!(versions(&memory), [Some(2), Some(2)]);
    assert_eq!(second.await.expect("no panic").expect("saved"), []);
    assert!(memory.save(&[lease], &[row(3)]).now_or_never().is_some(), "nothing waits any more");
}

#[tokio::test(start_paused = true)]
async fn a_failover_revokes_what_the_standby_lacks_and_only_that() {
    let (memory, lease) = bench().await;
    memory.standby_leaves();
    let second = saving(&memory, lease, 2).await;
    memory.cancel_waits();
    assert!(is_unknown(&second.await.expect("no panic")));
    assert_eq!(versions(&memory), [Some(2), Some(1)]);
    let third = saving(&memory, lease, 3).await;
    memory.standby_receives(1);
    assert_eq!(versions(&memory), [Some(2), Some(2)]);
    let old = memory.fail_over();
    assert!(is_unknown(&third.await.expect("no panic")));
    assert_eq!(versions(&memory), [Some(2), Some(2)]);
    assert_eq!(versions(&old), [Some(3), Some(2)], "the old primary does not know");
    assert!(is_unknown(&old.prove(&[lease]).await), "and may not be believed");
    assert_eq!(memory.save(&[lease], &[row(3)]).await.expect("saved"), []);
}

#[tokio::test(start_paused = true)]
async fn a_repeated_save_and_a_load_answer_once_the_standby_has_what_they_saw() {
    let (memory, lease) = bench().await;
    memory.standby_leaves();
    let second = saving(&memory, lease, 2).await;
    memory.restart();
    assert!(is_unknown(&second.await.expect("no panic")));
    assert_eq!(versions(&memory), [Some(2), Some(1)], "a restart shows what is not replicated");
    let again = saving(&memory, lease, 2).await;
    assert!(is_unknown(&memory.load(lease, &[row(1).user]).await), "the standby does not come");
    assert!(is_unknown(&again.await.expect("no panic")));
    memory.standby_returns();
    assert_eq!(memory.load(lease, &[row(1).user]).await.expect("loaded"), [row(2)]);
}

#[tokio::test(start_paused = true)]
async fn a_rule_that_is_left_out_believes_what_may_be_lost() {
    let (memory, lease) = bench().await;
    memory.set_rules(Rules { reads_wait: false, warnings_count: false, ..Rules::default() });
    memory.standby_leaves();
    let second = saving(&memory, lease, 2).await;
    memory.cancel_waits();
    assert_eq!(second.await.expect("no panic").expect("the warning is ignored"), []);
    assert_eq!(memory.load(lease, &[row(1).user]).await.expect("believed"), [row(2)]);
    let _ = memory.fail_over();
    assert_eq!(versions(&memory), [Some(1), Some(1)]);
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_was_given_up_is_cancelled_or_keeps_its_locks() {
    for cancels in [true, false] {
        let (memory, lease) = bench().await;
        memory.set_rules(Rules { cancels, ..Rules::default() });
        memory.standby_leaves();
        assert!(is_unknown(&saving(&memory, lease, 2).await.await.expect("no panic")));
        assert_eq!(versions(&memory)[0], Some(1 + u64::from(cancels)));
        let mut takeover = Box::pin(memory.take_over("other"));
        assert!(takeover.as_mut().now_or_never().is_none(), "waits for the lock or for the standby");
        memory.standby_returns();
        assert_eq!(takeover.await.expect("taken")[0].epoch, lease.epoch + 1);
        assert_eq!(versions(&memory), [Some(2), Some(2)]);
        assert_eq!(memory.save(&[lease], &[row(3)]).await.expect("an answer"), [lease.shard]);
    }
}

#[tokio::test]
async fn a_listed_row_is_refused_only_while_its_lease_holds() {
    let (memory, old) = bench().await;
    let other = CharacterRow { id: CharacterId::from_uuid(Uuid::from_u128(2)), ..row(1) };
    memory.refuse(other.id);
    let outcome = memory.save(&[old], &[row(2), other.clone()]).await;
    assert!(matches!(outcome, Err(StorageError::Refused(_))), "{outcome:?}");
    assert_eq!(versions(&memory)[0], Some(1), "the others of its batch are not written either");

    let new = memory.take_over("test").await.expect("taken")[0];
    assert_eq!(memory.save(&[old], std::slice::from_ref(&other)).await.expect("an answer"), [ShardId::new(0)]);
    memory.accept(other.id);
    assert_eq!(memory.save(&[new], &[other]).await.expect("saved"), []);
}
