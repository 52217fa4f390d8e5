//! Copies are chosen only if they are whole and exactly as the database has them.

use std::sync::Arc;

use castellan_protocol::CharacterId;
use castellan_srd::{Catalogue, Srd};
use tokio::runtime::Handle;

use super::super::PROCESS_BYTES_MAX;
use super::super::arrived::FromPeers;
use super::*;
use crate::shard::shard_of;
use crate::shard::tests::{InMemory, character, over, user};
use crate::storage::Storage;
use crate::storage::faulty::MemoryStorage;

const LINK: LinkId = 3;
const ME: Uuid = Uuid::from_u128(9);

async fn process(storage: &MemoryStorage) -> InMemory {
    let catalogue = Arc::new(Catalogue::embedded());
    over(Arc::new(storage.clone()), Handle::current(), &catalogue, &(Arc::new(|| 1_000_i64) as _)).await
}

/// A user's two characters, stored.
async fn stored(process: &InMemory) -> Vec<CharacterRow> {
    process.create(user(1), character(2)).await;
    process.create(user(1), character(1)).await;
    while process.shards.dirty() > 0 {
        tokio::task::yield_now().await;
    }
    process.shards.copies(shard_of(user(1)), &[user(1)]).remove(0).1
}

/// What a node keeps of copies that arrive.
struct Peer {
    received: Received<Srd>,
    all: FromPeers,
}

impl Peer {
    fn new() -> Self {
        Self { received: Received::default(), all: FromPeers::default() }
    }

    fn copy(&mut self, number: u64, rows: &[CharacterRow]) {
        let body = wire::write_roster(user(1), rows).expect("it can be written");
        let room = self.all.room(body.len()).expect("there is room");
        let shard = shard_of(user(1));
        assert!(self.received.hear(LINK, FromPeer::Copy { shard, number, body, room }).is_none());
    }

    /// The number of users whose copies are chosen.
    fn given(&mut self, number: u64, recoveries: u64, versions: &[(CharacterId, u64)]) -> usize {
        let versions = versions.iter().map(|(id, version)| (*id, Version::new(*version))).collect();
        let given = Given { to: ME, held: Held { epoch: 5, recoveries }, rosters: vec![(user(1), versions)] };
        let message = FromPeer::Given { shard: shard_of(user(1)), number, body: wire::write_given(given.clone()) };
        let (shard, gift) = self.received.hear(LINK, message).expect("a gift");
        assert_eq!((shard, gift.to, gift.held), (shard_of(user(1)), ME, given.held));
        gift.rosters.len()
    }
}

fn versions(rows: &[CharacterRow]) -> Vec<(CharacterId, u64)> {
    rows.iter().map(|row| (row.id, row.version)).collect()
}

#[tokio::test]
async fn a_copy_is_chosen_only_if_it_is_whole_and_as_the_database_has_it() {
    let rows = stored(&process(&MemoryStorage::new()).await).await;
    let recoveries = rows[0].recoveries.cast_unsigned();
    let chosen = |rows: &[CharacterRow], recoveries, stored: &[(CharacterId, u64)]| {
        let mut peer = Peer::new();
        peer.copy(1, rows);
        peer.given(1, recoveries, stored)
    };
    let same = versions(&rows);
    assert_eq!(chosen(&rows, recoveries, &same), 1);
    let reversed: Vec<_> = same.iter().rev().copied().collect();
    assert_eq!(chosen(&rows, recoveries, &reversed), 1, "the order does not matter");
    let newer = [same[0], (same[1].0, same[1].1 + 1)];
    assert_eq!(chosen(&rows, recoveries, &newer), 0, "the copy is older");
    assert_eq!(chosen(&rows[..1], recoveries, &same), 0, "a character is missing");
    assert_eq!(chosen(&rows, recoveries, &same[..1]), 0, "a character is gone");
    assert_eq!(chosen(&rows[..1], recoveries, &same[1..]), 0, "it is another character");
    assert_eq!(chosen(&rows, recoveries + 1, &same), 0, "its version would jump");
    assert_eq!(chosen(&[], recoveries, &[]), 1, "a user without characters");
    assert_eq!(chosen(&[], recoveries, &same), 0);
}

