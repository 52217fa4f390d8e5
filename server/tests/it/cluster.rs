//! Nodes and gateways as processes of their own: shards come and go, and nobody notices.

mod catalogue;
mod gateways;
mod replacing;
mod sessions;
mod tls;
mod upgrade;

use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;

use crate::harness::{Http, Kind, Proxy, Server, Socket, run_on};
use crate::play::{House, enter, id};

/// How long shards may take to get to where they belong. A new node gets its share after ten seconds.
const SETTLED: Duration = Duration::from_secs(40);

/// Nodes and gateways on a database of their own.
pub(crate) struct Cluster {
    house: House,
}

impl Cluster {
    pub(crate) fn new() -> Self {
        Self { house: House::new(Kind::Postgres) }
    }

    pub(crate) fn house(&self) -> &House {
        &self.house
    }

    pub(crate) fn node(&self, name: &str) -> Server {
        self.house.server(&["node", "--name", name, "--policy", "permissive"])
    }

    pub(crate) fn gateway(&self) -> Server {
        self.house.server(&["gateway", "--socket-workers", "2"])
    }

    fn castellan(&self, arguments: &[&str]) -> Output {
        self.castellan_with(arguments, "")
    }

    /// Runs a command that reads this.
    fn castellan_with(&self, arguments: &[&str], input: &str) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_castellan"));
        command.current_dir(self.house.folder()).args(arguments).args(["--database-url", self.house.url()]);
        command.args(["--auth-argon2-memory", "64KiB", "--auth-argon2-iterations", "1"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("it starts");
        // Most commands do not read it.
        let _ = child.stdin.take().expect("a pipe").write_all(input.as_bytes());
        child.wait_with_output().expect("it ends")
    }

    /// The number of shards that a node owns.
    fn shards_of(&self, name: &str) -> i64 {
        let statement = format!(
            "SELECT count(*) FROM shard_leases AS lease JOIN nodes ON lease.process = nodes.id WHERE nodes.name = '{name}'"
        );
        run_on(self.house.url(), sqlx::AssertSqlSafe(statement))
    }

    pub(crate) fn until_owned(&self, name: &str, expected: std::ops::RangeInclusive<i64>) {
        let deadline = Instant::now() + SETTLED;
        loop {
            let shards = self.shards_of(name);
            if expected.contains(&shards) {
                return;
            }
            assert!(Instant::now() < deadline, "{name} owns {shards} shards, not {expected:?}:\n{}", self.house.log());
            std::thread::yield_now();
        }
    }
}

/// Prints the logs of the processes if a test has failed.
impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.house.log());
        }
    }
}

/// Waits until a gateway knows an owner for every shard, or a node has renewed its leases.
pub(crate) fn until_ready(process: &Server) {
    let deadline = Instant::now() + SETTLED;
    while Http::new(process.address()).get("/health/ready").status != 200 {
        assert!(Instant::now() < deadline, "the process does not become ready:\n{}", process.log());
        std::thread::yield_now();
    }
}

/// Players who never stop.
struct Players {
    all: Vec<(Socket, String)>,
    coins: u64,
}

impl Players {
    /// Logs in so many, each with a character.
    fn enter(gateway: &Server, number: usize) -> Self {
        let all = (0..number).map(|number| {
            let (_, token, made) = enter(gateway, &format!("player{number}"));
            (Socket::open(gateway.address(), &token), id(&made))
        });
        Self { all: all.collect(), coins: 0 }
    }

    /// Each gets a coin, with a few intents in flight at once, and sees every coin once and in order.
    fn play(&mut self) {
        const AT_ONCE: u64 = 3;
        let coin = json!({"modify_currency": {"cp": 1}});
        let asked: Vec<Vec<u64>> = (self.all.iter_mut())
            .map(|(socket, character)| {
                let intent = json!({"character": character, "expect": 0, "action": coin});
                (0..AT_ONCE).map(|_| socket.ask("intent", intent.clone())).collect()
            })
            .collect();
        for ((socket, _), asked) in self.all.iter_mut().zip(asked) {
            for (number, id) in (1..).zip(asked) {
                let (kind, answer) = socket.answer(id);
                assert_eq!(kind, "applied", "{answer}");
                assert_eq!(answer["character"]["currency"]["cp"].as_u64(), Some(self.coins + number), "{answer}");
            }
        }
        self.coins += AT_ONCE;
    }

