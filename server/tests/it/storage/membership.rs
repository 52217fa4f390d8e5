//! Processes that share the shards of a database: who is registered, who lives, and who owns what.

use std::sync::Arc;

use castellan::storage::{
    InUse, Lease, Link, Load, Membership, Node, NodeKind, Owned, Present, Published, Report, Seen, ShardId, Storage,
    StorageError, Wanted,
};
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use super::fences::until_waiting;
use super::rows::{character, later, take_over, user};
use crate::harness::{Database, Kind};

const SHARD: ShardId = ShardId::new(7);

/// An old server's statement: it does not know that leases name processes.
const OLD_TAKE_OVER: &str = "UPDATE shard_leases SET epoch = epoch + 1, recoveries = recoveries + (NOT released)::integer, \
     released = false, node = 'old server', taken_at = now() WHERE released OR $1";

const LOAD: Load = Load { sockets: 1, intents_per_second: 2, dirty: 3, lag_ms: 4 };

pub(super) fn membership(storage: &Arc<dyn Storage>) -> &dyn Membership {
    storage.membership().expect("the database has several processes")
}

fn process(kind: NodeKind, name: &str) -> Node {
    Node {
        process: Uuid::new_v4(),
        kind,
        name: name.to_owned(),
        address: "10.0.0.7:7000".to_owned(),
        link: None,
        weight: 100,
        draining: false,
        rules: InUse::own("r1"),
        schema_version: 3,
    }
}

/// Registers a node.
/// What a process reports.
pub(super) fn report(catalogue: &str) -> Report {
    Report { rules: InUse::own(catalogue), load: LOAD }
}

pub(super) async fn node(storage: &Arc<dyn Storage>, name: &str) -> Uuid {
    let node = process(NodeKind::Node, name);
    assert_eq!(membership(storage).register(&node, &[]).await.expect("an answer"), [], "nobody is in its way");
    node.process
}

/// The leases that a renewal reads.
async fn leases_of(storage: &Arc<dyn Storage>, process: Uuid) -> Option<Vec<Lease>> {
    let renewal = membership(storage).renew(process, &report("r1")).await.expect("an answer");
    renewal.map(|renewal| renewal.leases)
}

async fn heartbeat(storage: &Arc<dyn Storage>, process: Uuid) -> i64 {
    let nodes = membership(storage).nodes().await.expect("all processes");
    nodes.iter().find(|present| present.node.process == process).expect("it is registered").heartbeat
}

async fn owner(storage: &Arc<dyn Storage>, shard: ShardId) -> Owned {
    membership(storage).owners().await.expect("all leases")[usize::from(shard.number())]
}

/// Takes a shard that nobody owns.
pub(super) async fn take(storage: &Arc<dyn Storage>, process: Uuid, shard: ShardId) -> Lease {
    let epoch = owner(storage, shard).await.lease.epoch;
    let wanted = [Wanted { shard, epoch, heartbeat: None }];
    membership(storage).take(process, &wanted).await.expect("an answer")[0]
}

async fn run(connection: &mut PgConnection, statement: &'static str) -> Result<u64, sqlx::Error> {
    sqlx::query(statement).bind(true).execute(connection).await.map(|done| done.rows_affected())
}

#[tokio::test]
async fn an_sqlite_file_has_one_process() {
    assert!(Database::new(Kind::Sqlite).await.storage.membership().is_none());
    for kind in [Kind::Postgres, Kind::Memory] {
        assert!(Database::new(kind).await.storage.membership().is_some());
    }
}

pub(super) async fn a_process_is_registered_as_it_says(database: &Database) {
    let storage = &database.storage;
    let link = Link { secret: vec![0, 1, 255], oldest: 1, newest: 2 };
    let first = Node { link: Some(link), draining: true, ..process(NodeKind::Node, "b") };
    let second = Node { weight: 0, address: String::new(), ..process(NodeKind::Node, "a") };
    for node in [&first, &second, &first] {
        assert_eq!(membership(storage).register(node, &[]).await.expect("an answer"), []);
    }
    let found = membership(storage).nodes().await.expect("all processes");
    assert_eq!(found.iter().map(|present| &present.node).collect::<Vec<_>>(), [&second, &first], "by name");
    assert!(found.iter().all(|present| present.heartbeat == 1 && (0..60_000).contains(&present.seen_ago_ms)));
    let shown = format!("{:?}", found[1].node.link);
    assert!(shown.contains("newest: 2") && !shown.contains("255"), "the secret is not shown: {shown}");
    let heavy = Node { weight: u32::MAX, ..process(NodeKind::Node, "c") };
    let outcome = membership(storage).register(&heavy, &[]).await;
    assert!(matches!(outcome, Err(StorageError::Refused(_))), "{outcome:?}");
}

