//! Accounts of a running server: disabled or deleted, by a command or by hand, they are dead everywhere soon.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection, SqliteConnection};

use crate::harness::{Http, Kind, Server, Socket, run_on};
use crate::play::{House, enter};

/// Runs `castellan account` beside the server and returns its output.
fn account(house: &House, kind: Kind, words: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_castellan"));
    command.current_dir(house.folder()).arg("account").args(words).stdin(Stdio::null());
    command.args(["--auth-argon2-memory", "64KiB", "--auth-argon2-iterations", "1"]);
    if kind == Kind::Postgres {
        command.args(["--database-url", house.url()]);
    }
    let done = command.output().expect("it starts");
    assert!(done.status.success(), "{words:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).expect("text")
}

/// Deletes the row of an account as an operator does with a client of the database.
fn delete_by_hand(house: &House, kind: Kind) {
    const DELETE: &str = "DELETE FROM accounts WHERE username = 'ada'";
    if kind == Kind::Postgres {
        run_on(house.url(), DELETE);
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let options = SqliteConnectOptions::new().filename(house.folder().join("data/castellan.db"));
        let mut connection = SqliteConnection::connect_with(&options).await.expect("it opens");
        sqlx::query(DELETE).execute(&mut connection).await.expect("deleted");
        connection.close().await.expect("closed");
    });
}

/// Ends the account of `ada` in some way, and checks that nothing of her is left alive, and everything of `bob`.
fn an_end_of_an_account_is_seen_everywhere(kind: Kind, end: impl Fn(&House, &Server)) -> (House, Server) {
    let house = House::new(kind);
    let server = house.server(&[]);
    let (ada, token, _) = enter(&server, "ada");
    let (_, second) = Http::new(server.address()).login("ada", "open sesame");
    let (bob, others, _) = enter(&server, "bob");
    let sockets =
        [token.as_str(), second["token"].as_str().expect("a token")].map(|token| Socket::open(server.address(), token));
    let mut other = Socket::open(server.address(), &others);

    end(&house, &server);
    let ended = Instant::now();
    for socket in sockets {
        let (closing, code) = socket.closed();
        assert_eq!((code, closing["code"].as_u64()), (4501, Some(4501)), "{closing}");
    }
    // Two seconds on a machine that has nothing else to do.
    assert!(ended.elapsed() < Duration::from_secs(10), "{:?}", ended.elapsed());
    assert_eq!(ada.get("/session").code(), "unauthenticated");
    assert_eq!(ada.get("/characters").status, 401);
    let refresh = json!({"refresh_token": second["refresh_token"]});
    let refused = ada.post("/session/refresh", &refresh);
    assert_eq!((refused.status, refused.code()), (401, "session_revoked"), "{refused:?}");

    assert_eq!(bob.get("/session").status, 200);
    assert_eq!(other.call("ping", json!({})).0, "pong", "others play on");
    (house, server)
}

fn login(server: &Server, username: &str) -> (u16, String) {
    let body = json!({"username": username, "password": "open sesame"});
    let answer = Http::new(server.address()).post("/session/login", &body);
    (answer.status, answer.code().to_owned())
}

/// The characters of a deleted account are deleted by the server, as the user would: a game server sees them go.
fn the_characters_go(house: &House, kind: Kind, server: &Server, user: &str) {
    let made = account(house, kind, &["create", "master", "--role", "game"]);
    let password = made.lines().find_map(|line| line.strip_prefix("password: ")).expect("a password");
    let (master, _) = Http::new(server.address()).login("master", password);
    let began = Instant::now();
    while master.get(&format!("/characters?user={user}")).json["characters"] != json!([]) {
        assert!(began.elapsed() < Duration::from_secs(30), "the characters are still there");
        std::thread::yield_now();
    }
    let all = master.get(&format!("/characters?user={}", user_of(house, kind, "bob")));
    assert_eq!(all.json["characters"].as_array().map(Vec::len), Some(1), "others keep theirs");
}

fn user_of(house: &House, kind: Kind, name: &str) -> String {
    let shown = account(house, kind, &["show", name]);
    shown.lines().find_map(|line| line.strip_prefix("user      ")).expect("a user").to_owned()
}

fn a_row_that_is_deleted_by_hand_ends_everything(kind: Kind) {
    let user = std::cell::OnceCell::new();
    let (house, server) = an_end_of_an_account_is_seen_everywhere(kind, |house, _| {
        user.set(user_of(house, kind, "ada")).expect("once");
        delete_by_hand(house, kind);
    });
    assert_eq!(login(&server, "ada"), (401, "bad_credentials".to_owned()));
    the_characters_go(&house, kind, &server, user.get().expect("a user"));
    assert!(server.terminate().success());
}

#[test]
fn a_row_that_is_deleted_by_hand_ends_everything_on_sqlite() {
    a_row_that_is_deleted_by_hand_ends_everything(Kind::Sqlite);
}

#[test]
fn a_row_that_is_deleted_by_hand_ends_everything_on_postgresql() {
    a_row_that_is_deleted_by_hand_ends_everything(Kind::Postgres);
}

fn a_disabled_account_is_dead_until_it_is_enabled(kind: Kind) {
    let (house, server) = an_end_of_an_account_is_seen_everywhere(kind, |house, _| {
        let said = account(house, kind, &["disable", "ADA"]);
        assert!(said.contains("disabled"), "{said}");
    });
    assert_eq!(login(&server, "ada"), (403, "account_disabled".to_owned()));
    account(&house, kind, &["enable", "ada"]);
    assert_eq!(login(&server, "ada").0, 200);
    assert!(server.terminate().success());
}

#[test]
fn a_disabled_account_is_dead_until_it_is_enabled_on_sqlite() {
    a_disabled_account_is_dead_until_it_is_enabled(Kind::Sqlite);
}

#[test]
fn a_disabled_account_is_dead_until_it_is_enabled_on_postgresql() {
    a_disabled_account_is_dead_until_it_is_enabled(Kind::Postgres);
}

#[test]
fn the_commands_that_end_sessions_end_sockets() {
    for words in [&["delete", "ada"][..], &["role", "ada", "game"], &["revoke", "ada"], &["password", "ada"]] {
        let (_house, server) = an_end_of_an_account_is_seen_everywhere(Kind::Sqlite, |house, _| {
            account(house, Kind::Sqlite, words);
        });
        assert!(server.terminate().success());
    }
}
