//! All nodes and gateways use the catalogue that was published last.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use super::{Cluster, until_ready};
use crate::harness::{Http, Server, Socket, run_on};
use crate::play::{enter, id};

/// How long all may take to follow.
const FOLLOWED: Duration = Duration::from_secs(2);

/// A catalogue with an item that only it has.
struct Folder(PathBuf);

impl Folder {
    /// A copy of the built-in catalogue.
    fn new(cluster: &Cluster, name: &str) -> Self {
        let folder = cluster.house.folder().join(name);
        fs::create_dir(&folder).expect("a folder");
        let built_in = Path::new(env!("CARGO_MANIFEST_DIR")).join("../catalogue");
        for entry in fs::read_dir(built_in).expect("a catalogue") {
            let path = entry.expect("an entry").path();
            fs::copy(&path, folder.join(path.file_name().expect("a name"))).expect("a copy");
        }
        Self(folder)
    }

    /// Adds a thing of this price.
    fn sells(&self, item: &str, gold: u32) {
        let head = format!("[[item]]\nid = \"{item}\"\nname = \"Thing\"\n");
        let facts = format!("category = \"adventuring-gear\"\ngroup = \"standard-gear\"\ncost_cp = {}\n", gold * 100);
        let text = head + &facts + "weight_lb = 1\n";
        fs::write(self.0.join("things.toml"), text).expect("a file");
    }

    fn breaks(&self) {
        fs::write(self.0.join("things.toml"), "[[item]]\nid = 7\n").expect("a file");
    }

    fn path(&self) -> &str {
        self.0.to_str().expect("text")
    }
}

impl Cluster {
    /// A node with a folder and a weight of its own.
    fn node_with(&self, name: &str, folder: &Folder, weight: &str) -> Server {
        let settings = ["--policy", "permissive", "--catalogue", folder.path(), "--weight", weight];
        self.house.server(&[&["node", "--name", name], &settings[..]].concat())
    }

    fn revision(&self) -> i64 {
        run_on(self.house.url(), "SELECT revision FROM cluster")
    }

    /// How often publishing has succeeded, and how often it has failed, in the audit.
    fn published(&self) -> (i64, i64) {
        let done = "SELECT count(*) FROM audit WHERE action = 'publish' AND outcome = 'done'";
        let failed = "SELECT count(*) FROM audit WHERE action = 'publish' AND outcome = 'failed'";
        (run_on(self.house.url(), done), run_on(self.house.url(), failed))
    }

    fn listed(&self) -> String {
        String::from_utf8(self.castellan(&["nodes"]).stdout).expect("text")
    }
}

/// The thing in the catalogue that a gateway serves.
fn sold(gateway: &Server, item: &str) -> Option<Value> {
    let catalogue = Http::new(gateway.address()).get("/catalogue");
    catalogue.json["items"].as_array().expect("items").iter().find(|found| found["id"] == item).cloned()
}

/// Waits, as long as all may take to follow.
fn soon(what: &str, cluster: &Cluster, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + FOLLOWED;
    while !is_so() {
        assert!(Instant::now() < deadline, "not within {FOLLOWED:?}: {what}\n{}", cluster.listed());
        std::thread::yield_now();
    }
}

