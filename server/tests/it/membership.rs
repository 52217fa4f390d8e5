//! A server among the processes on its database: it registers, lives, leaves, and does not run beside nodes.

use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use castellan::storage::{InUse, Node, NodeKind, Report, ShardId, Storage, Wanted, connect};
use tokio::runtime::Runtime;
use uuid::Uuid;

use crate::harness::{Http, Kind, options, run_on};
use crate::play::{House, enter, id};

/// Runs the program on the house's database.
fn castellan(house: &House, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_castellan"));
    command.current_dir(house.folder()).args(arguments).args(["--database-url", house.url()]);
    command.output().expect("it starts")
}

fn nodes(house: &House) -> String {
    let output = castellan(house, &["nodes"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// Waits until a statement about the database answers so.
fn until_number(house: &House, statement: &'static str, expected: i64) {
    while run_on(house.url(), statement) != expected {
        std::thread::yield_now();
    }
}

/// Registers a node that owns a shard.
fn node_with_a_shard(runtime: &Runtime, house: &House) -> (Arc<dyn Storage>, Uuid) {
    runtime.block_on(async {
        let storage = connect(house.url(), &options()).await.expect("lazily");
        storage.migrate().await.expect("the tables are made");
        let node = Node {
            process: Uuid::new_v4(),
            kind: NodeKind::Node,
            name: "castor".to_owned(),
            address: "10.0.0.7:7000".to_owned(),
            link: None,
            weight: 100,
            draining: false,
            rules: InUse::own("r1"),
            schema_version: 3,
        };
        let members = storage.membership().expect("PostgreSQL");
        assert_eq!(members.register(&node, &[]).await.expect("an answer"), []);
        let wanted = [Wanted { shard: ShardId::new(7), epoch: 0, heartbeat: None }];
        assert_eq!(members.take(node.process, &wanted).await.expect("an answer").len(), 1);
        (storage, node.process)
    })
}

#[test]
fn a_server_registers_and_lives_and_leaves() {
    let house = House::new(Kind::Postgres);
    let server = house.server(&[]);
    let listed = nodes(&house);
    let lines: Vec<&str> = listed.lines().collect();
    assert_eq!(lines.len(), 2, "{listed}");
    assert!(lines[0].starts_with("name ") && lines[0].ends_with("  versions"), "{listed}");
    let address = server.address().to_string();
    for expected in ["serve", &address, "  256  ", " s ago", "catalogue ", "schema "] {
        assert!(lines[1].contains(expected), "{expected}: {listed}");
    }
    until_number(&house, "SELECT max(heartbeat) / 3 FROM nodes", 1);
    let owned = "SELECT count(*) FROM shard_leases JOIN nodes ON process = id AND name = node AND kind = 'serve'";
    assert_eq!(run_on(house.url(), owned), 256);
    assert!(server.terminate().success());
    assert!(nodes(&house).contains("no server or node is registered"));
    assert_eq!(run_on(house.url(), "SELECT count(*) FROM shard_leases WHERE process IS NULL AND released"), 256);
}

#[test]
fn a_server_does_not_start_while_a_node_is_alive() {
    let house = House::new(Kind::Postgres);
    let runtime = Runtime::new().expect("a runtime");
    let (storage, process) = node_with_a_shard(&runtime, &house);
    let ended = Arc::new(AtomicBool::new(false));
    let node = runtime.spawn({
        let ended = Arc::clone(&ended);
        async move {
            let members = storage.membership().expect("PostgreSQL");
            while !ended.load(Ordering::Relaxed) {
                members.renew(process, &Report::default()).await.expect("renewed").expect("registered");
            }
        }
    });
    let refused = castellan(&house, &["--listen", "127.0.0.1:0"]);
    ended.store(true, Ordering::Relaxed);
    runtime.block_on(node).expect("it lived");
    let why = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{why}");
    assert!(why.contains("node castor") && why.contains(&process.to_string()) && why.contains("is alive"), "{why}");
    let untouched = "SELECT count(*) FROM shard_leases WHERE epoch = 0 OR (shard = 7 AND epoch = 1)";
    assert_eq!(run_on(house.url(), untouched), 256);
    assert_eq!(run_on(house.url(), "SELECT count(*) FROM nodes"), 1);
    assert!(nodes(&house).contains("castor  node"));
}

#[test]
fn a_server_takes_over_from_nodes_that_it_has_seen_dead_and_forgets_them() {
    let house = House::new(Kind::Postgres);
    let runtime = Runtime::new().expect("a runtime");
    node_with_a_shard(&runtime, &house);
    let server = house.server(&[]);
    assert!(server.log().contains("to see if it is dead"), "{}", server.log());
    let recovered = "SELECT recoveries FROM shard_leases WHERE shard = 7 AND epoch = 2";
    assert_eq!(run_on(house.url(), recovered), 1);
    until_number(&house, "SELECT count(*) FROM nodes", 1);
    assert!(server.terminate().success());
}

/// Its row is gone, as if it had been suspended for so long that another server has removed it.
#[test]
fn a_server_that_was_taken_for_dead_registers_again() {
    let house = House::new(Kind::Postgres);
    let first = house.server(&[]);
    let second = house.server(&[]);
    let others = "DELETE FROM nodes WHERE id NOT IN (SELECT process FROM shard_leases) RETURNING 1::bigint";
    assert_eq!(run_on(house.url(), others), 1);
    until_number(&house, "SELECT count(*) FROM nodes", 2);
    assert!(second.terminate().success());
    until_number(&house, "SELECT count(*) FROM shard_leases JOIN nodes ON process = id", 256);
    assert!(first.terminate().success());
}

#[test]
fn a_heartbeat_that_fails_is_logged_once_and_ends_nothing() {
    let house = House::new(Kind::Postgres);
    let server = house.server(&[]);
    let (http, _, made) = enter(&server, "ada");
    run_on(house.url(), "ALTER TABLE nodes RENAME TO hidden");
    server.logged("this process cannot show that it lives");
    let path = format!("/characters/{}/intents", id(&made));
    let fields = serde_json::json!(
        {"version": 0, "id": 1, "ack": "durable", "action": {"modify_currency": {"gp": 1}}}
    );
    let answer = http.post(&path, &fields);
    assert_eq!((answer.status, answer.header("castellan-durable")), (200, "2"), "{answer:?}");
    run_on(house.url(), "ALTER TABLE hidden RENAME TO nodes");
    server.logged("this process shows again that it lives");
    assert_eq!(server.log().matches("cannot show that it lives").count(), 1, "{}", server.log());
    assert_eq!(Http::new(server.address()).get("/health/ready").status, 200);
    assert!(server.terminate().success());
}

#[cfg(target_os = "linux")]
#[test]
fn the_heartbeat_has_a_thread_of_normal_priority() {
    let house = House::new(Kind::Postgres);
    let server = house.server(&[]);
    let tasks = format!("/proc/{}/task", server.pid().as_raw_nonzero());
    let mut niceness = std::collections::BTreeMap::new();
    for task in std::fs::read_dir(tasks).expect("its threads") {
        let stat = std::fs::read_to_string(task.expect("a thread").path().join("stat")).expect("a line");
        let (name, rest) = stat.split_once('(').and_then(|(_, rest)| rest.rsplit_once(") ")).expect("a name");
        // The 19th field; the name is the second. Source: proc_pid_stat(5).
        niceness.insert(name.to_owned(), rest.split(' ').nth(16).expect("niceness").parse::<i32>().expect("a number"));
    }
    // The tests themselves may run at a low priority.
    assert_eq!(niceness["heartbeat"], niceness["castellan"], "{niceness:?}");
    assert!(niceness["heartbeat"] < niceness["background"], "{niceness:?}");
}

#[test]
fn an_sqlite_database_has_no_nodes() {
    let house = House::new(Kind::Sqlite);
    let mut command = Command::new(env!("CARGO_BIN_EXE_castellan"));
    let output = command.current_dir(house.folder()).arg("nodes").output().expect("it starts");
    assert_eq!(output.status.code(), Some(1));
    let why = String::from_utf8_lossy(&output.stderr);
    assert!(why.contains("nodes need PostgreSQL"), "{why}");
}
