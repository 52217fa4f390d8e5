//! Rows that were refused.

use castellan::storage::{CharacterRow, DeadLetter, ShardId, StorageError, VERSION_JUMP, Verdict};
use castellan_srd::wire::CharacterId;
use uuid::Uuid;

use super::rows::{assert_same, character, later, only, take_over, time_ms, user};
use crate::harness::Database;

const SHARD: ShardId = ShardId::new(200);

fn letter(row: CharacterRow) -> DeadLetter {
    DeadLetter {
        row,
        epoch: 1,
        error: "value too long (22001)".to_owned(),
        attempts: 3,
        failed_at_ms: time_ms(),
        verdict: None,
    }
}

pub(super) async fn a_dead_letter_is_kept_whole(database: &Database) {
    let storage = &database.storage;
    let lease = take_over(&**storage).await[200];
    let deleted_at_ms = Some(time_ms());
    let first = letter(CharacterRow { deleted_at_ms, ..later(&character(user(), SHARD), 5) });
    let second = DeadLetter { verdict: Some(Verdict::Discard), ..letter(character(user(), SHARD)) };
    storage.add_dead_letter(lease, &second).await.expect("put away");
    storage.add_dead_letter(lease, &first).await.expect("put away");
    assert_eq!(database.open().await.dead_letters().await.expect("an answer"), [first, second]);
}

pub(super) async fn there_is_one_dead_letter_a_character(database: &Database) {
    let storage = &database.storage;
    let lease = take_over(&**storage).await[200];
    let first = letter(character(user(), SHARD));
    storage.add_dead_letter(lease, &first).await.expect("put away");
    assert!(storage.decide_dead_letter(first.row.id, Verdict::Retry).await.expect("an answer"));
    let again = DeadLetter { attempts: 4, ..letter(later(&first.row, 1)) };
    storage.add_dead_letter(lease, &again).await.expect("put away");
    assert_eq!(storage.dead_letters().await.expect("an answer"), [again], "a failed retry waits for a new verdict");
}

pub(super) async fn what_no_column_takes_can_be_put_away(database: &Database) {
    let storage = &database.storage;
    let lease = take_over(&**storage).await[200];
    let strange = CharacterRow {
        name: "nul \0".to_owned(),
        state: "{\"broken\": \"\\u0000 \u{1}".to_owned(),
        created_at_ms: i64::MIN,
        updated_at_ms: i64::MAX,
        ..character(user(), SHARD)
    };
    let strange = letter(strange);
    storage.add_dead_letter(lease, &strange).await.expect("put away");
    assert_eq!(storage.dead_letters().await.expect("an answer"), [strange]);
}

pub(super) async fn a_retry_writes_and_forgets(database: &Database) {
    let storage = &database.storage;
    let lease = take_over(&**storage).await[200];
    let row = character(user(), SHARD);
    storage.save(&[lease], std::slice::from_ref(&row)).await.expect("saved");
    let next = later(&row, 2);
    storage.add_dead_letter(lease, &letter(next.clone())).await.expect("put away");
    let far = next.version + 5 * VERSION_JUMP;
    for (raise_to, version) in [(1, next.version + VERSION_JUMP), (far, far), (1, far + VERSION_JUMP)] {
        storage.retry_dead_letter(lease, &next, raise_to).await.expect("written");
        let raised = CharacterRow { version, recoveries: lease.recoveries, ..next.clone() };
        assert_same(&only(&**storage, lease, row.user).await, &raised);
        assert_eq!(storage.dead_letters().await.expect("an answer"), []);
    }
}

pub(super) async fn a_refused_retry_changes_nothing(database: &Database) {
    let storage = &database.storage;
    let lease = take_over(&**storage).await[200];
    let row = character(user(), SHARD);
    storage.save(&[lease], std::slice::from_ref(&row)).await.expect("saved");
    let bad = letter(CharacterRow { state: "no JSON".to_owned(), ..later(&row, 1) });
    storage.add_dead_letter(lease, &bad).await.expect("put away");
    let outcome = storage.retry_dead_letter(lease, &bad.row, 9).await;
    assert!(matches!(outcome, Err(StorageError::Refused(_))), "{outcome:?}");
    assert_eq!(storage.dead_letters().await.expect("an answer"), [bad]);
    assert_same(&only(&**storage, lease, row.user).await, &row);
}

