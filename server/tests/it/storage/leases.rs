//! Taking shards over and giving them back.

use castellan::storage::{Lease, ShardId};

use super::rows::take_over;
use crate::harness::Database;

pub(super) async fn shards_are_born_released(database: &Database) {
    let leases = take_over(&*database.storage).await;
    let expected: Vec<Lease> = ShardId::all().map(|shard| Lease { shard, epoch: 1, recoveries: 0 }).collect();
    assert_eq!(leases, expected);
}

pub(super) async fn a_takeover_counts_recoveries_only_where_nothing_was_released(database: &Database) {
    let first = take_over(&*database.storage).await;
    database.storage.release(&first[..100]).await.expect("released");
    database.storage.release(&first[..100]).await.expect("released again");
    let second = take_over(&*database.storage).await;
    for lease in &second {
        let lost = i64::from(lease.shard.number() >= 100);
        assert_eq!((lease.epoch, lease.recoveries), (2, lost), "{lease:?}");
    }
    let third = take_over(&*database.storage).await;
    assert!(third.iter().zip(&second).all(|(now, before)| now.recoveries == before.recoveries + 1 && now.epoch == 3));
}

pub(super) async fn a_takeover_ends_the_leases_before_it(database: &Database) {
    let rival = database.open().await;
    let mine = take_over(&*database.storage).await;
    assert_eq!(database.storage.prove(&mine).await.expect("an answer"), []);
    let theirs = take_over(&*rival).await;
    assert_eq!(database.storage.prove(&mine).await.expect("an answer"), ShardId::all().collect::<Vec<_>>());
    assert_eq!(rival.prove(&theirs).await.expect("an answer"), []);
    let mixed = [mine[3], theirs[4], theirs[9], mine[200]];
    assert_eq!(rival.prove(&mixed).await.expect("an answer"), [ShardId::new(3), ShardId::new(200)]);
}

pub(super) async fn release_passes_over_what_is_gone(database: &Database) {
    let mine = take_over(&*database.storage).await;
    let theirs = take_over(&*database.storage).await;
    database.storage.release(&mine).await.expect("nothing to release");
    assert_eq!(database.storage.prove(&theirs).await.expect("an answer"), []);
    assert!(take_over(&*database.storage).await.iter().all(|lease| lease.recoveries == 2));
}

pub(super) async fn a_released_lease_proves_nothing(database: &Database) {
    let leases = take_over(&*database.storage).await;
    database.storage.release(&leases[7..8]).await.expect("released");
    assert_eq!(database.storage.prove(&leases).await.expect("an answer"), [ShardId::new(7)]);
}

pub(super) async fn takeovers_at_once_agree(database: &Database) {
    let rival = database.open().await;
    for round in 0..10 {
        let (mine, theirs) = tokio::join!(take_over(&*database.storage), take_over(&*rival));
        let epochs = [mine[0].epoch, theirs[0].epoch];
        assert!(epochs == [2 * round + 1, 2 * round + 2] || epochs == [2 * round + 2, 2 * round + 1], "{epochs:?}");
        assert!(mine.iter().all(|lease| lease.epoch == epochs[0]));
        assert!(theirs.iter().all(|lease| lease.epoch == epochs[1]));
    }
}

pub(super) async fn only_what_nobody_has_is_taken_again(database: &Database) {
    let (ours, rival) = (&database.storage, database.open().await);
    let before = take_over(&**ours).await;
    assert_eq!(ours.lost(&before).await.expect("looked"), []);
    let theirs = rival.take_over("rival").await.expect("taken");
    let all: Vec<ShardId> = ShardId::all().collect();
    assert_eq!(ours.lost(&before).await.expect("looked"), all);
    assert_eq!(ours.take_again("test", &all).await.expect("looked"), []);

    rival.release(&theirs[..2]).await.expect("released");
    let taken = ours.take_again("test", &all[1..]).await.expect("taken");
    let expected = Lease { epoch: theirs[1].epoch + 1, ..theirs[1] };
    assert_eq!(
        taken,
        [expected],
        "neither what was not asked for nor what the rival still has; and no crash is counted"
    );
    assert_eq!(rival.lost(&theirs).await.expect("looked"), all[..2]);

    // As if the answer to the first try had been lost.
    let again = ours.take_again("test", &all[1..]).await.expect("taken");
    assert_eq!(again, [Lease { epoch: expected.epoch + 1, recoveries: expected.recoveries + 1, ..expected }]);
    assert_eq!(ours.lost(&taken).await.expect("looked"), all[1..2]);
}
