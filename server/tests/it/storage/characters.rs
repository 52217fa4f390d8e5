//! Saving and loading.

use castellan::storage::{CharacterRow, DeadLetter, ShardId, StorageError};
use serde_json::json;

use super::rows::{assert_same, character, later, only, take_over, time_ms, user};
use crate::harness::Database;

const SHARD: ShardId = ShardId::new(17);

pub(super) async fn what_is_saved_is_loaded(database: &Database) {
    let storage = &database.storage;
    let lease = take_over(&**storage).await[17];
    let owner = user();
    let row = character(owner, SHARD);
    assert_eq!(storage.save(&[lease], std::slice::from_ref(&row)).await.expect("saved"), []);
    assert_same(&only(&**storage, lease, owner).await, &row);

    let next = CharacterRow { name: "Branna".to_owned(), recoveries: 3, schema_version: 2, ..later(&row, 4) };
    assert_eq!(storage.save(&[lease], std::slice::from_ref(&next)).await.expect("saved"), []);
    assert_same(&only(&*database.open().await, lease, owner).await, &next);
    assert_eq!(storage.load(lease, &[user()]).await.expect("an answer"), []);
}

pub(super) async fn a_version_never_falls(database: &Database) {
    let storage = &database.storage;
    let lease = take_over(&**storage).await[17];
    let (one, other) = (character(user(), SHARD), character(user(), SHARD));
    let newer = later(&one, 5);
    storage.save(&[lease], std::slice::from_ref(&newer)).await.expect("saved");
    let twin = CharacterRow { name: "Twin".to_owned(), ..newer.clone() };
    for old in [one.clone(), later(&one, 4), twin] {
        assert_eq!(storage.save(&[lease], &[old, other.clone()]).await.expect("saved"), []);
        assert_same(&only(&**storage, lease, one.user).await, &newer);
    }
    assert_same(&only(&**storage, lease, other.user).await, &other);
}

pub(super) async fn a_save_may_be_repeated(database: &Database) {
    let storage = &database.storage;
    let leases = take_over(&**storage).await;
    let rows: Vec<CharacterRow> = ShardId::all().map(|shard| later(&character(user(), shard), 9)).collect();
    for _ in 0..3 {
        assert_eq!(storage.save(&leases, &rows).await.expect("saved"), []);
    }
    for (row, lease) in rows.iter().zip(&leases) {
        assert_same(&only(&**storage, *lease, row.user).await, row);
    }
}

pub(super) async fn a_deleted_character_is_not_loaded(database: &Database) {
    let storage = &database.storage;
    let lease = take_over(&**storage).await[17];
    let owner = user();
    let (kept, deleted) = (character(owner, SHARD), character(owner, SHARD));
    storage.save(&[lease], &[kept.clone(), deleted.clone()]).await.expect("saved");
    let grave = CharacterRow { deleted_at_ms: Some(time_ms()), ..later(&deleted, 1) };
    storage.save(&[lease], std::slice::from_ref(&grave)).await.expect("saved");
    assert_same(&only(&**storage, lease, owner).await, &kept);
    let restored = later(&deleted, 2);
    storage.save(&[lease], std::slice::from_ref(&restored)).await.expect("saved");
    let rows = storage.load(lease, &[owner]).await.expect("loaded");
    assert_same(&rows[1], &restored);
}

pub(super) async fn characters_are_loaded_oldest_first(database: &Database) {
    let storage = &database.storage;
    let lease = take_over(&**storage).await[17];
    let owner = user();
    let rows: Vec<CharacterRow> = (0..32).map(|_| character(owner, SHARD)).collect();
    let mixed: Vec<CharacterRow> = (0..32).map(|place| rows[place * 13 % 32].clone()).collect();
    storage.save(&[lease], &mixed).await.expect("saved");
    let found = storage.load(lease, &[owner]).await.expect("loaded");
    assert_eq!(found.len(), rows.len());
    for (found, expected) in found.iter().zip(&rows) {
        assert_same(found, expected);
    }
}

pub(super) async fn request_ids_keep_their_order(database: &Database) {
    let storage = &database.storage;
    let lease = take_over(&**storage).await[17];
    let full: Vec<u64> = (0..64).map(|place| (1 << 53) - 1 - (place * 37) % 64).collect();
    let lists = [vec![], full, vec![1], vec![], vec![9, 3, 7, 3], vec![0, (1 << 53) - 1]];
    let rows: Vec<CharacterRow> =
        lists.into_iter().map(|request_ids| CharacterRow { request_ids, ..character(user(), SHARD) }).collect();
    storage.save(&[lease], &rows).await.expect("saved");
    for row in &rows {
        assert_eq!(only(&**storage, lease, row.user).await.request_ids, row.request_ids);
    }
}

pub(super) async fn a_thousand_rows_and_large_states_fit_in_one_save(database: &Database) {
    let storage = &database.storage;
    let leases = take_over(&**storage).await;
    let mut rows: Vec<CharacterRow> = (0..1_000)
        .map(|place| CharacterRow {
            request_ids: (1..=64).map(|id| id << 40).collect(),
            ..character(user(), ShardId::new(place))
        })
        .collect();
    for row in rows.iter_mut().step_by(100) {
        row.state = json!({"inventory": "potion ".repeat(9_400)}).to_string();
        assert!(row.state.len() > 64 * 1024);
    }
    assert_eq!(storage.save(&leases, &rows).await.expect("saved"), []);
    for row in rows.iter().step_by(50) {
        let lease = leases[usize::from(row.shard.number())];
        assert_same(&only(&**storage, lease, row.user).await, row);
    }
}