#[tokio::test]
async fn copies_of_an_earlier_attempt_are_dropped() {
    let rows = stored(&process(&MemoryStorage::new()).await).await;
    let (same, recoveries) = (versions(&rows), rows[0].recoveries.cast_unsigned());
    let mut peer = Peer::new();
    let shard = shard_of(user(1));
    peer.copy(1, &rows);
    assert_eq!(peer.given(2, recoveries, &same), 0, "they are of attempt 1");
    peer.copy(1, &rows);
    peer.copy(2, &[]);
    peer.copy(1, &rows);
    assert_eq!(peer.given(2, recoveries, &same), 0, "a late one does not replace a newer one");
    peer.copy(3, &rows);
    peer.received.hear(LINK, FromPeer::CalledOff { shard });
    assert_eq!(peer.given(3, recoveries, &same), 0, "the move was called off");
    peer.copy(4, &rows);
    peer.received.hear(LINK, FromPeer::Down);
    assert_eq!(peer.given(4, recoveries, &same), 0, "the link is gone");
    peer.copy(5, &[]);
    peer.copy(5, &rows);
    assert_eq!(peer.given(5, recoveries, &same), 1, "the last copy of an attempt counts");
    assert_eq!(peer.given(5, recoveries, &same), 0, "a gift is given once");
    assert!(peer.all.room(PROCESS_BYTES_MAX).is_some(), "all room is free again");
}

#[tokio::test]
async fn the_memory_for_copies_is_bounded() {
    let rows = stored(&process(&MemoryStorage::new()).await).await;
    let (same, recoveries) = (versions(&rows), rows[0].recoveries.cast_unsigned());
    let mut peer = Peer::new();
    let all = peer.all.room(PROCESS_BYTES_MAX).expect("nothing is kept");
    assert!(peer.all.room(1).is_none());
    drop(all);
    let (shard, body) = (shard_of(user(1)), wire::write_roster(user(1), &rows).expect("it can be written"));
    let room = peer.all.room(SHARD_BYTES_MAX + 1).expect("there is room");
    peer.received.hear(LINK, FromPeer::Copy { shard, number: 1, body, room });
    assert_eq!(peer.given(1, recoveries, &same), 0, "too much for one shard");
    assert!(peer.all.room(PROCESS_BYTES_MAX).is_some());
}

#[tokio::test]
async fn a_copy_becomes_what_a_load_would_have_read() {
    let storage = MemoryStorage::new();
    let former = process(&storage).await;
    let rows = stored(&former).await;
    let (shard, owner) = (shard_of(user(1)), user(1));
    storage.release(&former.shards.leases()).await.expect("released");
    let copies = || {
        let body = wire::write_roster(owner, &rows).expect("it can be written");
        vec![wire::read_roster::<Srd>(&body, shard).expect("it can be read")]
    };
    let next = process(&storage).await;
    let lease = next.shards.held(shard).expect("the shard is served");
    let earlier = crate::storage::Lease { epoch: lease.epoch - 1, ..lease };
    assert_eq!(next.shards.install_copies(earlier, copies()), 0, "it is about another epoch");
    assert_eq!(next.shards.install_copies(lease, copies()), 1);
    assert_eq!(next.shards.install_copies(lease, copies()), 0, "they are in memory");
    let installed = next.shards.copies(shard, &[owner]);
    next.shards.leave(owner);
    assert!(next.shards.copies(shard, &[owner]).is_empty(), "they were stored, so they may leave memory");
    next.shards.load(owner).await.expect("loaded");
    assert_eq!(installed, next.shards.copies(shard, &[owner]));
    assert_eq!(next.shards.versions(shard, true), vec![(owner, rows_in_order(&installed[0].1))]);
    assert_eq!(next.shards.occupied(), 3);
}

#[tokio::test]
async fn copies_give_way_to_a_load_that_is_under_way() {
    let storage = MemoryStorage::new();
    let former = process(&storage).await;
    let rows = stored(&former).await;
    let (shard, owner) = (shard_of(user(1)), user(1));
    storage.release(&former.shards.leases()).await.expect("released");
    let body = wire::write_roster(owner, &rows).expect("it can be written");
    let copies = vec![wire::read_roster::<Srd>(&body, shard).expect("it can be read")];
    let next = process(&storage).await;
    let lease = next.shards.held(shard).expect("the shard is served");
    let mut load = std::pin::pin!(next.shards.load(owner));
    assert!(futures_util::poll!(load.as_mut()).is_pending(), "it has begun");
    assert_eq!(next.shards.install_copies(lease, copies), 0, "it may have read older rows");
    load.await.expect("loaded");
    assert_eq!(next.shards.copies(shard, &[owner]).len(), 1);
}

fn rows_in_order(rows: &[CharacterRow]) -> Versions {
    rows.iter().map(|row| (row.id, Version::new(row.version))).collect()
}