    /// Each gets a coin. Returns the ids of the intents.
    fn get_a_coin(&mut self) -> Vec<u64> {
        self.coins += 1;
        let coins = self.coins;
        (self.all.iter_mut())
            .map(|(socket, character)| {
                let action = json!({"modify_currency": {"cp": 1}});
                let id = socket.ask("intent", json!({"character": character, "expect": 0, "action": action}));
                let (kind, answer) = socket.answer(id);
                assert_eq!((kind.as_str(), answer["character"]["currency"]["cp"].as_u64()), ("applied", Some(coins)));
                id
            })
            .collect()
    }

    /// Plays as long as something goes on.
    fn play_while(&mut self, mut goes_on: impl FnMut() -> bool) {
        while goes_on() {
            self.play();
        }
        self.play();
    }
}

#[test]
fn a_node_and_a_gateway_serve_a_player_like_a_server() {
    let cluster = Cluster::new();
    let node = cluster.node("castor");
    let gateway = cluster.gateway();
    until_ready(&gateway);
    assert_eq!(Http::new(node.address()).get("/health/ready").status, 200);
    let (http, token, made) = enter(&gateway, "ada");
    let me = id(&made);
    let mut socket = Socket::open(gateway.address(), &token);
    assert_eq!(socket.welcome["characters"][0]["id"], made["id"]);
    let (kind, state) = socket.call("watch", json!({"character": me}));
    assert_eq!((kind.as_str(), &state["character"]), ("state", &made));
    let (kind, answer) = socket.act(&me, json!({"modify_hitpoints": {"delta": -3}}));
    assert_eq!((kind.as_str(), answer["character"]["version"].as_u64()), ("applied", Some(2)));
    let (kind, answer) = socket.call(
        "intent",
        json!({"character": me, "expect": 2, "ack": "durable", "action": {"modify_hitpoints": {"delta": 1}}}),
    );
    assert_eq!((kind.as_str(), answer["durable"].as_u64()), ("applied", Some(3)));
    let (kind, conflict) =
        socket.call("intent", json!({"character": me, "expect": 2, "action": {"modify_hitpoints": {"delta": 1}}}));
    assert_eq!((kind.as_str(), &conflict["character"]), ("conflict", &answer["character"]));
    assert_eq!(socket.call("ping", json!({})).0, "pong");
    let listed = http.get("/characters");
    assert_eq!((listed.status, &listed.json["characters"][0]), (200, &answer["character"]), "{listed:?}");
    let path = format!("/characters/{me}/stats/hitpoints");
    let hurt = http.patch(&path, &json!({"version": 3, "delta": -1}));
    assert_eq!((hurt.status, hurt.json["version"].as_u64()), (200, Some(4)), "{hurt:?}");
    assert_eq!(socket.wait_for("state")["character"], hurt.json, "the watcher sees it");
    assert_eq!(http.get(&format!("/characters/{}", id(&json!({"id": uuid::Uuid::new_v4()})))).status, 404);

    // The last node stores everything, and its successor finds it.
    assert!(node.terminate().success());
    assert_eq!(run_on(cluster.house.url(), "SELECT count(*) FROM shard_leases WHERE released"), 256);
    let _node = cluster.node("castor");
    until_ready(&gateway);
    let (http, _) = Http::new(gateway.address()).login("ada", "open sesame");
    assert_eq!(http.get(&format!("/characters/{me}")).json, hurt.json);
}

