//! A character that the database refuses, from its player's side and the operator's.

use std::process::Command;

use serde_json::{Value, json};
use sqlx::{Connection, PgConnection, SqliteConnection};

use crate::harness::{Http, Kind, until};
use crate::play::{House, paladin};

/// Runs a statement that no server would on the house's database.
fn run(house: &House, kind: Kind, statement: &'static str) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        if kind == Kind::Postgres {
            let mut raw = PgConnection::connect(house.url()).await.expect("PostgreSQL answers");
            sqlx::raw_sql(statement).execute(&mut raw).await.expect("it is carried out");
        } else {
            let path = house.folder().join("data/castellan.db");
            let mut raw = SqliteConnection::connect(&path.to_string_lossy()).await.expect("the file opens");
            sqlx::raw_sql(statement).execute(&mut raw).await.expect("it is carried out");
        }
    });
}

/// What `castellan dead-letters` says to these arguments.
fn dead_letters(house: &House, kind: Kind, arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_castellan"));
    command.current_dir(house.folder()).arg("dead-letters").args(arguments);
    if kind == Kind::Postgres {
        command.args(["--database-url", house.url()]);
    }
    let output = command.output().expect("it starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// The only dead letter's character, once there is one.
fn until_refused(house: &House, kind: Kind) -> String {
    let mut list = String::new();
    wait("a dead letter", || {
        list = dead_letters(house, kind, &["list"]);
        list.starts_with(|first: char| first.is_ascii_hexdigit())
    });
    list.split_whitespace().next().expect("an id").to_owned()
}

fn wait(what: &str, mut ask: impl FnMut() -> bool) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(until(what, || std::future::ready(ask())));
}

fn characters(http: &Http) -> Vec<Value> {
    http.get("/characters").json["characters"].as_array().expect("a list").clone()
}

/// The player's client does not hear that the creation was refused, and asks again after the server's restart.
fn a_creation_that_waits_for_an_operator_is_not_made_twice(kind: Kind) {
    let house = House::new(kind);
    assert!(house.server(&[]).terminate().success());
    run(
        &house,
        kind,
        if kind == Kind::Postgres {
            "ALTER TABLE characters ADD CONSTRAINT refused CHECK (name <> 'Bea')"
        } else {
            "CREATE TRIGGER refused BEFORE INSERT ON characters WHEN NEW.name = 'Bea' \
             BEGIN SELECT RAISE(ABORT, 'refused'); END"
        },
    );
    let mut bea = paladin("Bea");
    bea["id"] = json!(77);
    let server = house.server(&["--durable-timeout", "100ms"]);
    let (http, session) = Http::new(server.address()).login("ada", "open sesame");
    let token = session["token"].as_str().expect("a token");
    let first = http.post("/characters", &bea);
    assert!(first.status == 201 || first.status == 503, "{first:?}");
    let id = until_refused(&house, kind);
    server.kill();

    let server = house.server(&[]);
    let http = Http::new(server.address()).with_token(token);
    let again = http.post("/characters", &bea);
    assert_eq!((again.status, again.code()), (503, "unavailable"), "{again:?}");
    let hurt = http.patch(&format!("/characters/{id}/stats/hitpoints"), &json!({"version": 1, "delta": -1}));
    assert_eq!((hurt.status, hurt.code()), (503, "unavailable"), "it may be there later: {hurt:?}");
    assert_eq!(characters(&http), [] as [Value; 0]);

    run(
        &house,
        kind,
        if kind == Kind::Postgres { "ALTER TABLE characters DROP CONSTRAINT refused" } else { "DROP TRIGGER refused" },
    );
    dead_letters(&house, kind, &["retry", &id]);
    wait("the decision", || !characters(&http).is_empty());
    let again = http.post("/characters", &bea);
    assert_eq!(again.header("castellan-duplicate"), "true", "{again:?}");
    let [only] = <[Value; 1]>::try_from(characters(&http)).expect("one character");
    assert_eq!(only["id"], json!(id));
    assert_eq!(dead_letters(&house, kind, &["list"]), "no dead letters\n");
    assert!(server.terminate().success());
}

#[test]
fn a_creation_that_waits_for_an_operator_is_not_made_twice_on_sqlite() {
    a_creation_that_waits_for_an_operator_is_not_made_twice(Kind::Sqlite);
}

#[test]
fn a_creation_that_waits_for_an_operator_is_not_made_twice_on_postgresql() {
    a_creation_that_waits_for_an_operator_is_not_made_twice(Kind::Postgres);
}