pub(super) async fn servers_and_nodes_keep_one_another_out_until_they_are_seen_dead(database: &Database) {
    let seen = |found: Vec<Present>| found.iter().map(Present::seen).collect::<Vec<_>>();
    for kinds in [[NodeKind::Serve, NodeKind::Node], [NodeKind::Node, NodeKind::Serve]] {
        let Database { storage, .. } = &Database::new(database.kind).await;
        let members = membership(storage);
        let [dead, new] = kinds.map(|kind| process(kind, "one"));
        for one in [&dead, &process(dead.kind, "another")] {
            assert_eq!(members.register(one, &[]).await.expect("an answer"), [], "of one kind there may be several");
        }
        let others = seen(members.nodes().await.expect("all processes"));
        assert_eq!(seen(members.register(&new, &[]).await.expect("an answer")), others);

        members.renew(dead.process, &report("r1")).await.expect("renewed");
        let back = Seen { process: dead.process, heartbeat: 2 };
        assert_eq!(seen(members.register(&new, &others).await.expect("an answer")), [back]);
        assert_eq!(members.nodes().await.expect("all processes").len(), 2);

        let still = seen(members.nodes().await.expect("all processes"));
        assert_eq!(members.register(&new, &still).await.expect("an answer"), []);
        assert_eq!(members.nodes().await.expect("all processes").len(), 3);
    }
}

pub(super) async fn of_a_server_and_a_node_that_register_at_once_one_is_refused(database: &Database) {
    let (storage, rival) = (&database.storage, &database.open().await);
    for _ in 0..30 {
        let (server, node) = (process(NodeKind::Serve, "server"), process(NodeKind::Node, "node"));
        let (mine, theirs) =
            tokio::join!(membership(storage).register(&server, &[]), membership(rival).register(&node, &[]));
        let refused = [mine, theirs].map(|outcome| !outcome.expect("an answer").is_empty());
        assert!(refused[0] != refused[1], "{refused:?}");
        for one in [server, node] {
            assert!(membership(storage).leave(one.process).await.expect("an answer"));
        }
    }
}

pub(super) async fn all_nodes_follow_what_was_published_last(database: &Database) {
    let storage = &database.storage;
    let members = membership(storage);
    let node = node(storage, "a").await;
    assert_eq!(members.agreed().await.expect("an answer").revision, 0);
    assert_eq!(members.published().await.expect("an answer"), None);
    let publish = async |rules, first| members.publish(rules, "a", first).await.expect("an answer");
    assert_eq!(publish("first", true).await, 1);
    assert_eq!(publish("late", true).await, 1, "only the first one");
    assert_eq!(publish("first", false).await, 1, "these are the present ones");
    assert_eq!(publish("second", false).await, 2);
    let published = Published { revision: 2, rules: "second".to_owned(), by: "a".to_owned() };
    assert_eq!(members.published().await.expect("an answer"), Some(published));
    let complaint = Some("revision 2: why".to_owned());
    let rules = InUse { revision: 1, complaint, ..InUse::own("r1") };
    let agreed = members
        .renew(node, &Report { rules: rules.clone(), load: LOAD })
        .await
        .expect("an answer")
        .expect("registered")
        .agreed;
    assert!(agreed.revision == 2 && (0..60_000).contains(&agreed.age_ms), "{agreed:?}");
    assert_eq!(members.nodes().await.expect("all processes")[0].node.rules, rules, "others see it");
    assert_eq!(members.agreed().await.expect("an answer").revision, 2);
}