#[test]
fn a_catalogue_that_one_node_publishes_is_used_by_all_within_two_seconds() {
    let cluster = Cluster::new();
    let (theirs, mine) = (Folder::new(&cluster, "theirs"), Folder::new(&cluster, "mine"));
    // The share of the node that publishes is less than a shard, so the other one owns everything.
    let castor = cluster.node_with("castor", &theirs, "10000");
    let pollux = cluster.node_with("pollux", &mine, "1");
    let gateway = cluster.gateway();
    until_ready(&gateway);
    assert_eq!((cluster.revision(), cluster.shards_of("castor")), (1, 256));
    let (_, token, made) = enter(&gateway, "ada");
    let mut socket = Socket::open(gateway.address(), &token);
    let thing = json!({"add_item": {"item": "thing", "quantity": 1}});
    assert_eq!(socket.act(&id(&made), thing.clone()).0, "rejected", "nobody knows it yet");

    mine.sells("thing", 7);
    pollux.signal(Signal::HUP);
    soon("the other node has the thing", &cluster, || socket.act(&id(&made), thing.clone()).0 == "applied");
    soon("the gateway shows its price", &cluster, || sold(&gateway, "thing").is_some_and(|it| it["cost_cp"] == 700));
    assert_eq!(cluster.revision(), 2);
    mine.sells("thing", 9);
    pollux.signal(Signal::HUP);
    soon("the gateway shows the new price", &cluster, || {
        sold(&gateway, "thing").is_some_and(|it| it["cost_cp"] == 900)
    });
    pollux.signal(Signal::HUP);
    soon("it is published once more", &cluster, || pollux.log().matches("the policy are published").count() == 3);

    soon("the audit knows", &cluster, || cluster.published() == (3, 0));

    // What cannot be read is not published, and nothing changes.
    mine.breaks();
    pollux.signal(Signal::HUP);
    pollux.logged("nothing was published");
    soon("the audit knows of that, too", &cluster, || cluster.published() == (3, 1));
    assert!(pollux.log().contains("things.toml"), "{}", pollux.log());
    assert_eq!(cluster.revision(), 3, "what is there already is not published again");
    assert!(sold(&gateway, "thing").is_some());
    assert_eq!(socket.act(&id(&made), thing).0, "applied", "no socket has closed");
    drop(castor);
}

#[test]
fn a_node_with_an_older_folder_follows_the_others_and_says_so() {
    let cluster = Cluster::new();
    let (new, old) = (Folder::new(&cluster, "new"), Folder::new(&cluster, "old"));
    new.sells("thing", 7);
    let castor = cluster.node_with("castor", &new, "100");
    let gateway = cluster.gateway();
    until_ready(&gateway);
    let (http, _, made) = enter(&gateway, "ada");
    let add = |item: &str| {
        http.post(
            &format!("/characters/{}/equipment/add", id(&made)),
            &json!({"version": 0, "item": item, "quantity": 1}),
        )
    };
    assert_eq!(add("thing").status, 200);
    let pollux = cluster.node_with("pollux", &old, "100");
    pollux.logged("are not used; SIGHUP publishes them");
    assert_eq!(cluster.revision(), 1);
    assert!(castor.terminate().success());
    until_ready(&gateway);
    assert_eq!(cluster.shards_of("pollux"), 256);
    assert_eq!(add("thing").status, 200, "it serves the catalogue of the other one");
    // It is published only by somebody's wish.
    pollux.signal(Signal::HUP);
    soon("the thing is gone", &cluster, || sold(&gateway, "thing").is_none());
    assert_eq!((cluster.revision(), add("thing").status), (2, 422));
}

#[test]
fn a_node_that_cannot_use_what_was_published_goes_on_and_gets_no_shards() {
    let cluster = Cluster::new();
    let castor = cluster.node("castor");
    let gateway = cluster.gateway();
    until_ready(&gateway);
    let (_, token, made) = enter(&gateway, "ada");
    let mut socket = Socket::open(gateway.address(), &token);
    // As a node of a later version does, whose catalogue has something that this one does not know.
    let later = "UPDATE cluster SET revision = 2, published_at = now() - interval '1 minute', \
         rules = jsonb_set(rules::jsonb, '{files,later.toml}', '\"[[spell]]\\nid = \\\"wish\\\"\"')::text RETURNING revision";
    assert_eq!(run_on(cluster.house.url(), later), 2);
    soon("its complaint is listed", &cluster, || {
        let listed = cluster.listed();
        listed.contains("castor uses revision 1") && listed.contains("later.toml: spell")
    });
    assert_eq!(socket.act(&id(&made), json!({"modify_currency": {"cp": 1}})).0, "applied", "it serves on");
    let pollux = cluster.node("pollux");
    pollux.logged("cannot use the published catalogue");
    assert!(pollux.terminate().success());
    // All lag, so nobody has lost anything. A publication that all can use ends it.
    assert_eq!(cluster.shards_of("castor"), 256);
    castor.signal(Signal::HUP);
    soon("nobody complains", &cluster, || !cluster.listed().contains("uses revision"));
    assert_eq!(cluster.revision(), 3);
    assert_eq!(socket.act(&id(&made), json!({"modify_currency": {"cp": 1}})).0, "applied");
}
