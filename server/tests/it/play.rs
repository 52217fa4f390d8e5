//! The main job: log in, hold a socket, send intents, get whole states and conflicts back, find everything again.

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{Http, Kind, Server, Socket, database_url};

/// A server on a database of its own, which outlives it.
pub(crate) struct House {
    folder: TempDir,
    url: Option<String>,
}

impl House {
    pub(crate) fn new(kind: Kind) -> Self {
        Self { folder: tempfile::tempdir().expect("a temporary folder"), url: database_url(kind) }
    }

    /// One whose database is at this URL.
    pub(crate) fn at(url: String) -> Self {
        Self { folder: tempfile::tempdir().expect("a temporary folder"), url: Some(url) }
    }

    /// Starts the server on it, with hashing that costs little.
    pub(crate) fn server(&self, arguments: &[&str]) -> Server {
        self.server_on(self.url.as_deref(), arguments)
    }

    /// Starts the server on another PostgreSQL database; without a URL on the SQLite file in the folder.
    pub(crate) fn server_on(&self, url: Option<&str>, arguments: &[&str]) -> Server {
        let cheap = ["--auth-argon2-memory", "64KiB", "--auth-argon2-iterations", "1"];
        let arguments: Vec<&str> = cheap.iter().chain(arguments).copied().collect();
        Server::start(self.folder.path(), url, &arguments)
    }

    /// Where its PostgreSQL is; `None` over SQLite.
    pub(crate) fn database(&self) -> Option<&str> {
        self.url.as_deref()
    }

    /// Where its PostgreSQL is.
    pub(crate) fn url(&self) -> &str {
        self.url.as_deref().expect("over PostgreSQL")
    }

    /// What its servers have logged; nothing if none has started.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("server.log")).unwrap_or_default()
    }

    pub(crate) fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }
}

/// A paladin's sheet: chain mail to begin with.
pub(crate) fn paladin(name: &str) -> Value {
    json!({
        "name": name, "race": "human", "class": "paladin",
        "abilities": {"str": 15, "dex": 10, "con": 14, "int": 8, "wis": 12, "cha": 13},
    })
}

/// Logs in, creates a character, and returns the client, its token and the character.
pub(crate) fn enter(server: &Server, name: &str) -> (Http, String, Value) {
    let (http, session) = Http::new(server.address()).login(name, "open sesame");
    let made = http.post("/characters", &paladin(name));
    assert_eq!(made.status, 201, "{made:?}");
    (http, session["token"].as_str().expect("a token").to_owned(), made.json)
}

pub(crate) fn id(character: &Value) -> String {
    character["id"].as_str().expect("an id").to_owned()
}

fn everything_is_there_after_a_restart(kind: Kind) {
    let house = House::new(kind);
    let server = house.server(&[]);
    let (_, token, made) = enter(&server, "ada");
    let me = id(&made);
    assert_eq!((&made["version"], &made["last"]), (&json!(1), &json!(0)));
    let mut socket = Socket::open(server.address(), &token);
    let mut states = Vec::new();
    for delta in [-3, -1, 2] {
        let (kind, answer) = socket.act(&me, json!({"modify_hitpoints": {"delta": delta}}));
        assert_eq!(kind, "applied");
        states.push(answer["character"].clone());
    }
    let last = states.pop().expect("three states");
    assert_eq!((last["version"].as_u64(), last["hitpoints"].as_i64()), (Some(4), Some(10)));
    assert!(server.terminate().success(), "a clean stop");

    let server = house.server(&[]);
    let (http, _) = Http::new(server.address()).login("ada", "open sesame");
    let found = http.get(&format!("/characters/{me}"));
    assert_eq!(found.json, last, "the same state, bit for bit");
    assert_eq!(found.header("castellan-durable"), "4");
    assert!(server.terminate().success());
}

#[test]
fn everything_is_there_after_a_restart_on_sqlite() {
    everything_is_there_after_a_restart(Kind::Sqlite);
}

#[test]
fn everything_is_there_after_a_restart_on_postgresql() {
    everything_is_there_after_a_restart(Kind::Postgres);
}

#[test]
fn a_character_is_hurt_by_rest_as_the_source_design_draws_it() {
    let house = House::new(Kind::Sqlite);
    let server = house.server(&["--log-filter", "castellan=debug"]);
    let (http, _, made) = enter(&server, "ada");
    let path = format!("/characters/{}/stats/hitpoints", id(&made));
    let hurt = http.patch(&path, &json!({"version": 1, "delta": -10}));
    assert_eq!((hurt.status, &hurt.json["hitpoints"], &hurt.json["version"]), (200, &json!(2), &json!(2)));
    let late = http.patch(&path, &json!({"version": 1, "delta": -10}));
    assert_eq!((late.status, late.code()), (409, "version_conflict"));
    assert_eq!(late.json["error"], "Version mismatch. Please refresh.");
    assert_eq!(late.json["character"], hurt.json, "a conflict brings the latest state");
    let stale = ("If-Match", made_etag(&http, &path, &made));
    let body = json!({"delta": -1}).to_string();
    let headers = [("Content-Type", "application/json"), (stale.0, stale.1.as_str())];
    let failed = http.call("PATCH", &path, &headers, Some(&body));
    assert_eq!((failed.status, failed.code()), (412, "version_conflict"));
    let blind = http.patch(&path, &json!({"delta": -1}));
    assert_eq!((blind.status, blind.code()), (428, "version_required"));
    let log = server.log();
    assert!(!log.contains("open sesame") && !log.contains("Bearer"), "no secret in the log:\n{log}");
}