pub(super) async fn a_renewal_raises_the_heartbeat_and_reads_the_leases(database: &Database) {
    let storage = &database.storage;
    let (first, second) = (node(storage, "a").await, node(storage, "b").await);
    let lease = take(storage, first, SHARD).await;
    take(storage, second, ShardId::new(8)).await;
    let renewed = membership(storage).renew(first, &report("r2")).await.expect("an answer");
    assert_eq!(renewed.map(|renewal| renewal.leases), Some(vec![lease]));
    let found = membership(storage).nodes().await.expect("all processes");
    let seen: Vec<_> = found.iter().map(|present| (present.heartbeat, present.node.rules.catalogue.as_str())).collect();
    assert_eq!(seen, [(2, "r2"), (1, "r1")]);
    assert_eq!((found[0].load, found[1].load), (LOAD, Load::default()));
    assert_eq!(leases_of(storage, Uuid::new_v4()).await, None);
}

pub(super) async fn the_leases_of_a_registered_server_name_its_process(database: &Database) {
    let storage = &database.storage;
    take_over(&**storage).await;
    assert_eq!(owner(storage, SHARD).await.owner, None, "it is not registered");
    let server = process(NodeKind::Serve, "test");
    assert_eq!(membership(storage).register(&server, &[]).await.expect("an answer"), []);
    let leases = take_over(&**storage).await;
    let owners = membership(storage).owners().await.expect("all leases");
    let expected = |lease: &Lease| Owned { lease: *lease, released: false, owner: Some(server.process) };
    assert_eq!(owners, leases.iter().map(expected).collect::<Vec<_>>());
    assert!(!membership(storage).leave(server.process).await.expect("an answer"), "it owns shards");

    storage.release(&leases[..255]).await.expect("released");
    let released = Owned { lease: leases[7], released: true, owner: None };
    assert_eq!(owner(storage, SHARD).await, released);
    let again = storage.take_again("test", &[SHARD]).await.expect("an answer");
    let lease = Lease { epoch: leases[7].epoch + 1, ..leases[7] };
    assert_eq!(again, [lease]);
    assert_eq!(owner(storage, SHARD).await, Owned { lease, released: false, owner: Some(server.process) });
    // As if the answer had been lost: the process is set to what it was.
    let again = storage.take_again("test", &[SHARD]).await.expect("an answer");
    assert_eq!(owner(storage, SHARD).await, Owned { lease: again[0], released: false, owner: Some(server.process) });

    storage.release(&[leases[255], again[0]]).await.expect("released");
    for _ in 0..2 {
        assert!(membership(storage).leave(server.process).await.expect("an answer"), "also when it is repeated");
    }
}

pub(super) async fn a_take_needs_the_epoch_and_the_heartbeat_that_were_seen(database: &Database) {
    let storage = &database.storage;
    let members = membership(storage);
    let (dead, taker) = (node(storage, "dead").await, node(storage, "taker").await);
    for shard in 0..4 {
        take(storage, dead, ShardId::new(shard)).await;
    }
    let wanted = |shard, epoch, heartbeat| Wanted { shard: ShardId::new(shard), epoch, heartbeat };
    let nobody = [];
    for (case, list) in [
        ("another epoch", vec![wanted(0, 0, Some(1)), wanted(1, 2, Some(1)), wanted(9, 1, None)]),
        ("another heartbeat", vec![wanted(0, 1, Some(0)), wanted(1, 1, Some(2))]),
        ("no owner was seen", vec![wanted(0, 1, None)]),
    ] {
        assert_eq!(members.take(taker, &list).await.expect("an answer"), nobody, "{case}");
    }
    let free = [wanted(9, 0, None)];
    assert_eq!(members.take(Uuid::new_v4(), &free).await.expect("an answer"), nobody, "it is not registered");

    let list = [wanted(9, 0, None), wanted(1, 1, Some(1)), wanted(0, 0, Some(1)), wanted(2, 1, Some(1))];
    let lease = |shard, epoch, recoveries| Lease { shard: ShardId::new(shard), epoch, recoveries };
    let taken = [lease(1, 2, 1), lease(2, 2, 1), lease(9, 1, 0)];
    assert_eq!(members.take(taker, &list).await.expect("an answer"), taken, "a death is counted, a first owner is not");
    assert_eq!(members.take(taker, &list).await.expect("an answer"), nobody, "a repetition takes nothing twice");
    assert_eq!(leases_of(storage, taker).await, Some(taken.to_vec()));

    assert_eq!(leases_of(storage, dead).await, Some(vec![lease(0, 1, 0), lease(3, 1, 0)]));
    assert_eq!(members.take(taker, &[wanted(3, 1, Some(1))]).await.expect("an answer"), nobody, "it came back");
}