#[test]
fn shards_move_while_players_play_and_nobody_notices() {
    let cluster = Cluster::new();
    let castor = cluster.node("castor");
    let gateway = cluster.gateway();
    until_ready(&gateway);
    let mut players = Players::enter(&gateway, 12);
    let pollux = cluster.node("pollux");
    players.play_while(|| cluster.shards_of("pollux") < 128);
    let listed = String::from_utf8(cluster.castellan(&["nodes"]).stdout).expect("text");
    assert_eq!(listed.lines().filter(|line| line.contains("  128  ")).count(), 2, "{listed}");

    let mut drained = std::thread::scope(|scope| {
        let drain = scope.spawn(|| cluster.castellan(&["drain", "castor"]));
        players.play_while(|| !drain.is_finished());
        drain.join().expect("it ran")
    });
    assert!(drained.status.success(), "{}", String::from_utf8_lossy(&drained.stderr));
    assert_eq!((cluster.shards_of("castor"), cluster.shards_of("pollux")), (0, 256));
    assert!(castor.terminate().success());
    players.play();

    drained = cluster.castellan(&["drain", "nobody"]);
    let why = String::from_utf8_lossy(&drained.stderr);
    assert!(!drained.status.success() && why.contains("nobody") && why.contains("pollux"), "{why}");

    // A stop gives everything away, too.
    let castor = cluster.node("castor");
    players.play_while(|| cluster.shards_of("castor") < 128);
    std::thread::scope(|scope| {
        let stop = scope.spawn(|| pollux.terminate());
        players.play_while(|| !stop.is_finished());
        assert!(stop.join().expect("it ran").success());
    });
    assert_eq!(cluster.shards_of("castor"), 256);
    let jumped = "SELECT count(*) FROM shard_leases WHERE recoveries > 0";
    assert_eq!(run_on(cluster.house.url(), jumped), 0, "nothing was lost on the way");
    players.play();
    drop(castor);
}

#[test]
fn nodes_tell_their_load() {
    let cluster = Cluster::new();
    let slow = ["node", "--name", "castor", "--policy", "permissive", "--flush-interval", "1m"];
    let _node = cluster.house.server(&slow);
    let gateway = cluster.gateway();
    until_ready(&gateway);
    let mut players = Players::enter(&gateway, 3);
    let told =
        "SELECT count(*) FROM nodes WHERE sockets = 3 AND intents_per_second > 0 AND dirty = 3 AND lag_ms > 1000";
    players.play_while(|| run_on(cluster.house.url(), told) == 0);
    drop(players);
    let quiet = "SELECT count(*) FROM nodes WHERE sockets = 0 AND intents_per_second = 0";
    let deadline = Instant::now() + SETTLED;
    while run_on(cluster.house.url(), quiet) == 0 {
        assert!(Instant::now() < deadline, "{}", cluster.house.log());
        std::thread::yield_now();
    }
    let listed = String::from_utf8(cluster.castellan(&["nodes"]).stdout).expect("text");
    let lines: Vec<Vec<&str>> = listed.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0][7..11], ["sockets", "intents/s", "dirty", "lag"]);
    assert_eq!(lines[1][4..9], ["256", "100", "no", "0", "0"], "{listed}");
}

#[test]
fn a_new_owner_gets_copies_of_characters_and_still_knows_their_intents() {
    let cluster = Cluster::new();
    let castor = cluster.node("castor");
    let gateway = cluster.gateway();
    until_ready(&gateway);
    let mut players = Players::enter(&gateway, 12);
    let pollux = cluster.node("pollux");
    cluster.until_owned("pollux", 128..=128);
    let ids = players.get_a_coin();
    let installed = || -> f64 {
        let metrics = Http::new(pollux.address()).get("/metrics").text;
        let name = "castellan_copies_total{outcome=\"installed\"}";
        let line = metrics.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("0");
        line.trim().parse().expect("a number")
    };
    let before = installed();
    assert!(cluster.castellan(&["drain", "castor"]).status.success());
    assert_eq!((cluster.shards_of("castor"), cluster.shards_of("pollux")), (0, 256));
    assert!(installed() > before, "nobody plays, so every copy is the newest");
    for ((socket, character), id) in players.all.iter_mut().zip(ids) {
        let action = json!({"modify_currency": {"cp": 1}});
        socket.send_frame(&json!({"intent": {"id": id, "character": character, "expect": 0, "action": action}}));
        let (kind, answer) = socket.answer(id);
        let coins = answer["character"]["currency"]["cp"].as_u64();
        assert_eq!((kind.as_str(), &answer["duplicate"], coins), ("applied", &json!(true), Some(players.coins)));
    }
    players.play();
    drop(castor);
}

