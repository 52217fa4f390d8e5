//! How a server starts: what it touches, in which order, and what it waits for.

use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::json;
use xtask::postgres::{Cluster, ClusterOptions};

use crate::harness::{Http, Kind, Socket, fresh_postgres, run_on};
use crate::play::{House, enter, id};

/// The real program, without waiting for what it prints.
fn castellan(folder: &Path, listen: &str, database: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_castellan"));
    command.current_dir(folder).args(["--listen", listen, "--database-url", database]);
    command.stdin(Stdio::null());
    command
}

/// An address that nobody listens on.
pub(crate) fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("a bound socket has an address")
}

/// Waits until a server answers there that it is ready.
pub(crate) fn until_ready(server: &mut Child, address: SocketAddr) {
    while Http::new(address).try_get("/health/ready") != Some(200) {
        assert!(server.try_wait().expect("it is ours").is_none(), "the server has ended");
        std::thread::yield_now();
    }
}

fn end(mut server: Child) {
    server.kill().expect("it still runs");
    server.wait().expect("it is ours");
}

#[test]
fn a_second_start_on_the_same_address_leaves_the_first_server_alone() {
    let house = House::new(Kind::Postgres);
    let first = house.server(&[]);
    let (http, token, made) = enter(&first, "ada");
    let mut socket = Socket::open(first.address(), &token);
    let second = castellan(house.folder(), &first.address().to_string(), house.url()).output().expect("it starts");
    assert_eq!(second.status.code(), Some(1));
    let errors = String::from_utf8_lossy(&second.stderr);
    assert!(errors.contains(&format!("cannot listen on {}", first.address())), "{errors}");

    let action =
        json!({"character": id(&made), "after": 0, "ack": "durable", "action": {"modify_currency": {"gp": 1}}});
    let (kind, answer) = socket.call("intent", action);
    assert_eq!((kind.as_str(), &answer["durable"]), ("applied", &json!(2)));
    assert_eq!(http.get("/health/ready").status, 200);
    assert!(first.terminate().success());
}

#[test]
fn a_second_start_with_a_taken_address_for_operators_leaves_the_first_server_alone() {
    let house = House::new(Kind::Postgres);
    let first = house.server(&[]);
    let (http, ..) = enter(&first, "ada");
    let second = castellan(house.folder(), "127.0.0.1:0", house.url())
        .args(["--admin-listen", &first.address().to_string()])
        .output()
        .expect("it starts");
    assert_eq!(second.status.code(), Some(1));
    assert_eq!(http.get("/health/ready").status, 200);
    assert_eq!(http.post("/characters", &crate::play::paladin("Bea")).status, 201, "and is durable");
}

#[test]
fn a_start_that_fails_after_it_took_the_shards_gives_them_back() {
    let house = House::new(Kind::Postgres);
    assert!(house.server(&[]).terminate().success());
    // The dead letters are read after the shards are taken.
    run_on(house.url(), "DROP TABLE dead_letters");
    // So short that it tries once.
    let failed = castellan(house.folder(), "127.0.0.1:0", house.url())
        .args(["--database-wait", "100ms"])
        .output()
        .expect("it starts");
    assert_eq!(failed.status.code(), Some(1), "{}", String::from_utf8_lossy(&failed.stderr));
    let released = run_on(house.url(), "SELECT count(*) FROM shard_leases WHERE released AND epoch = 2");
    assert_eq!(released, 256);
}

#[test]
fn a_start_waits_for_a_database_that_comes_up_later() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let database = runtime.block_on(fresh_postgres());
    let (head, name) = database.rsplit_once('/').expect("the URL names a database");
    let (user, real) = head.rsplit_once('@').expect("the URL names a host");
    let late = free_address();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (listen, log) = (free_address(), folder.path().join("log"));
    let mut server = castellan(folder.path(), &listen.to_string(), &format!("{user}@{late}/{name}"))
        .stderr(File::create(&log).expect("a log"))
        .spawn()
        .expect("it starts");
    let said = || std::fs::read_to_string(&log).expect("a log");
    while !said().contains("waiting up to 60s for the database at") {
        assert!(server.try_wait().expect("it is ours").is_none(), "the server has ended: {}", said());
        std::thread::yield_now();
    }
    let real = real.parse().expect("an address");
    let _proxy = runtime.block_on(crate::harness::Proxy::start_at(late, real));
    until_ready(&mut server, listen);
    assert_eq!(said().matches("waiting up to").count(), 1, "it is said once: {}", said());
    end(server);
}

/// Each commit of the start waits for a standby, and is given up after `--database-timeout`.
#[test]
fn a_start_waits_for_a_standby_that_comes_later() {
    let cluster = Cluster::start(ClusterOptions::default()).expect("a cluster");
    let house = House::at(cluster.url());
    assert!(house.server(&[]).terminate().success(), "so the tables are there");
    run_on(&cluster.url(), "ALTER SYSTEM SET synchronous_standby_names = 'nobody'");
    run_on(&cluster.url(), "SELECT 1::bigint FROM pg_reload_conf()");
    let (listen, log) = (free_address(), house.folder().join("log"));
    let mut server = castellan(house.folder(), &listen.to_string(), house.url())
        .args(["--database-timeout", "500ms"])
        .stderr(File::create(&log).expect("a log"))
        .spawn()
        .expect("it starts");
    let said = || std::fs::read_to_string(&log).expect("a log");
    while !said().contains("its synchronous standby, if it has one, may be down") {
        assert!(server.try_wait().expect("it is ours").is_none(), "the server has ended: {}", said());
        std::thread::yield_now();
    }
    run_on(&cluster.url(), "ALTER SYSTEM RESET synchronous_standby_names");
    run_on(&cluster.url(), "SELECT 1::bigint FROM pg_reload_conf()");
    until_ready(&mut server, listen);
    assert_eq!(said().matches("waiting up to").count(), 1, "it is said once: {}", said());
    end(server);
}

#[test]
fn a_start_gives_up_on_a_database_that_does_not_come() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let nowhere = format!("postgres://castellan@{}/castellan", free_address());
    let ended = castellan(folder.path(), "127.0.0.1:0", &nowhere)
        .args(["--database-wait", "300ms"])
        .output()
        .expect("it starts");
    assert_eq!(ended.status.code(), Some(1));
    let errors = String::from_utf8_lossy(&ended.stderr);
    assert!(errors.contains("did not answer within 300ms (--database-wait)"), "{errors}");
}

/// Neither a full disk behind the output nor a closed pipe behind the log stops a server.
#[test]
fn a_server_that_can_print_nothing_serves_all_the_same() {
    let house = House::new(Kind::Postgres);
    let address = free_address();
    let full = || File::options().write(true).open("/dev/full").expect("Linux has it");
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let mut server = castellan(house.folder(), &address.to_string(), house.url())
        .stdout(full())
        .stderr(writer)
        .spawn()
        .expect("it starts");
    until_ready(&mut server, address);
    end(server);
}
