//! Who did what: in the table and in the log, from the real program.

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Arc;

use castellan::storage::{AuditRow, Storage, connect};
use rustix::process::Signal;
use serde_json::json;

use crate::harness::{Http, Kind, Socket, options, until};
use crate::play::{House, enter, id};

fn castellan(house: &House, kind: Kind, arguments: &[&str], input: &str) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_castellan"));
    command.current_dir(house.folder()).args(arguments);
    if kind == Kind::Postgres {
        command.args(["--database-url", house.url()]);
    }
    let mut child = command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    child.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("it listens");
    let output = child.wait_with_output().expect("it ends");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    assert!(errors.contains("audit"), "{errors}");
}

fn told(row: &AuditRow) -> [&str; 4] {
    [&row.actor, &row.target, &row.action, &row.outcome]
}

fn what_is_done_is_recorded(kind: Kind) {
    let house = House::new(kind);
    let server = house.server(&[]);
    castellan(&house, kind, &["account", "create", "bot", "--role", "game", "--password-stdin"], "correct horse\n");
    let (http, _, made) = enter(&server, "ada");
    let owner = http.get("/session").json["user_id"].as_str().expect("an id").to_owned();
    let body = json!({"username": "bot", "password": "correct horse"});
    let bot = Http::new(server.address()).post("/session/login", &body).json;
    let mut socket = Socket::open(server.address(), bot["token"].as_str().expect("a token"));
    let fields = json!({"character": id(&made), "user": owner, "expect": 0, "action": {"modify_currency": {"gp": 5}}});
    assert_eq!(socket.call("intent", fields).0, "applied");
    let (_, again) = Http::new(server.address()).login("ada", "open sesame");
    let mut own = Socket::open(server.address(), again["token"].as_str().expect("a token"));
    assert_eq!(own.act(&id(&made), json!({"modify_currency": {"gp": 1}})).0, "applied");
    server.signal(Signal::HUP);
    server.logged("the catalogue was reloaded");
    assert!(server.terminate().success(), "a stop stores what is not stored yet");
    castellan(&house, kind, &["keys", "rotate"], "");

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let rows = runtime.block_on(async {
        let file = format!("sqlite://{}", house.folder().join("data/castellan.db").display());
        let url = if kind == Kind::Postgres { house.url() } else { &file };
        let storage: Arc<dyn Storage> = connect(url, &options()).await.expect("it opens");
        until("the last row", || async { storage.audit(100).await.expect("rows").len() == 7 }).await;
        let mut rows = storage.audit(100).await.expect("rows");
        rows.reverse();
        rows
    });
    let actor = bot["user_id"].as_str().expect("an id");
    let target = format!("character {} of {owner}", id(&made));
    assert_eq!(told(&rows[0]), ["operator", "account bot, role game", "account create", "done"]);
    let writes: Vec<_> = rows.iter().filter(|row| row.target.starts_with("character")).collect();
    assert_eq!(writes.len(), 1, "only those of the role game: {rows:#?}");
    assert_eq!(told(writes[0]), [actor, &target, "modify_currency", "applied"]);
    assert_eq!(writes[0].address.as_deref(), Some("127.0.0.1"));
    assert_eq!(rows.iter().filter(|row| (&*row.action, &*row.outcome) == ("login", "done")).count(), 3);
    assert_eq!(told(&rows[5]), ["operator", "rules of this server", "reload", "done"]);
    assert_eq!(told(&rows[6]), ["operator", "", "keys rotate", "done"]);
    let log = house.log();
    let line = log.lines().find(|line| line.contains("modify_currency")).expect("a line");
    assert!(line.contains("audit") && line.contains(actor) && line.contains(&target), "{line}");
    let text = format!("{rows:?}{log}");
    for secret in ["sesame", "correct horse", bot["token"].as_str().expect("a token")] {
        assert!(!text.contains(secret), "{secret}");
    }
}

#[test]
fn what_is_done_is_recorded_on_sqlite() {
    what_is_done_is_recorded(Kind::Sqlite);
}

#[test]
fn what_is_done_is_recorded_on_postgresql() {
    what_is_done_is_recorded(Kind::Postgres);
}
