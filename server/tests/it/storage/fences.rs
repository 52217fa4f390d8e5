//! Who has lost a shard writes and reads nothing of it, however close the takeover.

use std::sync::Arc;

use castellan::storage::{CharacterRow, DeadLetter, KeyRow, ShardId, Storage, StorageError};
use sqlx::{Connection, PgConnection, Row};

use super::rows::{assert_same, character, later, only, take_over, time_ms, user};
use crate::harness::{Database, Kind, until};

const SHARD: ShardId = ShardId::new(0);

pub(super) async fn a_load_without_a_lease_is_fenced(database: &Database) {
    let old = take_over(&*database.storage).await[0];
    let new = take_over(&*database.storage).await[0];
    let outcome = database.storage.load(old, &[user()]).await;
    assert!(matches!(outcome, Err(StorageError::Fenced(SHARD))), "{outcome:?}");
    assert_eq!(database.storage.load(new, &[user()]).await.expect("an answer"), []);
    database.storage.release(&[new]).await.expect("released");
    let outcome = database.storage.load(new, &[user()]).await;
    assert!(matches!(outcome, Err(StorageError::Fenced(SHARD))), "{outcome:?}");
}

pub(super) async fn a_save_without_a_lease_writes_nothing(database: &Database) {
    let storage = &database.storage;
    let old = take_over(&**storage).await[0];
    let row = character(user(), SHARD);
    storage.save(&[old], std::slice::from_ref(&row)).await.expect("saved");
    let new = take_over(&*database.open().await).await[0];
    let late = later(&row, 1);
    assert_eq!(storage.save(&[old], std::slice::from_ref(&late)).await.expect("an answer"), [SHARD]);
    assert_same(&only(&**storage, new, row.user).await, &row);

    storage.release(&[new]).await.expect("released");
    assert_eq!(storage.save(&[new], std::slice::from_ref(&late)).await.expect("an answer"), [SHARD]);
    let newest = take_over(&**storage).await[0];
    assert_same(&only(&**storage, newest, row.user).await, &row);
}

pub(super) async fn of_a_batch_only_what_is_held_is_written(database: &Database) {
    let storage = &database.storage;
    let old = take_over(&**storage).await;
    let new = take_over(&**storage).await;
    let mut leases = new.clone();
    for shard in [3, 77, 255] {
        leases[shard] = old[shard];
    }
    let rows: Vec<CharacterRow> = ShardId::all().map(|shard| character(user(), shard)).collect();
    let gone = storage.save(&leases, &rows).await.expect("an answer");
    assert_eq!(gone, [3, 77, 255].map(ShardId::new));
    for (row, lease) in rows.iter().zip(&new) {
        let found = storage.load(*lease, &[row.user]).await.expect("an answer");
        assert_eq!(found.is_empty(), gone.contains(&row.shard), "{:?}", row.shard);
    }
}

pub(super) async fn dead_letters_are_fenced(database: &Database) {
    let storage = &database.storage;
    let old = take_over(&**storage).await[0];
    let row = character(user(), SHARD);
    storage.save(&[old], std::slice::from_ref(&row)).await.expect("saved");
    let lost = DeadLetter {
        row: later(&row, 1),
        epoch: old.epoch,
        error: "refused".to_owned(),
        attempts: 1,
        failed_at_ms: time_ms(),
        verdict: None,
        stored: Some(row.version),
    };
    storage.add_dead_letter(old, &lost).await.expect("put away");
    let new = take_over(&**storage).await[0];

    let other = DeadLetter { row: character(user(), SHARD), ..lost.clone() };
    for outcome in [
        storage.add_dead_letter(old, &other).await,
        storage.retry_dead_letter(old, &lost.row, 9).await,
        storage.discard_dead_letter(old, row.user, row.id, None, 9).await,
        storage.reject_decision(old, &lost, "no").await,
    ] {
        assert!(matches!(outcome, Err(StorageError::Fenced(SHARD))), "{outcome:?}");
    }
    assert_eq!(storage.dead_letters().await.expect("an answer"), [lost]);
    assert_same(&only(&**storage, new, row.user).await, &row);
}