pub(super) async fn an_empty_save_proves_its_leases(database: &Database) {
    let old = take_over(&*database.storage).await;
    let new = take_over(&*database.storage).await;
    let gone = database.storage.save(&[old[1], new[2]], &[]).await.expect("an answer");
    assert_eq!(gone, [ShardId::new(1)]);
}

pub(super) async fn a_row_without_a_lease_refuses_its_batch(database: &Database) {
    let storage = &database.storage;
    let leases = take_over(&**storage).await;
    let (good, bare) = (character(user(), SHARD), character(user(), ShardId::new(18)));
    let outcome = storage.save(&leases[17..18], &[good.clone(), bare]).await;
    assert!(matches!(outcome, Err(StorageError::Refused(_))), "{outcome:?}");
    assert_eq!(storage.load(leases[17], &[good.user]).await.expect("an answer"), [], "nothing was written");
}

pub(super) async fn a_refused_row_refuses_its_batch(database: &Database) {
    let storage = &database.storage;
    let lease = take_over(&**storage).await[17];
    let good = character(user(), SHARD);
    let bad = [
        CharacterRow { state: "{".to_owned(), ..character(user(), SHARD) },
        CharacterRow { version: 0, ..character(user(), SHARD) },
        CharacterRow { version: u64::MAX, ..character(user(), SHARD) },
        CharacterRow { request_ids: vec![u64::MAX], ..character(user(), SHARD) },
    ];
    for bad in bad {
        let outcome = storage.save(&[lease], &[good.clone(), bad.clone()]).await;
        assert!(matches!(outcome, Err(StorageError::Refused(_))), "{bad:?}: {outcome:?}");
        assert_eq!(storage.load(lease, &[good.user]).await.expect("an answer"), [], "nothing was written");
    }
    assert_eq!(storage.save(&[lease], std::slice::from_ref(&good)).await.expect("saved"), []);
    assert_same(&only(&**storage, lease, good.user).await, &good);
}

pub(super) async fn names_and_states_in_any_script_are_kept(database: &Database) {
    let storage = &database.storage;
    let lease = take_over(&**storage).await[17];
    for name in ["Þórðr", "龍之介", "🐉🐉", "O'Brien \"the\" \\ {1,2}", "NULL", "a,b;c--"] {
        let state = json!({"name": name, "weight": 86.5, "big": 9_007_199_254_740_991_u64, "none": null}).to_string();
        let row = CharacterRow { name: name.to_owned(), state, ..character(user(), SHARD) };
        storage.save(&[lease], std::slice::from_ref(&row)).await.expect("saved");
        assert_same(&only(&**storage, lease, row.user).await, &row);
    }
}

pub(super) async fn long_deleted_characters_are_purged_in_steps_and_no_others(database: &Database) {
    let storage = &database.storage;
    let leases = take_over(&**storage).await;
    let (mine, foreign) = (ShardId::new(3), ShardId::new(4));
    let owner = user();
    let deleted_at = |shard, deleted_at_ms| CharacterRow { deleted_at_ms, ..character(owner, shard) };
    let old: Vec<_> = (1..=5).map(|day| deleted_at(mine, Some(day))).collect();
    let buried = deleted_at(mine, Some(1));
    let kept = [deleted_at(mine, Some(6)), deleted_at(mine, None), deleted_at(foreign, Some(1)), buried.clone()];
    let all = [&old[..], &kept].concat();
    storage.save(&leases, &all).await.expect("saved");
    let letter = DeadLetter {
        row: CharacterRow { version: 1, ..buried },
        epoch: 1,
        error: "refused".to_owned(),
        attempts: 1,
        failed_at_ms: 1,
        verdict: None,
        stored: None,
    };
    storage.add_dead_letter(leases[usize::from(mine.number())], &letter).await.expect("a letter");

    let held = [leases[usize::from(mine.number())]];
    let purge =
        |before_ms, max| async move { storage.purge_characters(&held, before_ms, max).await.expect("an answer") };
    // A purged row is one that an older version can be written to again.
    let is_there = async |row: &CharacterRow| {
        let other = CharacterRow { deleted_at_ms: None, ..row.clone() };
        storage.save(&leases, std::slice::from_ref(&other)).await.expect("saved");
        let lease = leases[usize::from(row.shard.number())];
        let loaded = storage.load(lease, &[row.user]).await.expect("loaded");
        let came_back = loaded.iter().any(|found| found.id == row.id);
        came_back == row.deleted_at_ms.is_none()
    };
    assert_eq!(purge(1, 10).await, 0);
    assert_eq!(purge(6, 2).await, 2, "the oldest first");
    assert_eq!(purge(6, 10).await, 3);
    assert_eq!(purge(6, 10).await, 0);
    for row in &old {
        assert!(!is_there(row).await, "{:?}", row.deleted_at_ms);
    }
    for row in &kept {
        assert!(is_there(row).await, "{:?} in shard {}", row.deleted_at_ms, row.shard);
    }

    // Another server takes over: the first one must not purge any more.
    let rows = [deleted_at(mine, Some(1))];
    storage.save(&leases, &rows).await.expect("saved");
    let taken = take_over(&**storage).await;
    assert_eq!(purge(6, 10).await, 0, "the lease is lost");
    assert_eq!(storage.purge_characters(&taken, 6, 10).await.expect("an answer"), 2, "and the foreign one");
}