pub(super) async fn of_two_takes_at_once_one_gets_each_shard(database: &Database) {
    let (storage, rival) = (&database.storage, &database.open().await);
    let takers = [node(storage, "a").await, node(storage, "b").await];
    let dead = node(storage, "dead").await;
    for shard in ShardId::all() {
        take(storage, dead, shard).await;
    }
    let mut wanted: Vec<Wanted> = ShardId::all().map(|shard| Wanted { shard, epoch: 1, heartbeat: Some(1) }).collect();
    let forth = wanted.clone();
    wanted.reverse();
    let (mine, theirs) =
        tokio::join!(membership(storage).take(takers[0], &forth), membership(rival).take(takers[1], &wanted));
    let mut all: Vec<Lease> = [mine.expect("no deadlock"), theirs.expect("no deadlock")].concat();
    all.sort_unstable_by_key(|lease| lease.shard);
    let expected: Vec<Lease> = ShardId::all().map(|shard| Lease { shard, epoch: 2, recoveries: 1 }).collect();
    assert_eq!(all, expected);
}

/// The renewal is under way when the take comes: the take waits for it, and finds its owner alive.
#[tokio::test]
async fn a_take_behind_a_renewal_takes_nothing() {
    let database = Database::new(Kind::Postgres).await;
    let storage = &database.storage;
    let (owner, taker) = (node(storage, "a").await, node(storage, "b").await);
    let lease = take(storage, owner, SHARD).await;
    let mut raw = database.raw().await;
    let mut renewal = raw.begin().await.expect("a transaction");
    sqlx::query("UPDATE nodes SET heartbeat = heartbeat + 1 WHERE id = $1")
        .bind(owner)
        .execute(&mut *renewal)
        .await
        .expect("renewed");
    let rival = database.open().await;
    let take = tokio::spawn(async move {
        let wanted = [Wanted { shard: SHARD, epoch: lease.epoch, heartbeat: Some(1) }];
        membership(&rival).take(taker, &wanted).await
    });
    until_waiting(&database, 1).await;
    renewal.commit().await.expect("renewed");
    assert_eq!(take.await.expect("it ran").expect("an answer"), []);
    assert_eq!(leases_of(storage, owner).await, Some(vec![lease]));
}

/// The take is under way when the renewal comes: the renewal waits for it, and no longer finds the lease.
#[tokio::test]
async fn a_renewal_behind_a_take_does_not_find_the_lease() {
    let database = Database::new(Kind::Postgres).await;
    let storage = &database.storage;
    let (owner, taker) = (node(storage, "a").await, node(storage, "b").await);
    let lease = take(storage, owner, SHARD).await;
    let kept = take(storage, owner, ShardId::new(8)).await;
    let mut raw = database.raw().await;
    let mut obstacle = raw.begin().await.expect("a transaction");
    sqlx::query("SELECT 1 FROM shard_leases WHERE shard = 7 FOR UPDATE").execute(&mut *obstacle).await.expect("locked");
    let rival = database.open().await;
    let take = tokio::spawn(async move {
        let wanted = [Wanted { shard: SHARD, epoch: lease.epoch, heartbeat: Some(1) }];
        membership(&rival).take(taker, &wanted).await
    });
    until_waiting(&database, 1).await;
    let late = Arc::clone(storage);
    let renewal = tokio::spawn(async move { membership(&late).renew(owner, &report("r1")).await });
    until_waiting(&database, 2).await;
    obstacle.rollback().await.expect("rolled back");
    let taken = Lease { epoch: lease.epoch + 1, recoveries: lease.recoveries + 1, ..lease };
    assert_eq!(take.await.expect("it ran").expect("an answer"), [taken]);
    let renewal = renewal.await.expect("it ran").expect("an answer").expect("registered");
    assert_eq!(renewal.leases, [kept]);
}

