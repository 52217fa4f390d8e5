//! Backups and restores: nothing of the lost time is used again, and every client is told.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::error::Error;

use crate::harness::{Http, Kind, Server, Socket, fresh_postgres, run_on, until};
use crate::play::{House, enter, id, paladin};

/// A way to back a database up and to restore it. `restore` returns the URL to go on with.
struct Way {
    kind: Kind,
    /// True if the server finds out by itself.
    noticed: bool,
    back_up: fn(&House, &Path),
    restore: fn(&House, &Path) -> Option<String>,
}

/// Runs `castellan` with a command on a house's database.
fn castellan(house: &House, kind: Kind, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_castellan"));
    command.current_dir(house.folder()).args(arguments);
    if kind == Kind::Postgres {
        command.args(["--database-url", house.url()]);
    }
    command.output().expect("it starts")
}

fn said(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned()).concat()
}

fn done(output: &Output) -> String {
    assert!(output.status.success(), "{}", said(output));
    said(output)
}

fn sqlite_file(house: &House) -> PathBuf {
    house.folder().join("data/castellan.db")
}

/// Puts a file in place of the SQLite database, as docs/operate.md says.
fn put_back(house: &House, file: &Path) -> Option<String> {
    for suffix in ["", "-wal", "-shm"] {
        let path = house.folder().join(format!("data/castellan.db{suffix}"));
        match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => panic!("{}: {error}", path.display()),
            _ => {}
        }
    }
    fs::copy(file, sqlite_file(house)).expect("copied");
    None
}

/// Runs one of PostgreSQL's programs.
fn postgres(program: &str, arguments: &[&str]) {
    let folder = std::env::var_os("CASTELLAN_TEST_POSTGRES_PROGRAMS")
        .expect("these tests need PostgreSQL's programs: run them with `cargo xtask test`");
    let output = Command::new(Path::new(&folder).join(program)).args(arguments).output().expect("it starts");
    done(&output);
}

fn dump(house: &House, file: &Path) {
    postgres("pg_dump", &["--file", file.to_str().expect("a name"), house.url()]);
}

fn load(url: &str, file: &Path) {
    postgres("psql", &["-q", "-v", "ON_ERROR_STOP=1", "-f", file.to_str().expect("a name"), url]);
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(work)
}

const BACKUP_COMMAND: Way = Way {
    kind: Kind::Sqlite,
    noticed: true,
    back_up: |house, file| {
        let said = done(&castellan(house, Kind::Sqlite, &["backup", file.to_str().expect("a name")]));
        assert!(said.contains("1 characters"), "{said}");
        let mode = fs::metadata(file).expect("the copy").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "it has the password hashes");
    },
    restore: put_back,
};

/// A copy of the file by other means, and the command that tells the server about it.
const RESTORED_COMMAND: Way = Way {
    kind: Kind::Sqlite,
    noticed: false,
    back_up: |house, file| {
        let copying = async {
            use sqlx::{Connection, SqliteConnection};
            let url = format!("sqlite://{}", sqlite_file(house).display());
            let mut connection = SqliteConnection::connect(&url).await.expect("it opens beside the server");
            let file = file.to_str().expect("a name");
            sqlx::query("VACUUM INTO ?1").bind(file).execute(&mut connection).await.expect("copied");
        };
        block_on(copying);
    },
    restore: |house, file| {
        put_back(house, file);
        let said = done(&castellan(house, Kind::Sqlite, &["restored"]));
        assert!(
            said.contains("the versions of all characters jump") && said.contains("1 sessions have ended"),
            "{said}"
        );
        None
    },
};

const INTO_A_NEW_DATABASE: Way = Way {
    kind: Kind::Postgres,
    noticed: true,
    back_up: dump,
    restore: |_, file| {
        let url = block_on(fresh_postgres());
        load(&url, file);
        Some(url)
    },
};

const INTO_THE_SAME_DATABASE: Way = Way {
    kind: Kind::Postgres,
    noticed: true,
    back_up: dump,
    restore: |house, file| {
        run_on(house.url(), "DROP SCHEMA public CASCADE");
        run_on(house.url(), "CREATE SCHEMA public");
        load(house.url(), file);
        Some(house.url().to_owned())
    },
};

/// Every state that servers have shown of a character, by version.
#[derive(Default)]
struct Seen(BTreeMap<u64, Value>);

impl Seen {
    fn see(&mut self, character: &Value) {
        let version = character["version"].as_u64().expect("a version");
        let before = self.0.entry(version).or_insert_with(|| character.clone());
        assert_eq!(before, character, "version {version} names two states");
    }

