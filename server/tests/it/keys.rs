//! Keys that are rotated while servers run, and keys that a reader of the database cannot use.

use std::path::Path;
use std::process::{Command, Output};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::harness::{Http, Kind, Socket, run_on};
use crate::play::{House, enter, id};

fn castellan(house: &House, kind: Kind, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_castellan"));
    command.current_dir(house.folder()).args(arguments);
    if kind == Kind::Postgres {
        command.args(["--database-url", house.url()]);
    }
    command.output().expect("it starts")
}

fn done(output: &Output) -> String {
    let said = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned()).concat();
    assert!(output.status.success(), "{said}");
    said
}

fn refused(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn key_of(token: &str) -> String {
    let header = URL_SAFE_NO_PAD.decode(token.split('.').next().expect("a header")).expect("Base64");
    let header: Value = serde_json::from_slice(&header).expect("JSON");
    header["kid"].as_str().expect("a key").to_owned()
}

fn token_of(session: &Value) -> String {
    session["token"].as_str().expect("a token").to_owned()
}

fn a_key_is_rotated_and_retired_while_servers_run(kind: Kind) {
    let house = House::new(kind);
    let server = house.server(&[]);
    // Over PostgreSQL another server, which verifies what the first one signs.
    let other = (kind == Kind::Postgres).then(|| house.server(&[]));
    let verifier = other.as_ref().unwrap_or(&server);
    let (http, old_session) = Http::new(server.address()).login("ada", "open sesame");
    let old = token_of(&old_session);
    let mut socket = Socket::open(verifier.address(), &old);
    let listed = done(&castellan(&house, kind, &["keys", "list"]));
    assert!(listed.contains(&format!("{}  ", key_of(&old))) && listed.contains("signs access tokens"), "{listed}");

    let said = done(&castellan(&house, kind, &["keys", "rotate"]));
    let (new_session, new) = loop {
        // Somebody else, because a user's oldest session ends when there are too many.
        let (_, session) = Http::new(server.address()).login("bob", "open sesame");
        let token = token_of(&session);
        if key_of(&token) != key_of(&old) {
            break (session, token);
        }
    };
    assert!(said.contains(&key_of(&new)), "{said}");
    let there = Http::new(verifier.address());
    assert_eq!(there.with_token(&new).get("/session").status, 200, "at once, everywhere");
    assert_eq!(http.get("/session").status, 200, "the old key verifies");
    let refreshed = there.post("/session/refresh", &json!({"refresh_token": old_session["refresh_token"]}));
    let (answer, _) = socket.call("refresh", json!({"token": refreshed.json["token"]}));
    assert_eq!(answer, "accepted", "a socket goes on with a token of the new key");
    let keys = there.get("/.well-known/jwks.json");
    for token in [&old, &new] {
        assert!(keys.text.contains(&key_of(token)), "{}", keys.text);
    }

    let why = refused(&castellan(&house, kind, &["keys", "retire"]));
    assert!(why.contains(&key_of(&old)) && why.contains("--now"), "{why}");
    done(&castellan(&house, kind, &["keys", "retire", "--now"]));
    let (closing, code) = socket.closed();
    assert_eq!((code, &closing["code"]), (4502, &json!(4502)), "nobody knows which sockets a forged token opened");
    while there.with_token(&old).get("/session").status == 200 {
        std::thread::yield_now();
    }
    let again = there.post("/session/refresh", &json!({"refresh_token": refreshed.json["refresh_token"]}));
    Socket::open(verifier.address(), &token_of(&again.json));
    assert_eq!(there.with_token(&new).get("/session").json["session_id"], new_session["session_id"]);
}

#[test]
fn a_key_is_rotated_and_retired_while_a_server_runs_on_sqlite() {
    a_key_is_rotated_and_retired_while_servers_run(Kind::Sqlite);
}

#[test]
fn a_key_is_rotated_and_retired_while_servers_run_on_postgresql() {
    a_key_is_rotated_and_retired_while_servers_run(Kind::Postgres);
}

/// All bytes of the SQLite database, as a backup of the disk has them.
fn bytes_on_disk(folder: &Path) -> Vec<u8> {
    let files =
        std::fs::read_dir(folder.join("data")).expect("the folder").map(|entry| entry.expect("an entry").path());
    files.filter(|path| path.is_file()).flat_map(|path| std::fs::read(path).expect("a file")).collect()
}

/// The secrets as the database stores them in plain: 32 bytes each, and PKCS #8, which contains the private number.
fn secrets(house: &House, key: &str) -> Vec<Vec<u8>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    done(&castellan(house, Kind::Sqlite, &["keys", "decrypt", "--master-key-file", key]));
    let url = format!("sqlite://{}", house.folder().join("data/castellan.db").display());
    let keys = runtime.block_on(async {
        let storage = castellan::storage::connect(&url, &crate::harness::options()).await.expect("it opens");
        storage.keys().await.expect("keys")
    });
    done(&castellan(house, Kind::Sqlite, &["keys", "encrypt", "--master-key-file", key]));
    keys.into_iter().map(|key| if key.purpose == "es256" { key.secret[36..68].to_vec() } else { key.secret }).collect()
}