/// How many connections of this database wait for a lock.
async fn waiting(raw: &mut PgConnection) -> i64 {
    let row = sqlx::query(
        "SELECT count(*) AS waiting FROM pg_stat_activity \
         WHERE datname = current_database() AND wait_event_type = 'Lock'",
    )
    .fetch_one(raw)
    .await
    .expect("an answer");
    row.get("waiting")
}

/// Waits until so many connections of this database wait for a lock.
pub(super) async fn until_waiting(database: &Database, connections: i64) {
    let raw = tokio::sync::Mutex::new(database.raw().await);
    until("a connection that waits for a lock", || async { waiting(&mut *raw.lock().await).await == connections })
        .await;
}

/// The save stands between its proof and its write when the takeover comes: the takeover waits for it.
#[tokio::test]
async fn a_takeover_waits_for_a_save_that_has_proven_its_lease() {
    let database = Database::new(Kind::Postgres).await;
    let lease = take_over(&*database.storage).await[0];
    let row = character(user(), SHARD);
    database.storage.save(&[lease], std::slice::from_ref(&row)).await.expect("saved");

    let mut raw = database.raw().await;
    let mut obstacle = raw.begin().await.expect("a transaction");
    sqlx::query("SELECT 1 FROM characters FOR UPDATE").execute(&mut *obstacle).await.expect("locked");
    let next = later(&row, 1);
    let (storage, written) = (Arc::clone(&database.storage), next.clone());
    let save = tokio::spawn(async move { storage.save(&[lease], &[written]).await });
    until_waiting(&database, 1).await;
    let rival = database.open().await;
    let takeover = tokio::spawn(async move { rival.take_over("rival").await });
    until_waiting(&database, 2).await;
    assert!(!takeover.is_finished());
    obstacle.rollback().await.expect("rolled back");

    assert_eq!(save.await.expect("it ran").expect("saved"), []);
    let new = takeover.await.expect("it ran").expect("taken")[0];
    assert_same(&only(&*database.storage, new, row.user).await, &next);
}

/// The takeover has locked and not yet committed when the save looks at its lease: the save waits, and finds it gone,
/// whatever transactions see by default in this database.
#[tokio::test]
async fn a_save_behind_a_takeover_finds_its_lease_gone() {
    let database = Database::new(Kind::Postgres).await;
    let changed_default = "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_isolation TO serializable', \
         current_database()); END $$";
    sqlx::query(changed_default).execute(&mut database.raw().await).await.expect("changed");
    let lease = take_over(&*database.storage).await[0];
    let row = character(user(), SHARD);
    database.storage.save(&[lease], std::slice::from_ref(&row)).await.expect("saved");

    let mut raw = database.raw().await;
    let mut takeover = raw.begin().await.expect("a transaction");
    sqlx::query("UPDATE shard_leases SET epoch = epoch + 1, recoveries = recoveries + 1")
        .execute(&mut *takeover)
        .await
        .expect("taken");
    let storage = Arc::clone(&database.storage);
    let late = later(&row, 1);
    let calls = tokio::spawn(async move {
        tokio::join!(
            storage.save(std::slice::from_ref(&lease), std::slice::from_ref(&late)),
            storage.load(lease, std::slice::from_ref(&late.user)),
            storage.prove(std::slice::from_ref(&lease)),
            storage.discard_dead_letter(lease, late.user, late.id, None, 50),
        )
    });
    until_waiting(&database, 4).await;
    takeover.commit().await.expect("committed");

    let (save, load, proof, discard) = calls.await.expect("they ran");
    assert_eq!(save.expect("an answer"), [SHARD]);
    assert!(matches!(load, Err(StorageError::Fenced(SHARD))), "{load:?}");
    assert_eq!(proof.expect("an answer"), [SHARD]);
    assert!(matches!(discard, Err(StorageError::Fenced(SHARD))), "{discard:?}");
    let new = take_over(&*database.storage).await[0];
    assert_same(&only(&*database.storage, new, row.user).await, &row);
}