    fn newest(&self) -> u64 {
        *self.0.keys().next_back().expect("something was seen")
    }
}

/// An intent that is durable when it is answered.
struct Sent {
    id: u64,
    after: u64,
}

impl Sent {
    fn send(&self, socket: &mut Socket, character: &str, seen: &mut Seen) {
        let fields = json!({"id": self.id, "character": character, "after": self.after, "ack": "durable",
            "action": {"modify_currency": {"gp": 1}}});
        socket.send_frame(&json!({ "intent": fields }));
        let (kind, answer) = socket.answer(self.id);
        assert_eq!(kind, "applied", "{answer}");
        assert_eq!(answer.get("duplicate"), None, "{} was lost, so it is new", self.id);
        assert_eq!(answer["durable"], answer["character"]["version"]);
        seen.see(&answer["character"]);
    }
}

/// Tokens of the lost time are nobody's.
fn told(server: &Server, session: &Value) {
    let token = session["token"].as_str().expect("a token");
    let nobody = Http::new(server.address());
    let refused = nobody.with_token(token).get("/characters");
    assert_eq!((refused.status, refused.code()), (401, "unauthenticated"));
    let refused = nobody.post("/session/refresh", &json!({"refresh_token": session["refresh_token"]}));
    assert_eq!((refused.status, refused.code()), (401, "unauthenticated"));
    match Socket::bare(server.address(), &format!("Bearer {token}"), "castellan.v1.json", "").err() {
        Some(Error::Http(answer)) => assert_eq!(answer.status().as_u16(), 401),
        other => panic!("refused before the upgrade, not {other:?}"),
    }
}

/// Waits for the next second: two restores are never in the same one.
fn next_second() {
    #[expect(clippy::disallowed_methods, reason = "the server under test has this clock as well")]
    let second = || SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let present = second();
    while second() == present {
        std::thread::yield_now();
    }
}

fn nothing_of_the_lost_time_is_used_again(way: &Way) {
    let house = House::new(way.kind);
    let (mut seen, backup) = (Seen::default(), house.folder().join("backup"));
    let server = house.server(&[]);
    let (http, token, made) = enter(&server, "ada");
    let me = id(&made);
    seen.see(&made);
    let mut socket = Socket::open(server.address(), &token);
    for id in 1..=3 {
        Sent { id, after: id - 1 }.send(&mut socket, &me, &mut seen);
    }
    (way.back_up)(&house, &backup);
    let lost: Vec<Sent> = (4..=8).map(|id| Sent { id, after: id - 1 }).collect();
    lost.iter().for_each(|sent| sent.send(&mut socket, &me, &mut seen));
    let (_, late) = http.login("bea", "open sesame");
    let (_, mut session) = http.login("ada", "open sesame");
    told_nothing(&server, &session);
    assert!(server.terminate().success());

    // The second restore of the same backup must not repeat the life after the first.
    for round in 1..=2 {
        next_second();
        let url = (way.restore)(&house, &backup);
        let server = house.server_on(url.as_deref(), &[]);
        let noticed = server.log().matches("this database was restored").count();
        assert_eq!(noticed, if way.noticed { round } else { 0 }, "{}", server.log());
        told(&server, &session);
        told(&server, &late);
        let (http, fresh) = Http::new(server.address()).login("ada", "open sesame");
        let found = http.get(&format!("/characters/{me}")).json;
        assert_eq!(found["currency"]["gp"], json!(3), "as it was backed up");
        assert!(found["version"].as_u64() > Some(seen.newest()), "{found}");
        seen.see(&found);
        let mut socket = Socket::open(server.address(), fresh["token"].as_str().expect("a token"));
        lost.iter().for_each(|sent| sent.send(&mut socket, &me, &mut seen));
        let newest = seen.newest();
        assert!(server.terminate().success());

        let server = house.server_on(url.as_deref(), &[]);
        let found = told_nothing(&server, &fresh).get(&format!("/characters/{me}")).json;
        assert_eq!(found["version"], json!(newest), "a start is no restore");
        assert!(server.terminate().success());
        session = fresh;
    }
}

/// The session is valid.
fn told_nothing(server: &Server, session: &Value) -> Http {
    let http = Http::new(server.address()).with_token(session["token"].as_str().expect("a token"));
    assert_eq!(http.get("/characters").status, 200);
    http
}

#[test]
fn a_copy_by_the_backup_command_uses_nothing_of_the_lost_time_again() {
    nothing_of_the_lost_time_is_used_again(&BACKUP_COMMAND);
}