#[test]
fn a_killed_node_costs_only_its_own_players_their_sockets() {
    let cluster = Cluster::new();
    let castor = cluster.node("castor");
    let gateway = cluster.gateway();
    until_ready(&gateway);
    let mut players = Players::enter(&gateway, 12);
    let _pollux = cluster.node("pollux");
    cluster.until_owned("pollux", 128..=128);
    players.play();
    castor.kill();
    let mut closed = 0;
    for (mut socket, character) in players.all {
        // Those of the other node play on as if nothing had happened.
        socket.ask("ping", json!({}));
        match socket.next_or_close() {
            Ok((kind, _)) => {
                let answer = if kind == "pong" {
                    socket.act(&character, json!({"modify_currency": {"cp": 1}}))
                } else {
                    panic!("unexpected: {kind}")
                };
                assert_eq!(answer.1["character"]["currency"]["cp"].as_u64(), Some(players.coins + 1));
            }
            Err(code) => {
                assert_eq!(code, 4401);
                closed += 1;
            }
        }
    }
    assert!((1..12).contains(&closed), "{closed} of 12 sockets closed");
    cluster.until_owned("pollux", 256..=256);
    let recovered = "SELECT count(*) FROM shard_leases WHERE recoveries = 1";
    assert_eq!(run_on(cluster.house.url(), recovered), 128);
    until_ready(&gateway);
    for number in 0..12 {
        let (http, session) = Http::new(gateway.address()).login(&format!("player{number}"), "open sesame");
        let listed = http.get("/characters");
        let character = &listed.json["characters"][0];
        assert!(character["currency"]["cp"].as_u64() >= Some(0), "{listed:?}");
        let mut socket = Socket::open(gateway.address(), session["token"].as_str().expect("a token"));
        let (kind, _) = socket.act(&id(character), json!({"modify_currency": {"cp": 1}}));
        assert_eq!(kind, "applied");
    }
}

#[test]
fn a_frozen_node_loses_its_shards_and_answers_nobody_when_it_wakes() {
    let cluster = Cluster::new();
    let castor = cluster.node("castor");
    let gateway = cluster.gateway();
    until_ready(&gateway);
    let (_, token, made) = enter(&gateway, "ada");
    let mut socket = Socket::open(gateway.address(), &token);
    assert_eq!(socket.act(&id(&made), json!({"modify_currency": {"cp": 1}})).0, "applied");
    castor.signal(Signal::STOP);
    let pollux = cluster.node("pollux");
    cluster.until_owned("pollux", 256..=256);
    until_ready(&gateway);
    let (_, code) = socket.closed();
    assert_eq!(code, 4401);
    castor.signal(Signal::CONT);
    let mut socket = Socket::open(gateway.address(), &token);
    for coins in 1.. {
        let (kind, answer) = socket.act(&id(&made), json!({"modify_currency": {"cp": 1}}));
        assert_eq!(kind, "applied");
        let has = answer["character"]["currency"]["cp"].as_u64().expect("coins");
        assert!((coins..=coins + 1).contains(&has), "{has} after {coins}");
        // It is back among the nodes, without shards at first.
        if cluster.shards_of("castor") == 0 && castor.log().contains("another server has taken over") {
            break;
        }
    }
    assert!(pollux.terminate().success());
}

#[test]
fn a_server_and_nodes_refuse_each_other() {
    let cluster = Cluster::new();
    let node = cluster.node("castor");
    let refused = cluster.castellan(&["--listen", "127.0.0.1:0"]);
    let why = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && why.contains("node castor") && why.contains("is alive"), "{why}");
    let refused = cluster.castellan(&["node", "--name", "castor", "--listen", "127.0.0.1:0"]);
    let why = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && why.contains("castor"), "two of one name: {why}");
    assert!(node.terminate().success());
    let server = cluster.house.server(&[]);
    let refused = cluster.castellan(&["node", "--name", "castor", "--listen", "127.0.0.1:0"]);
    let why = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && why.contains("serve") && why.contains("is alive"), "{why}");
    assert!(server.terminate().success());
    let nameless = cluster.castellan(&["node", "--listen", "127.0.0.1:0"]);
    assert!(String::from_utf8_lossy(&nameless.stderr).contains("--name"));
    let unreachable = cluster.castellan(&["node", "--name", "castor", "--listen", "0.0.0.0:0"]);
    assert!(String::from_utf8_lossy(&unreachable.stderr).contains("--advertise"));
}