/// Above the version that a load under the lease would have shown, too: the row was written before a crash.
pub(super) async fn a_discard_moves_the_version_on(database: &Database) {
    let storage = &database.storage;
    let old = take_over(&**storage).await[200];
    let (row, unborn) = (character(user(), SHARD), character(user(), SHARD));
    let row = CharacterRow { recoveries: old.recoveries, ..row };
    storage.save(&[old], std::slice::from_ref(&row)).await.expect("saved");
    let lease = take_over(&**storage).await[200];
    for lost in [later(&row, 6), unborn.clone()] {
        storage.add_dead_letter(lease, &letter(lost.clone())).await.expect("put away");
        storage.discard_dead_letter(lease, lost.user, lost.id, lost.version + 1).await.expect("discarded");
    }
    assert_eq!(storage.dead_letters().await.expect("an answer"), []);
    assert_eq!(storage.load_user(lease, unborn.user).await.expect("an answer"), []);
    let left = CharacterRow { version: row.version + 2 * VERSION_JUMP, recoveries: lease.recoveries, ..row.clone() };
    assert_same(&only(&**storage, lease, row.user).await, &left);

    storage.discard_dead_letter(lease, row.user, row.id, 3).await.expect("discarded again");
    let again = CharacterRow { version: left.version + VERSION_JUMP, ..left };
    assert_same(&only(&**storage, lease, row.user).await, &again);
}

pub(super) async fn an_overtaken_letter_is_forgotten_unless_somebody_decided(database: &Database) {
    let storage = &database.storage;
    let lease = take_over(&**storage).await[200];
    let overtaken = letter(later(&character(user(), SHARD), 3));
    storage.add_dead_letter(lease, &overtaken).await.expect("put away");
    storage.forget_dead_letter(lease, overtaken.row.id, overtaken.row.version + 1).await.expect("an answer");
    assert_eq!(storage.dead_letters().await.expect("an answer"), std::slice::from_ref(&overtaken), "another version");
    storage.decide_dead_letter(overtaken.row.id, Verdict::Retry).await.expect("an answer");
    storage.forget_dead_letter(lease, overtaken.row.id, overtaken.row.version).await.expect("an answer");
    assert_eq!(storage.dead_letters().await.expect("an answer").len(), 1, "it is decided on");
    storage.add_dead_letter(lease, &overtaken).await.expect("put away");
    storage.forget_dead_letter(lease, overtaken.row.id, overtaken.row.version).await.expect("an answer");
    assert_eq!(storage.dead_letters().await.expect("an answer"), []);
    take_over(&**storage).await;
    let fenced = storage.forget_dead_letter(lease, overtaken.row.id, 1).await;
    assert!(matches!(fenced, Err(StorageError::Fenced(SHARD))), "{fenced:?}");
}

/// A write that was on its way when the operator decided arrives last, and must change nothing.
pub(super) async fn a_late_write_changes_nothing_after_a_decision(database: &Database) {
    let storage = &database.storage;
    let lease = take_over(&**storage).await[200];
    let (retried, unborn) = (character(user(), SHARD), character(user(), SHARD));
    storage.save(&[lease], std::slice::from_ref(&retried)).await.expect("saved");
    let next = later(&retried, 1);
    storage.retry_dead_letter(lease, &next, 3 * VERSION_JUMP).await.expect("written");
    storage.discard_dead_letter(lease, unborn.user, unborn.id, 100).await.expect("discarded");
    for late in [later(&retried, 2), later(&unborn, 1)] {
        assert_eq!(storage.save(&[lease], std::slice::from_ref(&late)).await.expect("an answer"), []);
    }
    let kept = CharacterRow { version: 3 * VERSION_JUMP, recoveries: lease.recoveries, ..next };
    assert_same(&only(&**storage, lease, retried.user).await, &kept);
    assert_eq!(storage.load_user(lease, unborn.user).await.expect("an answer"), []);
}

pub(super) async fn a_decision_needs_a_dead_letter(database: &Database) {
    let storage = &database.storage;
    let lease = take_over(&**storage).await[200];
    let nobody = CharacterId::from_uuid(Uuid::new_v4());
    assert!(!storage.decide_dead_letter(nobody, Verdict::Retry).await.expect("an answer"));
    let bad = letter(character(user(), SHARD));
    storage.add_dead_letter(lease, &bad).await.expect("put away");
    for verdict in [Verdict::Retry, Verdict::Discard] {
        assert!(storage.decide_dead_letter(bad.row.id, verdict).await.expect("an answer"));
        let found = storage.dead_letters().await.expect("an answer");
        assert_eq!(found, [DeadLetter { verdict: Some(verdict), ..bad.clone() }]);
    }
}