#[test]
fn a_plain_copy_uses_nothing_of_the_lost_time_again_after_the_restored_command() {
    nothing_of_the_lost_time_is_used_again(&RESTORED_COMMAND);
}

#[test]
fn a_dump_in_a_new_database_uses_nothing_of_the_lost_time_again() {
    nothing_of_the_lost_time_is_used_again(&INTO_A_NEW_DATABASE);
}

#[test]
fn a_dump_in_the_same_database_uses_nothing_of_the_lost_time_again() {
    nothing_of_the_lost_time_is_used_again(&INTO_THE_SAME_DATABASE);
}

/// A copy is put in place of a database whose server was killed, and nobody thinks of the log beside it.
#[test]
fn the_log_of_the_file_before_is_not_read_into_a_copy() {
    let house = House::new(Kind::Sqlite);
    let server = house.server(&[]);
    let (http, _, made) = enter(&server, "ada");
    let backup = house.folder().join("backup");
    (BACKUP_COMMAND.back_up)(&house, &backup);
    for name in ["Bea", "Cid"] {
        assert_eq!(http.post("/characters", &paladin(name)).status, 201, "and is durable");
    }
    server.kill();
    let log = house.folder().join("data/castellan.db-wal");
    assert!(log.metadata().expect("the log stays").len() > 0);
    fs::copy(&backup, sqlite_file(&house)).expect("copied");

    let refused = castellan(&house, Kind::Sqlite, &["restored"]);
    assert!(said(&refused).contains("does not belong to"), "{}", said(&refused));
    let server = house.server(&[]);
    let (http, _) = Http::new(server.address()).login("ada", "open sesame");
    let found = http.get("/characters").json;
    assert_eq!(found["characters"].as_array().map(Vec::len), Some(1), "{found}");
    assert_eq!(found["characters"][0]["id"], made["id"]);
    assert_eq!(http.post("/characters", &paladin("Dan")).status, 201);
    server.kill();

    // The log is the copy's own now, and is read.
    let server = house.server(&[]);
    let (http, _) = Http::new(server.address()).login("ada", "open sesame");
    assert_eq!(http.get("/characters").json["characters"].as_array().map(Vec::len), Some(2));
    assert!(server.terminate().success());
}

/// The command fences a server that is running, so nobody can do harm with it.
fn the_restored_command_ends_a_running_servers_leases(kind: Kind) {
    let house = House::new(kind);
    let mut seen = Seen::default();
    let old = house.server(&[]);
    let (http, token, made) = enter(&old, "ada");
    let me = id(&made);
    seen.see(&made);
    let mut socket = Socket::open(old.address(), &token);
    Sent { id: 1, after: 0 }.send(&mut socket, &me, &mut seen);
    done(&castellan(&house, kind, &["restored"]));
    socket.ask("intent", json!({"character": me, "after": 1, "action": {"modify_currency": {"gp": 1}}}));
    block_on(until("the old server's end", async || http.try_get("/health/ready") != Some(200)));
    assert_eq!(socket.closed().1, 4401);
    old.kill();

    let new = house.server(&[]);
    let (http, _) = Http::new(new.address()).login("ada", "open sesame");
    let found = http.get(&format!("/characters/{me}")).json;
    assert_eq!(found["currency"]["gp"], json!(1));
    assert!(found["version"].as_u64() > Some(seen.newest()), "{found}");
    let refused = Http::new(new.address()).with_token(&token).get("/characters");
    assert_eq!((refused.status, refused.code()), (401, "unauthenticated"));
    assert!(new.terminate().success());
}

#[test]
fn the_restored_command_ends_a_running_servers_leases_on_sqlite() {
    the_restored_command_ends_a_running_servers_leases(Kind::Sqlite);
}

#[test]
fn the_restored_command_ends_a_running_servers_leases_on_postgresql() {
    the_restored_command_ends_a_running_servers_leases(Kind::Postgres);
}

#[test]
fn another_timeline_makes_versions_jump_and_logs_nobody_out() {
    let house = House::new(Kind::Postgres);
    let server = house.server(&[]);
    let (_, token, made) = enter(&server, "ada");
    assert!(server.terminate().success());
    run_on(house.url(), "UPDATE origin SET timeline = timeline + 1, written_by = txid_current() & 4294967295");
    let server = house.server(&[]);
    assert!(server.log().contains("timeline has changed"), "{}", server.log());
    let found = Http::new(server.address()).with_token(&token).get(&format!("/characters/{}", id(&made)));
    assert_eq!(found.status, 200);
    let version = found.json["version"].as_u64().expect("a version");
    assert!(version > 1 << 20, "{version}");
    assert!(server.terminate().success());
    let server = house.server(&[]);
    assert_eq!(server.log().matches("timeline has changed").count(), 1);
    assert!(server.terminate().success());
}

