//! How the flusher collects from the shards.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;

use super::*;
use crate::flush::Signals;
use crate::shard::tests::{character, fighter, user};
use crate::shard::{Capacity, Creation};
use crate::storage::Storage;
use crate::storage::faulty::MemoryStorage;
use castellan_srd::{Catalogue, Srd};

const ALL: usize = SHARDS as usize;

/// Shards with one new, dirty character for each of `users` users.
async fn shards(users: u128) -> Arc<Shards<Srd>> {
    let storage: Arc<dyn Storage> = Arc::new(MemoryStorage::new());
    let leases = storage.take_over("test").await.expect("no other process has them");
    let capacity = Capacity {
        characters_max: 10_000,
        dirty_max: 10_000,
        deals_per_minute: 100,
        load_timeout: Duration::from_secs(5),
    };
    let (catalogue, signals) = (Arc::new(Catalogue::embedded()), Arc::new(Signals::default()));
    let secret = Arc::from([7; 32]);
    let shards =
        Arc::new(Shards::new(storage, &catalogue, &secret, capacity, signals, Handle::current(), Arc::new(|| 1)));
    shards.take(&leases);
    let wanted = fighter();
    for number in 1..=users {
        let creation =
            Creation { owner: user(number), character: character(number), id: None, wanted: &wanted, wait: None };
        shards.create(&creation, &mut Vec::new()).await;
    }
    shards
}

#[tokio::test]
async fn a_sweep_visits_every_shard_once_and_splits_none() {
    let shards = shards(3_000).await;
    let (mut found, mut of, mut passed) = (BTreeSet::new(), BTreeSet::new(), 0);
    while passed < ALL {
        let (batch, by) = shards.collect(Queue::Dirty, 100);
        assert!(by > 0 && (50..=100).contains(&batch.rows.len()) || passed + by >= ALL, "{} rows", batch.rows.len());
        assert!(batch.rows.iter().all(|row| batch.leases.iter().any(|lease| lease.shard == row.shard)));
        for lease in &batch.leases {
            assert!(of.insert(lease.shard), "shard {} was visited twice", lease.shard);
        }
        found.extend(batch.rows.iter().map(|row| row.id));
        passed += by;
    }
    assert_eq!(found, (1..=3_000).map(character).collect());
    let (rest, passed) = shards.collect(Queue::Dirty, 100);
    assert_eq!((rest.rows.len(), rest.leases.len(), passed), (0, 0, ALL), "one round finds nothing more");
}

#[tokio::test]
async fn a_shard_with_more_rows_than_wanted_is_collected_whole() {
    let shards = shards(3_000).await;
    let (batch, passed) = shards.collect(Queue::Dirty, 1);
    assert_eq!((batch.leases.len(), passed), (1, 1));
    assert!(batch.rows.len() > 1);
}

#[tokio::test]
async fn hurried_characters_are_found_at_any_point_of_the_sweep() {
    let shards = shards(500).await;
    shards.collect(Queue::Dirty, 200);
    let waiting: BTreeSet<_> = (1..=500).step_by(50).map(character).collect();
    for number in (1..=500).step_by(50) {
        shards.hurry(user(number), character(number));
    }
    let (batch, passed) = shards.collect(Queue::Hurried, 100);
    assert_eq!(passed, ALL);
    let hurried: BTreeSet<_> = batch.rows.iter().map(|row| row.id).collect();
    assert!(!hurried.is_empty() && hurried.is_subset(&waiting));
    let (rest, _) = shards.collect(Queue::Dirty, usize::MAX);
    assert!(rest.rows.iter().all(|row| !waiting.contains(&row.id)), "none is collected twice");
}