#[test]
fn players_go_on_while_no_node_can_reach_the_database() {
    let url = crate::harness::database_url(Kind::Postgres).expect("a database");
    let (_runtime, proxy, cluster) = behind_a_proxy(&url);
    let _nodes = [cluster.node("castor"), cluster.node("pollux")];
    let gateway = cluster.gateway();
    until_ready(&gateway);
    cluster.until_owned("pollux", 128..=128);
    let mut players = Players::enter(&gateway, 6);
    players.play();
    proxy.silence();
    // Longer than a node alone may answer without the database.
    let until = Instant::now() + Duration::from_secs(8);
    players.play_while(|| Instant::now() < until);
    proxy.restore();
    players.play();
    for (socket, character) in &mut players.all {
        let coin = json!({"modify_currency": {"cp": 1}});
        let intent = json!({"character": character, "expect": 0, "ack": "durable", "action": coin});
        let (kind, answer) = socket.call("intent", intent);
        assert_eq!(kind, "applied");
        assert_eq!(answer["character"]["currency"]["cp"].as_u64(), Some(players.coins + 1));
    }
    let recovered = "SELECT count(*) FROM shard_leases WHERE recoveries > 0";
    assert_eq!(run_on(cluster.house.url(), recovered), 0, "nobody has taken anything");
}

#[test]
fn a_node_that_alone_cannot_reach_the_database_is_not_ready() {
    let url = crate::harness::database_url(Kind::Postgres).expect("a database");
    let (_runtime, proxy, cut_off) = behind_a_proxy(&url);
    let (castor, pollux) = (cut_off.node("castor"), Cluster { house: House::at(url) });
    let _pollux = pollux.node("pollux");
    pollux.until_owned("pollux", 128..=128);
    proxy.silence();
    pollux.until_owned("pollux", 256..=256);
    let health = Http::new(castor.address()).get("/health/ready");
    assert_eq!(health.status, 503, "{health:?}");
    assert!(health.json["problems"].to_string().contains("could not renew"), "{health:?}");
    proxy.restore();
    until_ready(&castor);
    pollux.until_owned("castor", 128..=128);
}

#[test]
fn a_node_that_goes_on_alone_stops_before_a_node_that_joins_takes_its_shards() {
    let url = crate::harness::database_url(Kind::Postgres).expect("a database");
    let (_runtime, proxy, cut_off) = behind_a_proxy(&url);
    let (castor, cluster) = (cut_off.node("castor"), Cluster { house: House::at(url) });
    let gateway = cluster.gateway();
    until_ready(&gateway);
    let mut players = Players::enter(&gateway, 3);
    proxy.silence();
    let until = Instant::now() + Duration::from_secs(6);
    players.play_while(|| Instant::now() < until);
    let health = Http::new(castor.address()).get("/health/ready");
    assert_eq!(health.json["status"], "degraded", "it goes on, because it is alone: {health:?}");
    let _pollux = cluster.node("pollux");
    for (socket, _) in players.all {
        assert_eq!(socket.closed().1, 4401);
    }
    cluster.until_owned("pollux", 256..=256);
    assert_eq!(Http::new(castor.address()).get("/health/ready").json["status"], "unready");
}

/// A cluster whose way to the database can be cut.
fn behind_a_proxy(url: &str) -> (tokio::runtime::Runtime, Proxy, Cluster) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let (before, rest) = url.split_once("127.0.0.1:").expect("PostgreSQL on loopback");
    let (port, after) = rest.split_once('/').expect("a database");
    let real = format!("127.0.0.1:{port}").parse().expect("an address");
    let proxy = runtime.block_on(Proxy::start(real));
    let house = House::at(format!("{before}{}/{after}", proxy.address()));
    (runtime, proxy, Cluster { house })
}