#[test]
fn a_reader_of_a_backup_cannot_use_the_keys() {
    let house = House::new(Kind::Sqlite);
    let folder = house.folder().to_owned();
    let path = folder.join("master.key");
    std::fs::write(&path, format!("{}\n", STANDARD.encode([42; 32]))).expect("a file");
    let key = path.to_str().expect("a plain path");
    let server = house.server(&["--master-key-file", key]);
    let (_, token, _) = enter(&server, "ada");
    assert!(server.terminate().success());

    let before = bytes_on_disk(&folder);
    let secrets = secrets(&house, key);
    assert_eq!(secrets.len(), 3, "dice, refresh tokens, access tokens");
    let has = |bytes: &[u8], secret: &[u8]| bytes.windows(secret.len()).any(|part| part == secret);
    for (at, secret) in secrets.iter().enumerate() {
        assert_eq!(secret.len(), 32);
        assert!(!has(&before, secret), "{at} was on disk");
        assert!(!has(&bytes_on_disk(&folder), secret), "{at} stays on disk after it was encrypted");
    }
    let server = house.server(&["--master-key-file", key]);
    assert_eq!(Http::new(server.address()).with_token(&token).get("/session").status, 200);
}

fn a_server_without_the_right_master_key_takes_nothing(kind: Kind) {
    let house = House::new(kind);
    let path = house.folder().join("castellan-master-key");
    std::fs::write(&path, [42; 32]).expect("a file");
    let key = path.to_str().expect("a plain path");
    let server = house.server(&[]);
    let (_, token, made) = enter(&server, "ada");
    assert!(server.terminate().success());

    let listen = ["serve", "--listen", "127.0.0.1:0"];
    let start = |arguments: &[&str]| castellan(&house, kind, &[&listen[..], arguments].concat());
    let why = refused(&start(&["--master-key-file", key]));
    assert!(why.contains("`castellan keys encrypt`"), "{why}");
    let said = done(&castellan(&house, kind, &["keys", "encrypt", "--master-key-file", key]));
    assert!(said.contains("3 keys are now encrypted"), "{said}");
    let why = refused(&start(&[]));
    assert!(why.contains("--master-key-file"), "{why}");
    let listed = done(&castellan(&house, kind, &["keys", "list"]));
    assert_eq!(listed.matches("encrypted with master key").count(), 3, "{listed}");
    if kind == Kind::Postgres {
        let untouched = run_on(house.url(), "SELECT count(*) FROM shard_leases WHERE released AND epoch = 1");
        assert_eq!(untouched, 256, "no start that failed has taken a shard");
    }

    // An operator's shell does not have the server's credential, and needs none for accounts.
    done(&castellan(&house, kind, &["account", "create", "bea"]));
    done(&castellan(&house, kind, &["account", "password", "bea"]));

    // As systemd hands it over.
    let mut command = Command::new(env!("CARGO_BIN_EXE_castellan"));
    command.current_dir(house.folder()).args(["keys", "rotate"]).env("CREDENTIALS_DIRECTORY", house.folder());
    if kind == Kind::Postgres {
        command.args(["--database-url", house.url()]);
    }
    done(&command.output().expect("it starts"));
    let server = house.server(&["--master-key-file", key]);
    let http = Http::new(server.address()).with_token(&token);
    assert_eq!(http.get(&format!("/characters/{}", id(&made))).json["name"], made["name"]);
    assert!(server.terminate().success());
}

#[test]
fn a_server_without_the_right_master_key_takes_nothing_on_sqlite() {
    a_server_without_the_right_master_key_takes_nothing(Kind::Sqlite);
}

#[test]
fn a_server_without_the_right_master_key_takes_nothing_on_postgresql() {
    a_server_without_the_right_master_key_takes_nothing(Kind::Postgres);
}
