//! Nodes of two releases side by side: all store what both read, until the update is finished.

use std::process::Output;
use std::sync::Arc;
use std::time::Instant;

use castellan::storage::{InUse, Node, NodeKind, Report, Storage, connect};
use serde_json::json;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::{Cluster, SETTLED, until_ready};
use crate::harness::{Socket, options, run_on};
use crate::play::{enter, id};

/// A node of the release before, as the others see it: it reads stored states up to schema 2, and lives.
struct OlderNode {
    runtime: Runtime,
    storage: Arc<dyn Storage>,
    process: Uuid,
    beats: JoinHandle<()>,
}

impl OlderNode {
    fn start(cluster: &Cluster) -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let node = Node {
            process: Uuid::new_v4(),
            kind: NodeKind::Node,
            name: "older".to_owned(),
            address: "127.0.0.1:9".to_owned(),
            link: None,
            // It owns nothing, because it cannot serve.
            weight: 0,
            draining: false,
            rules: InUse::default(),
            schema_version: 2,
        };
        let process = node.process;
        let url = cluster.house.url().to_owned();
        let storage = runtime.block_on(async {
            let storage = connect(&url, &options()).await.expect("lazily");
            storage.migrate().await.expect("the tables are made");
            let registered = storage.membership().expect("PostgreSQL").register(&node, &[]).await;
            assert_eq!(registered.expect("an answer"), []);
            storage
        });
        let beating = Arc::clone(&storage);
        let beats = runtime.spawn(async move {
            loop {
                let renewed = beating.membership().expect("PostgreSQL").renew(process, &Report::default()).await;
                renewed.expect("renewed").expect("registered");
                tokio::time::sleep(castellan_cluster::membership::PERIOD).await;
            }
        });
        Self { runtime, storage, process, beats }
    }

    fn stop(self) {
        self.beats.abort();
        let left = self.runtime.block_on(self.storage.membership().expect("PostgreSQL").leave(self.process));
        assert!(left.expect("an answer"), "it owns nothing");
    }
}

fn finish(cluster: &Cluster) -> (bool, String) {
    let Output { status, stdout, stderr } = cluster.castellan(&["upgrade", "finish"]);
    let said = [stdout, stderr].concat();
    (status.success(), String::from_utf8(said).expect("text"))
}

/// Changes a character until it is stored, and returns the schema that it is stored in.
fn stored(cluster: &Cluster, socket: &mut Socket, character: &str) -> i64 {
    let coin = json!({"modify_currency": {"cp": 1}});
    let (kind, answer) =
        socket.call("intent", json!({"character": character, "expect": 0, "ack": "durable", "action": coin}));
    assert_eq!(kind, "applied", "{answer}");
    run_on(cluster.house.url(), "SELECT schema_version::bigint FROM characters")
}

#[test]
fn nodes_store_what_all_of_them_read_until_the_upgrade_is_finished() {
    let cluster = Cluster::new();
    let (done, said) = finish(&cluster);
    assert!(!done && said.contains("no node is alive on this database; start all nodes first"), "{said}");
    let older = OlderNode::start(&cluster);
    let _castor = cluster.node("castor");
    let gateway = cluster.gateway();
    until_ready(&gateway);
    let (_, token, made) = enter(&gateway, "ada");
    let mut socket = Socket::open(gateway.address(), &token);
    assert_eq!(stored(&cluster, &mut socket, &id(&made)), 2, "the older node reads it");
    let has_expertise = "SELECT count(*) FROM characters WHERE state ? 'expertise'";
    assert_eq!(run_on(cluster.house.url(), has_expertise), 0, "as the older node wrote it");

    let (done, said) = finish(&cluster);
    assert!(!done && said.contains("older (up to 2)") && said.contains("cannot read schema 3"), "{said}");
    assert_eq!(stored(&cluster, &mut socket, &id(&made)), 2, "nothing has changed");
    let listed = String::from_utf8(cluster.castellan(&["nodes"]).stdout).expect("text");
    assert!(listed.contains("castellan upgrade finish raises that to 3"), "{listed}");

    older.stop();
    let (done, said) = finish(&cluster);
    assert!(done && said.contains("in schema 3 with trades from now on, before that in schema 2"), "{said}");
    let deadline = Instant::now() + SETTLED;
    while stored(&cluster, &mut socket, &id(&made)) != 3 {
        assert!(Instant::now() < deadline, "it still stores schema 2:\n{}", cluster.house.log());
    }
    assert_eq!(run_on(cluster.house.url(), has_expertise), 1);
    let (done, said) = finish(&cluster);
    assert!(done && said.contains("nothing to do") && said.contains("schema 3"), "{said}");
}

#[test]
fn a_node_that_cannot_read_or_write_what_is_stored_does_not_start() {
    let cluster = Cluster::new();
    assert!(cluster.castellan(&["migrate"]).status.success());
    for (stored, why) in [
        (4, "characters are stored in schema 4, and this program reads only up to 3 with trades"),
        (1_000_004, "characters are stored in schema 4 with trades, and this program reads only up to 3 with trades"),
        (1, "characters are stored in schema 1, and this program writes only 2 and newer"),
    ] {
        let statement = format!("UPDATE cluster SET stored_schema = {stored} RETURNING revision");
        run_on(cluster.house.url(), sqlx::AssertSqlSafe(statement));
        let refused = cluster.castellan(&["node", "--name", "castor", "--listen", "127.0.0.1:0"]);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success() && said.contains(why), "{said}");
        assert_eq!(run_on(cluster.house.url(), "SELECT count(*) FROM nodes"), 0, "it has left");
    }
}