#[test]
fn a_server_that_may_not_ask_which_cluster_it_uses_says_so_and_serves() {
    let house = House::new(Kind::Postgres);
    run_on(house.url(), "REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC");
    run_on(house.url(), "CREATE ROLE castellan_plain LOGIN PASSWORD 'plain'");
    run_on(house.url(), "GRANT CREATE ON SCHEMA public TO castellan_plain");
    let (_, place) = house.url().rsplit_once('@').expect("a user");
    let plain = format!("postgres://castellan_plain:plain@{place}");
    let server = house.server_on(Some(&plain), &[]);
    assert!(server.log().contains("permission denied for function pg_control_system"), "{}", server.log());
    let (_, token, _) = enter(&server, "ada");
    assert!(server.terminate().success());
    let server = house.server_on(Some(&plain), &[]);
    assert!(!server.log().contains("was restored"), "{}", server.log());
    assert_eq!(Http::new(server.address()).with_token(&token).get("/characters").status, 200);
    assert!(server.terminate().success());
}

#[test]
fn a_backup_overwrites_nothing_and_leaves_nothing_behind() {
    let house = House::new(Kind::Sqlite);
    let refused = castellan(&house, Kind::Sqlite, &["backup", "copy.db"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(said(&refused).contains("there is no database file"), "{}", said(&refused));
    assert!(!house.folder().join("data").exists(), "a database that is missing is not made");

    let server = house.server(&[]);
    enter(&server, "ada");
    done(&castellan(&house, Kind::Sqlite, &["backup", "copy.db"]));
    let copy = house.folder().join("copy.db");
    let bytes = fs::read(&copy).expect("the copy");
    let refused = castellan(&house, Kind::Sqlite, &["backup", "copy.db"]);
    assert!(said(&refused).contains("copy.db already exists"), "{}", said(&refused));
    assert_eq!(fs::read(&copy).expect("the copy"), bytes);

    // As another backup that is under way.
    fs::write(house.folder().join("other.db.partial"), "half").expect("written");
    let refused = castellan(&house, Kind::Sqlite, &["backup", "other.db"]);
    assert!(said(&refused).contains("another backup is writing it"), "{}", said(&refused));

    let refused = castellan(&house, Kind::Sqlite, &["backup", "none/copy.db"]);
    assert!(said(&refused).contains("cannot create none/copy.db.partial"), "{}", said(&refused));

    fs::write(house.folder().join("notes.db"), "").expect("written");
    let notes = ["backup", "notes-copy.db", "--database-url", "sqlite://notes.db"];
    let refused = castellan(&house, Kind::Sqlite, &notes);
    assert!(said(&refused).contains("no such table"), "{}", said(&refused));
    let mut left: Vec<_> = fs::read_dir(house.folder())
        .expect("the folder")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"))
        .collect();
    left.sort();
    assert_eq!(left, ["copy.db", "data", "notes.db", "other.db.partial", "server.log"]);
    assert!(server.terminate().success());
}

/// A limit on the size of files stands for a full disk: the write fails in the middle.
#[cfg(unix)]
#[test]
fn a_backup_that_finds_no_room_says_so_and_leaves_nothing_behind() {
    let house = House::new(Kind::Sqlite);
    let server = house.server(&[]);
    enter(&server, "ada");
    let output = Command::new("sh")
        .current_dir(house.folder())
        // 64 blocks of 512 bytes: the tables alone need more.
        .args(["-c", "trap '' XFSZ; ulimit -f 64; exec \"$0\" backup copy.db", env!("CARGO_BIN_EXE_castellan")])
        .output()
        .expect("a shell");
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("the backup to copy.db failed; no file was left behind"), "{}", said(&output));
    for name in ["copy.db", "copy.db.partial", "copy.db.partial-journal"] {
        assert!(!house.folder().join(name).exists(), "{name}");
    }
    done(&castellan(&house, Kind::Sqlite, &["backup", "copy.db"]));
    assert!(server.terminate().success());
}

#[test]
fn a_backup_of_postgresql_is_left_to_its_own_programs() {
    let house = House::new(Kind::Postgres);
    let refused = castellan(&house, Kind::Postgres, &["backup", "copy.db"]);
    assert_eq!(refused.status.code(), Some(1));
    let said = said(&refused);
    assert!(said.contains("pg_dump") && said.contains("docs/operate.md"), "{said}");
}