pub(super) async fn a_transfer_happens_once_and_tells_the_lease_however_often_it_is_repeated(database: &Database) {
    let storage = &database.storage;
    let members = membership(storage);
    let [a, b, c] = [node(storage, "a").await, node(storage, "b").await, node(storage, "c").await];
    let lease = take(storage, a, SHARD).await;
    let row = character(user(), SHARD);
    storage.save(&[lease], std::slice::from_ref(&row)).await.expect("saved");

    let unchanged = Owned { lease, released: false, owner: Some(a) };
    for (case, from, to, lease) in [
        ("not the owner", b, c, lease),
        ("another epoch", a, b, Lease { epoch: lease.epoch - 1, ..lease }),
        ("the receiver is not registered", a, Uuid::new_v4(), lease),
    ] {
        assert_eq!(members.transfer(from, to, lease).await.expect("an answer"), unchanged, "{case}");
    }

    let moved = Lease { epoch: lease.epoch + 1, ..lease };
    let expected = Owned { lease: moved, released: false, owner: Some(b) };
    for _ in 0..2 {
        assert_eq!(members.transfer(a, b, lease).await.expect("an answer"), expected, "no recovery is counted");
    }
    assert_eq!(members.transfer(a, c, lease).await.expect("an answer"), expected, "it is over for the old owner");
    assert_eq!(storage.save(&[lease], &[later(&row, 1)]).await.expect("an answer"), [SHARD]);
    assert_eq!(storage.save(&[moved], &[later(&row, 1)]).await.expect("an answer"), []);

    storage.release(&[moved]).await.expect("released");
    let released = Owned { lease: moved, released: true, owner: None };
    assert_eq!(members.transfer(b, c, moved).await.expect("an answer"), released);
}

pub(super) async fn a_transfer_and_a_take_at_once_agree(database: &Database) {
    let (storage, rival) = (&database.storage, &database.open().await);
    let [a, b, c] = [node(storage, "a").await, node(storage, "b").await, node(storage, "c").await];
    for shard in 0..20 {
        let lease = take(storage, a, ShardId::new(shard)).await;
        let wanted = [Wanted { shard: lease.shard, epoch: lease.epoch, heartbeat: Some(1) }];
        let (transferred, taken) =
            tokio::join!(membership(storage).transfer(a, b, lease), membership(rival).take(c, &wanted));
        let (transferred, taken) = (transferred.expect("an answer"), taken.expect("an answer"));
        let next = Lease { epoch: lease.epoch + 1, ..lease };
        let (owner, lease) = match taken.first() {
            Some(taken) => (c, *taken),
            None => (b, next),
        };
        assert_eq!(transferred, Owned { lease, released: false, owner: Some(owner) });
        assert_eq!(lease.epoch, next.epoch, "one of them happened");
    }
}

pub(super) async fn the_dead_are_forgotten_once_they_own_nothing(database: &Database) {
    let storage = &database.storage;
    let members = membership(storage);
    let [owner, back, dead] = [node(storage, "a").await, node(storage, "b").await, node(storage, "c").await];
    let lease = take(storage, owner, SHARD).await;
    let still = [owner, back, dead].map(|process| Seen { process, heartbeat: 1 });
    members.renew(back, &report("r1")).await.expect("renewed");
    assert_eq!(members.forget(&still).await.expect("an answer"), 1);
    let left = |nodes: Vec<Present>| nodes.into_iter().map(|present| present.node.process).collect();
    let processes: Vec<Uuid> = left(members.nodes().await.expect("all processes"));
    assert_eq!(processes, [owner, back]);
    assert_eq!(members.forget(&still).await.expect("an answer"), 0);
    let wanted = [Wanted { shard: SHARD, epoch: lease.epoch, heartbeat: Some(1) }];
    assert_eq!(members.take(back, &wanted).await.expect("an answer").len(), 1);
    assert_eq!(members.forget(&still).await.expect("an answer"), 1);
}

