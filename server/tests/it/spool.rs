//! Changes that a stop could not store: the next start stores them, unless another server has gone on without them.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use castellan::shard::shard_of;
use serde_json::{Value, json};

use crate::harness::{Http, Kind, Proxy, Server, Socket};
use crate::play::{House, enter, id};

const JUMP: u64 = 1 << 20;

/// The only file in the spool, if there is one.
fn spooled(house: &House) -> Option<PathBuf> {
    let files = fs::read_dir(house.folder().join("data/spool")).expect("a folder");
    let mut files = files.map(|entry| entry.expect("an entry").path());
    let first = files.next();
    assert_eq!(files.next(), None, "one file at most");
    first
}

fn dead_letters(house: &House, url: Option<&str>) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_castellan"));
    command.current_dir(house.folder()).args(["dead-letters", "list"]);
    if let Some(url) = url {
        command.args(["--database-url", url]);
    }
    String::from_utf8(command.output().expect("it starts").stdout).expect("text")
}

#[test]
fn changes_that_a_stop_could_not_store_are_stored_by_the_next_start() {
    let house = House::new(Kind::Postgres);
    let (user, rest) = house.url().rsplit_once('@').expect("the URL names a host");
    let (real, name) = rest.split_once('/').expect("the URL names a database");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let proxy = runtime.block_on(Proxy::start(real.parse().expect("an address")));
    let url = format!("{user}@{}/{name}", proxy.address());
    let arguments = ["--shutdown-timeout", "1s", "--database-timeout", "300ms", "--flush-interval", "1m"];
    let arguments: Vec<&str> = arguments.into_iter().chain(["--auth-argon2-memory", "64KiB"]).collect();
    let server = Server::start(house.folder(), Some(&url), &arguments);
    let (_, token, made) = enter(&server, "ada");
    let me = id(&made);
    let mut socket = Socket::open(server.address(), &token);
    assert_eq!(socket.act(&me, json!({"modify_currency": {"gp": 7}})).0, "applied");
    proxy.silence();
    assert_eq!(server.terminate().code(), Some(1));
    let file = spooled(&house).expect("a spool file");
    let mode = |path: &Path| fs::metadata(path).expect("it is there").mode() & 0o777;
    assert_eq!(mode(&file), 0o600, "it has players' data");
    assert_eq!(mode(file.parent().expect("a folder")), 0o700);

    let server = house.server(&[]);
    let found = Http::new(server.address()).with_token(&token).get(&format!("/characters/{me}"));
    assert_eq!((&found.json["currency"]["gp"], &found.json["version"]), (&json!(7), &json!(2 + JUMP)));
    assert_eq!(spooled(&house), None);
    assert!(server.terminate().success());
}

/// A line as a server wrote it under the first lease of this database: a change after `made`.
fn line_after(made: &Value) -> String {
    let user = made["user_id"].as_str().expect("an id").parse().expect("an id");
    let line = json!({
        "id": made["id"], "user": made["user_id"], "shard": shard_of(user).number(), "epoch": 1, "recoveries": 0,
        "name": made["name"], "version": 2, "schema_version": 1, "state": "{}", "request_ids": [77],
        "created_at_ms": 1, "updated_at_ms": 2, "deleted_at_ms": null,
    });
    format!("{line}\n")
}

/// The lease under which the change was made has ended, so another server may have shown and changed the character.
fn a_character_plays_on_although_an_old_server_left_changes_of_it(kind: Kind) {
    let house = House::new(kind);
    let server = house.server(&[]);
    let (_, token, made) = enter(&server, "ada");
    let me = id(&made);
    assert!(server.terminate().success());
    let folder = house.folder().join("data/spool");
    fs::create_dir_all(&folder).expect("a folder");
    fs::write(folder.join("1000-77.spool"), line_after(&made)).expect("a spool file");

    for version in 2..4 {
        let server = house.server(&[]);
        let mut socket = Socket::open(server.address(), &token);
        let action = json!({"modify_currency": {"gp": 1}});
        let (kind, answer) =
            socket.call("intent", json!({"character": me, "expect": 0, "ack": "durable", "action": action}));
        assert_eq!((kind.as_str(), &answer["durable"]), ("applied", &json!(version)), "{answer}");
        let file = spooled(&house).expect("the change is kept");
        assert_eq!(file.extension(), Some("set-aside".as_ref()));
        assert_eq!(fs::read_to_string(&file).expect("a file"), line_after(&made));
        assert!(server.log().contains(&path_in_log(&file)), "people are told: {}", server.log());
        assert!(server.terminate().success());
    }
    let url = (kind == Kind::Postgres).then(|| house.url().to_owned());
    assert_eq!(dead_letters(&house, url.as_deref()), "no dead letters\n");
}

fn path_in_log(file: &Path) -> String {
    format!("./data/spool/{}", file.file_name().expect("a name").to_string_lossy())
}

#[test]
fn a_character_plays_on_although_an_old_server_left_changes_of_it_on_sqlite() {
    a_character_plays_on_although_an_old_server_left_changes_of_it(Kind::Sqlite);
}

#[test]
fn a_character_plays_on_although_an_old_server_left_changes_of_it_on_postgresql() {
    a_character_plays_on_although_an_old_server_left_changes_of_it(Kind::Postgres);
}
