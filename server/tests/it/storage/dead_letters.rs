//! Rows that were refused.

use castellan::storage::{CharacterRow, DeadLetter, ShardId, StorageError, VERSION_JUMP, Verdict};
use castellan_srd::wire::CharacterId;
use sqlx::Connection;
use uuid::Uuid;

use super::rows::{assert_same, character, later, only, take_over, time_ms, user};
use crate::harness::{Database, Kind};

const SHARD: ShardId = ShardId::new(200);

fn letter(row: CharacterRow) -> DeadLetter {
    DeadLetter {
        row,
        epoch: 1,
        error: "value too long (22001)".to_owned(),
        attempts: 3,
        failed_at_ms: time_ms(),
        verdict: None,
        stored: None,
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
    let decided = DeadLetter { verdict: Some(Verdict::Retry), ..again };
    assert_eq!(storage.dead_letters().await.expect("an answer"), std::slice::from_ref(&decided), "the verdict stays");
    storage.add_dead_letter(lease, &first).await.expect("put away");
    assert_eq!(storage.dead_letters().await.expect("an answer"), std::slice::from_ref(&decided), "the newest is kept");

    // The database goes on without that state; a letter about another one needs a decision of its own.
    storage.save(&[lease], &[later(&first.row, 7)]).await.expect("saved");
    let other = letter(later(&first.row, 8));
    storage.add_dead_letter(lease, &other).await.expect("put away");
    let found = storage.dead_letters().await.expect("an answer");
    assert_eq!(found, [DeadLetter { stored: Some(first.row.version + 7), ..other }]);
}

pub(super) async fn a_decision_that_cannot_be_carried_out_is_taken_back(database: &Database) {
    let storage = &database.storage;
    let lease = take_over(&**storage).await[200];
    let kept = letter(later(&character(user(), SHARD), 3));
    storage.add_dead_letter(lease, &kept).await.expect("put away");
    storage.decide_dead_letter(kept.row.id, Verdict::Retry).await.expect("an answer");
    let seen = storage.dead_letters().await.expect("an answer").remove(0);
    for changed in [
        DeadLetter { verdict: Some(Verdict::Discard), ..seen.clone() },
        DeadLetter { verdict: None, ..seen.clone() },
        DeadLetter { row: later(&kept.row, 1), ..seen.clone() },
    ] {
        storage.reject_decision(lease, &changed, "no").await.expect("an answer");
        assert_eq!(storage.dead_letters().await.expect("an answer"), std::slice::from_ref(&seen), "{changed:?}");
    }
    storage.reject_decision(lease, &seen, "refused again").await.expect("an answer");
    let rejected = DeadLetter { error: "refused again".to_owned(), attempts: 4, ..kept };
    assert_eq!(storage.dead_letters().await.expect("an answer"), [rejected]);
}

pub(super) async fn a_retry_never_gives_up_a_state_that_the_database_has_overtaken(database: &Database) {
    let storage = &database.storage;
    let lease = take_over(&**storage).await[200];
    let row = character(user(), SHARD);
    let newer = later(&row, 9);
    storage.save(&[lease], std::slice::from_ref(&newer)).await.expect("saved");
    let old = letter(later(&row, 3));
    storage.add_dead_letter(lease, &old).await.expect("put away");
    let outcome = storage.retry_dead_letter(lease, &old.row, 9 + VERSION_JUMP).await;
    assert!(matches!(&outcome, Err(StorageError::Refused(error)) if error.contains("version 10")), "{outcome:?}");
    let found = storage.dead_letters().await.expect("an answer");
    assert_eq!(found, [DeadLetter { stored: Some(newer.version), ..old }]);
    assert_same(&only(&**storage, lease, row.user).await, &newer);
}

pub(super) async fn a_decision_concerns_only_the_letter_that_it_was_made_on(database: &Database) {
    let storage = &database.storage;
    let lease = take_over(&**storage).await[200];
    let row = character(user(), SHARD);
    let newer = letter(later(&row, 2));
    storage.add_dead_letter(lease, &newer).await.expect("put away");
    storage.discard_dead_letter(lease, row.user, row.id, None, 5).await.expect("raised");
    storage.discard_dead_letter(lease, row.user, row.id, Some(row.version), 5).await.expect("raised");
    storage.retry_dead_letter(lease, &later(&row, 9 * VERSION_JUMP), 5).await.expect("written");
    let found = storage.dead_letters().await.expect("an answer");
    assert_eq!(found.iter().map(|letter| letter.row.version).collect::<Vec<_>>(), [newer.row.version]);
}

/// A letter that only a person could have written.
async fn damage(database: &Database, character: CharacterId) {
    let statement = "UPDATE dead_letters SET name = CAST(x'ff' AS TEXT), request_ids = 'no list'";
    match database.kind {
        Kind::Memory => {}
        Kind::Postgres => {
            let statement = "UPDATE dead_letters SET state = '\\xff' WHERE character_id = $1";
            sqlx::query(statement).bind(character.uuid()).execute(&mut database.raw().await).await.expect("damaged");
        }
        Kind::Sqlite => {
            let path = database.url.trim_start_matches("sqlite://");
            let mut raw = sqlx::SqliteConnection::connect(path).await.expect("the file opens");
            let one = format!("{statement} WHERE character_id = '{character}'");
            sqlx::raw_sql(sqlx::AssertSqlSafe(one)).execute(&mut raw).await.expect("damaged");
        }
    }
}

pub(super) async fn a_letter_that_cannot_be_read_hides_no_other(database: &Database) {
    let storage = &database.storage;
    let lease = take_over(&**storage).await[200];
    let [bad, good] = [(); 2].map(|()| letter(character(user(), SHARD)));
    for letter in [&bad, &good] {
        storage.add_dead_letter(lease, letter).await.expect("put away");
    }
    storage.decide_dead_letter(bad.row.id, Verdict::Retry).await.expect("an answer");
    damage(database, bad.row.id).await;
    let mut found = storage.dead_letters().await.expect("an answer");
    assert_eq!(found.pop().as_ref(), Some(&good));
    let damaged = found.pop().expect("it still keeps its character waiting");
    if database.kind != Kind::Memory {
        assert!(damaged.error.contains("cannot be read"), "{}", damaged.error);
        let outcome = storage.retry_dead_letter(lease, &damaged.row, 9).await;
        assert!(matches!(outcome, Err(StorageError::Refused(_))), "{outcome:?}");
    }
    let known = (damaged.row.id, damaged.row.user, damaged.row.shard, damaged.row.version, damaged.verdict);
    assert_eq!(known, (bad.row.id, bad.row.user, SHARD, bad.row.version, Some(Verdict::Retry)));
    storage.discard_dead_letter(lease, bad.row.user, bad.row.id, Some(bad.row.version), 9).await.expect("discarded");
    assert_eq!(storage.dead_letters().await.expect("an answer"), [good]);
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
    let far = next.version + 5 * VERSION_JUMP;
    for (before, raise_to, version) in [
        (next.version, 1, next.version + VERSION_JUMP),
        (next.version + VERSION_JUMP + 1, far, far),
        (far + 1, 1, far + 1 + VERSION_JUMP),
    ] {
        let next = CharacterRow { version: before, ..next.clone() };
        storage.add_dead_letter(lease, &letter(next.clone())).await.expect("put away");
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
    let found = storage.dead_letters().await.expect("an answer");
    assert_eq!(found, [DeadLetter { stored: Some(row.version), ..bad }]);
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
        storage
            .discard_dead_letter(lease, lost.user, lost.id, Some(lost.version), lost.version + 1)
            .await
            .expect("discarded");
    }
    assert_eq!(storage.dead_letters().await.expect("an answer"), []);
    assert_eq!(storage.load(lease, &[unborn.user]).await.expect("an answer"), []);
    let left = CharacterRow { version: row.version + 2 * VERSION_JUMP, recoveries: lease.recoveries, ..row.clone() };
    assert_same(&only(&**storage, lease, row.user).await, &left);

    storage.discard_dead_letter(lease, row.user, row.id, None, 3).await.expect("discarded again");
    let again = CharacterRow { version: left.version + VERSION_JUMP, ..left };
    assert_same(&only(&**storage, lease, row.user).await, &again);
}

pub(super) async fn a_letter_is_forgotten_by_its_version(database: &Database) {
    let storage = &database.storage;
    let lease = take_over(&**storage).await[200];
    let overtaken = letter(later(&character(user(), SHARD), 3));
    storage.add_dead_letter(lease, &overtaken).await.expect("put away");
    storage.forget_dead_letter(lease, overtaken.row.id, overtaken.row.version + 1).await.expect("an answer");
    assert_eq!(storage.dead_letters().await.expect("an answer"), std::slice::from_ref(&overtaken), "another version");
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
    storage.discard_dead_letter(lease, unborn.user, unborn.id, None, 100).await.expect("discarded");
    for late in [later(&retried, 2), later(&unborn, 1)] {
        assert_eq!(storage.save(&[lease], std::slice::from_ref(&late)).await.expect("an answer"), []);
    }
    let kept = CharacterRow { version: 3 * VERSION_JUMP, recoveries: lease.recoveries, ..next };
    assert_same(&only(&**storage, lease, retried.user).await, &kept);
    assert_eq!(storage.load(lease, &[unborn.user]).await.expect("an answer"), []);
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