pub(super) async fn nodes_drain_by_their_name(database: &Database) {
    let storage = &database.storage;
    let members = membership(storage);
    node(storage, "a").await;
    node(storage, "b").await;
    assert!(members.set_draining("b", true).await.expect("an answer"));
    assert!(!members.set_draining("c", true).await.expect("an answer"), "there is no such node");
    let found = members.nodes().await.expect("all processes");
    assert_eq!(found.iter().map(|present| present.node.draining).collect::<Vec<_>>(), [false, true]);
    assert!(members.set_draining("b", false).await.expect("an answer"));
    assert!(members.nodes().await.expect("all processes").iter().all(|present| !present.node.draining));
}

/// A server from before the table knew processes: an upgrade can be undone, but it cannot take shards from nodes.
#[tokio::test]
async fn an_old_server_takes_shards_from_servers_and_not_from_nodes() {
    let database = Database::new(Kind::Postgres).await;
    let storage = &database.storage;
    let mut old = database.raw().await;
    let server = process(NodeKind::Serve, "test");
    assert_eq!(membership(storage).register(&server, &[]).await.expect("an answer"), []);
    take_over(&**storage).await;
    assert_eq!(run(&mut old, OLD_TAKE_OVER).await.expect("taken"), 256);
    let theirs = owner(storage, SHARD).await;
    let expected = Lease { shard: SHARD, epoch: 2, recoveries: 1 };
    assert_eq!(theirs, Owned { lease: expected, released: false, owner: None }, "not the process before it");
    assert!(membership(storage).leave(server.process).await.expect("an answer"));

    // Beside a node it may go on with what it has.
    let node = node(storage, "a").await;
    let row = character(user(), SHARD);
    assert_eq!(storage.save(&[expected], std::slice::from_ref(&row)).await.expect("saved"), []);
    let taken = take(storage, node, SHARD).await;
    assert_eq!((taken.epoch, taken.recoveries), (3, 2));
    assert_eq!(storage.save(&[expected], &[later(&row, 1)]).await.expect("an answer"), [SHARD]);
    storage.release(&[taken]).await.expect("released");

    // But it takes no other shard, not even a released one.
    for statement in [OLD_TAKE_OVER, "UPDATE shard_leases SET epoch = epoch + 1, node = 'old' WHERE released AND $1"] {
        let refused = run(&mut old, statement).await.expect_err("it is refused").to_string();
        assert!(refused.contains("not registered") && refused.contains("castellan nodes"), "{refused}");
    }
    let outcome = storage.take_over("nobody").await;
    assert!(matches!(&outcome, Err(StorageError::Refused(why)) if why.contains("nobody")), "{outcome:?}");
    assert_eq!(owner(storage, SHARD).await, Owned { lease: taken, released: true, owner: None });

    // A shard that a node owns is not its own either, although the statement leaves the node's process in the lease.
    take(storage, node, SHARD).await;
    let refused = run(&mut old, OLD_TAKE_OVER).await.expect_err("it is refused").to_string();
    assert!(refused.contains("not registered"), "{refused}");
}

#[tokio::test]
async fn a_restore_leaves_the_shards_to_nobody_even_beside_nodes() {
    let database = Database::new(Kind::Postgres).await;
    let storage = &database.storage;
    let node = node(storage, "a").await;
    let lease = take(storage, node, SHARD).await;
    storage.restored(0).await.expect("restored");
    let left = owner(storage, SHARD).await;
    assert_eq!((left.owner, left.released), (None, false));
    assert!(left.lease.epoch > lease.epoch);
    assert_eq!(leases_of(storage, node).await, Some(Vec::new()));
    let old_restored = "UPDATE shard_leases SET epoch = epoch + 4096, released = false, node = NULL WHERE $1";
    let again = take(storage, node, SHARD).await;
    assert_eq!((again.epoch, again.recoveries), (left.lease.epoch + 1, left.lease.recoveries + 1));
    run(&mut database.raw().await, old_restored).await.expect("an older `castellan restored` works too");
    assert_eq!(owner(storage, SHARD).await.owner, None);
    assert_eq!(heartbeat(storage, node).await, 2);
}