/// Two servers that start at once: the second one looks for a key only when the first has added its own.
#[tokio::test]
async fn a_first_key_waits_for_one_that_is_being_added() {
    let database = Database::new(Kind::Postgres).await;
    let mut raw = database.raw().await;
    let mut first = raw.begin().await.expect("a transaction");
    sqlx::query("INSERT INTO signing_keys (id, purpose, secret, created_at) VALUES ('theirs', 'dice', '\\x01', now())")
        .execute(&mut *first)
        .await
        .expect("added");
    let storage = Arc::clone(&database.storage);
    let mine = KeyRow { id: "mine".into(), purpose: "dice".into(), secret: vec![2], created_at_ms: time_ms() };
    let second = tokio::spawn(async move { storage.replace_keys(&[], &[mine]).await });
    until_waiting(&database, 1).await;
    first.commit().await.expect("committed");
    assert!(!second.await.expect("it ran").expect("an answer"));
    let keys = database.storage.keys().await.expect("an answer");
    assert_eq!(keys.iter().map(|key| key.id.as_str()).collect::<Vec<_>>(), ["theirs"]);
}

/// On SQLite a save that comes while another process takes over waits for the file's write lock.
#[tokio::test]
async fn a_save_beside_a_takeover_on_sqlite_finds_its_lease_gone() {
    let database = Database::new(Kind::Sqlite).await;
    let lease = take_over(&*database.storage).await[0];
    let row = character(user(), SHARD);
    database.storage.save(&[lease], std::slice::from_ref(&row)).await.expect("saved");

    let path = database.url.trim_start_matches("sqlite://");
    let mut raw = sqlx::SqliteConnection::connect(path).await.expect("the file opens");
    let mut takeover = raw.begin_with("BEGIN IMMEDIATE").await.expect("a transaction");
    sqlx::query("UPDATE shard_leases SET epoch = epoch + 1").execute(&mut *takeover).await.expect("taken");
    let storage = Arc::clone(&database.storage);
    let late = later(&row, 1);
    let save = tokio::spawn(async move { storage.save(&[lease], &[late]).await });
    assert_same(&only(&*database.storage, lease, row.user).await, &row);
    takeover.commit().await.expect("committed");

    assert_eq!(save.await.expect("it ran").expect("an answer"), [SHARD]);
    let new = take_over(&*database.storage).await[0];
    assert_same(&only(&*database.storage, new, row.user).await, &row);
}

/// Many saves and takeovers of two servers at once: no deadlock, and nothing written under an old epoch.
#[tokio::test]
async fn saves_and_takeovers_at_once_neither_block_nor_slip() {
    let database = Database::new(Kind::Postgres).await;
    let rows: Vec<CharacterRow> = ShardId::all().map(|shard| character(user(), shard)).collect();
    let rival = database.open().await;
    let server = |storage: Arc<dyn Storage>, rows: Vec<CharacterRow>| async move {
        let mut kept = 0;
        for round in 0..20 {
            let leases = take_over(&*storage).await;
            for turn in 0..5 {
                // The epoch is part of the version, so that one written under an old epoch would be seen to fall.
                let at = |row: &CharacterRow| {
                    let lease = leases[usize::from(row.shard.number())];
                    CharacterRow { version: lease.epoch.unsigned_abs() * 100 + turn + 1, ..row.clone() }
                };
                let batch: Vec<CharacterRow> = rows.iter().map(at).collect();
                let gone = storage.save(&leases, &batch).await.unwrap_or_else(|error| panic!("{round}: {error}"));
                kept += batch.len() - gone.len();
            }
        }
        kept
    };
    let (mine, theirs) = tokio::join!(
        tokio::spawn(server(Arc::clone(&database.storage), rows.clone())),
        tokio::spawn(server(rival, rows.clone())),
    );
    assert!(mine.expect("it ran") + theirs.expect("it ran") > 0);
    let leases = take_over(&*database.storage).await;
    for (row, lease) in rows.iter().zip(&leases) {
        let found = only(&*database.storage, *lease, row.user).await;
        assert!(found.version / 100 < lease.epoch.unsigned_abs());
    }
}