/// The tag of a state that is no longer the present one.
fn made_etag(http: &Http, path: &str, made: &Value) -> String {
    let character = http.get(&format!("/characters/{}", id(made)));
    let tag = character.header("etag").to_owned();
    assert_eq!(http.patch(path, &json!({"version": 2, "delta": 1})).status, 200);
    tag
}

#[test]
fn of_two_sockets_one_acts_and_the_other_sees_it_conflicts_and_goes_on() {
    let house = House::new(Kind::Sqlite);
    let server = house.server(&[]);
    let (_, token, made) = enter(&server, "ada");
    let me = id(&made);
    let [mut one, mut other] = [(); 2].map(|()| Socket::open(server.address(), &token));
    let (kind, seen) = other.call("watch", json!({"character": me}));
    assert_eq!((kind.as_str(), &seen["character"]), ("state", &made));

    let hurt = json!({"modify_hitpoints": {"delta": -5}});
    let (kind, applied) = one.call("intent", json!({"character": me, "expect": 1, "action": hurt}));
    assert_eq!((kind.as_str(), applied["character"]["version"].as_u64()), ("applied", Some(2)));
    assert_eq!(other.wait_for("state")["character"], applied["character"], "the watcher gets the new state");

    let (kind, conflict) = other.call("intent", json!({"character": me, "expect": 1, "action": hurt}));
    assert_eq!((kind.as_str(), &conflict["character"]), ("conflict", &applied["character"]));
    let (kind, again) = other.call("intent", json!({"character": me, "expect": 2, "action": hurt}));
    assert_eq!((kind.as_str(), again["character"]["version"].as_u64()), ("applied", Some(3)));
    let after = again["character"]["last"].clone();
    let (kind, chained) = other.call("intent", json!({"character": me, "after": after, "action": hurt}));
    assert_eq!((kind.as_str(), chained["character"]["version"].as_u64()), ("applied", Some(4)));
}

#[test]
fn a_thousand_changes_within_an_interval_are_one_row() {
    let house = House::new(Kind::Sqlite);
    let server = house.server(&["--flush-interval", "30s"]);
    let (http, token, made) = enter(&server, "ada");
    let rows = || {
        let metrics = http.get("/metrics").text;
        let line = metrics.lines().find_map(|line| line.strip_prefix("castellan_flush_rows_total "));
        line.map_or(0.0, |count| count.parse::<f64>().expect("a number"))
    };
    let before = rows();
    let me = id(&made);
    let mut socket = Socket::open(server.address(), &token);
    for _ in 0..999 {
        socket.ask("intent", json!({"character": me, "expect": 0, "action": {"modify_currency": {"cp": 1}}}));
    }
    let (kind, last) = socket.call(
        "intent",
        json!({"character": me, "expect": 0, "ack": "durable", "action": {"modify_currency": {"cp": 1}}}),
    );
    assert_eq!((kind.as_str(), last["character"]["currency"]["cp"].as_u64()), ("applied", Some(1_000)));
    assert!(last["durable"].as_u64() >= Some(1_001), "a durable answer comes after its commit");
    assert_eq!(rows() - before, 1.0, "a thousand states, one row");
}

fn a_stranger_in_python_plays_and_finds_its_state_again(kind: Kind) {
    use std::io::Write;
    use std::process::{Command, Stdio};

    #[expect(clippy::disallowed_methods, reason = "how xtask tells the tests where its Python is")]
    let python = std::env::var("CASTELLAN_TEST_PYTHON")
        .expect("this test needs a Python with websockets and msgpack: run it with `cargo xtask test`");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/foreign/client.py");
    let call = |what: &str, server: &Server, input: &[u8]| {
        let url = format!("http://{}", server.address());
        let mut child = Command::new(&python)
            .args([script, what, &url])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("Python starts");
        child.stdin.take().expect("a pipe").write_all(input).expect("it reads");
        let output = child.wait_with_output().expect("it ends");
        assert!(output.status.success(), "{what}:\n{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    };
    let house = House::new(kind);
    let server = house.server(&[]);
    let seen = call("play", &server, b"");
    assert!(server.terminate().success());
    let server = house.server(&[]);
    call("verify", &server, &seen);
    assert!(server.terminate().success());
}

#[test]
fn a_stranger_in_python_plays_on_sqlite() {
    a_stranger_in_python_plays_and_finds_its_state_again(Kind::Sqlite);
}

#[test]
fn a_stranger_in_python_plays_on_postgresql() {
    a_stranger_in_python_plays_and_finds_its_state_again(Kind::Postgres);
}
