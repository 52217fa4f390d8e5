//! Rows to test with.

use std::sync::atomic::{AtomicI64, Ordering};

use castellan::storage::{CharacterRow, Lease, SHARDS, ShardId, Storage};
use castellan_srd::wire::{CharacterId, SessionId, UserId};
use serde_json::{Value, json};
use uuid::Uuid;

/// A Sunday in November 2026, in milliseconds, and one more with each call.
pub(super) fn time_ms() -> i64 {
    static NEXT: AtomicI64 = AtomicI64::new(1_795_348_800_123);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

pub(super) fn user() -> UserId {
    UserId::from_uuid(Uuid::new_v4())
}

pub(super) fn session() -> SessionId {
    SessionId::from_uuid(Uuid::new_v4())
}

/// A character of a user in a shard, at version 1.
pub(super) fn character(user: UserId, shard: ShardId) -> CharacterRow {
    let created_at_ms = time_ms();
    CharacterRow {
        id: CharacterId::from_uuid(Uuid::new_v4()),
        user,
        shard,
        name: "Brannor".to_owned(),
        version: 1,
        recoveries: 0,
        schema_version: 1,
        state: json!({"name": "Brannor", "hitpoints": 20, "inventory": [{"item": "arrow", "quantity": 20}]})
            .to_string(),
        request_ids: Vec::new(),
        created_at_ms,
        updated_at_ms: created_at_ms,
        deleted_at_ms: None,
    }
}

/// The same character, `steps` versions later.
pub(super) fn later(row: &CharacterRow, steps: u64) -> CharacterRow {
    let version = row.version + steps;
    CharacterRow {
        version,
        state: json!({"name": row.name, "hitpoints": version}).to_string(),
        request_ids: (row.version..version).map(|id| (1 << 51) + id).collect(),
        updated_at_ms: time_ms(),
        ..row.clone()
    }
}

/// All leases, taken now.
pub(super) async fn take_over(storage: &dyn Storage) -> Vec<Lease> {
    let leases = storage.take_over("test").await.expect("the shards are taken");
    assert_eq!(leases.len(), usize::from(SHARDS));
    leases
}

/// Asserts that two rows are the same, whatever spaces and order their JSON has.
#[track_caller]
pub(super) fn assert_same(found: &CharacterRow, expected: &CharacterRow) {
    let state = |row: &CharacterRow| serde_json::from_str::<Value>(&row.state).expect("a state is JSON");
    assert_eq!(state(found), state(expected));
    assert_eq!(CharacterRow { state: expected.state.clone(), ..found.clone() }, *expected);
}

/// What the database has of one user, who has one character.
pub(super) async fn only(storage: &dyn Storage, lease: Lease, user: UserId) -> CharacterRow {
    let mut rows = storage.load(lease, &[user]).await.expect("the user is loaded");
    assert_eq!(rows.len(), 1, "characters");
    rows.remove(0)
}
