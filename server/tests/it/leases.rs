//! Two servers at one database: the one that lost its shards notices, says so, and comes back when nobody has them.

use serde_json::json;

use xtask::postgres::{Cluster, ClusterOptions, Stop};

use crate::harness::{Http, Kind, Server, Socket};
use crate::play::{House, enter, id};

/// Waits until a server's readiness is as wanted.
fn until_status(server: &Server, status: u16) -> serde_json::Value {
    let http = Http::new(server.address());
    loop {
        let answer = http.get("/health/ready");
        if answer.status == status {
            return answer.json;
        }
        std::thread::yield_now();
    }
}

#[test]
fn an_idle_server_notices_that_its_shards_were_taken_and_takes_them_again() {
    let house = House::new(Kind::Postgres);
    let first = house.server(&[]);
    let (http, token, made) = enter(&first, "ada");
    let socket = Socket::open(first.address(), &token);

    // Nothing happens on the first server from here on.
    let second = house.server(&[]);
    let (closing, code) = socket.closed();
    assert_eq!(code, 4401, "{closing}");
    // It notices one shard after the other.
    let all = json!(["256 of 256 shards belong to another server"]);
    while until_status(&first, 503)["problems"] != all {}
    let refused = http.patch(&format!("/characters/{}/currency/modify", id(&made)), &json!({"version": 0, "gp": 1}));
    assert_eq!((refused.status, refused.code()), (503, "unavailable"));

    assert!(second.terminate().success());
    until_status(&first, 200);
    let mut socket = Socket::open(first.address(), &token);
    let action =
        json!({"character": id(&made), "after": 0, "ack": "durable", "action": {"modify_currency": {"gp": 1}}});
    let (kind, answer) = socket.call("intent", action);
    // The takeover counted as a crash, which makes versions jump.
    assert_eq!((kind.as_str(), &answer["durable"]), ("applied", &json!((1 << 20) + 2)));
    assert!(first.log().contains("took back shards"), "{}", first.log());
    assert!(first.terminate().success());
}

#[test]
fn a_server_whose_rival_died_stays_away_from_what_nobody_released() {
    let house = House::new(Kind::Postgres);
    let first = house.server(&[]);
    let second = house.server(&[]);
    until_status(&first, 503);
    second.kill();
    // Whether the rival is dead or only silent cannot be told from here.
    let third = house.server(&[]);
    until_status(&first, 503);
    assert!(!house.log().contains("took back shards"), "{}", house.log());
    assert!(third.terminate().success());
    until_status(&first, 200);
    assert!(first.terminate().success());
}

/// A player goes on all the time, so some changes come between the takeover and its discovery.
#[test]
fn changes_that_another_server_cut_off_are_counted_and_named_at_the_stop() {
    let house = House::new(Kind::Postgres);
    let first = house.server(&["--flush-interval", "1m"]);
    let (http, _, made) = enter(&first, "ada");
    let player = {
        let (http, path) = (http.clone(), format!("/characters/{}/currency/modify", id(&made)));
        std::thread::spawn(move || while http.patch(&path, &json!({"version": 0, "gp": 1})).status == 200 {})
    };
    let second = house.server(&[]);
    until_status(&first, 503);
    player.join().expect("the player was refused at last");
    assert!(second.terminate().success());
    until_status(&first, 200);
    let metrics = http.get("/metrics").text;
    assert!(metrics.contains("castellan_characters_dropped_total 1\n"), "{metrics}");
    assert_eq!(first.terminate().code(), Some(1));
    let log = house.log();
    assert!(log.contains("while 1 characters had unsaved changes"), "{log}");
}

#[test]
fn a_database_that_is_gone_is_a_problem_even_if_nothing_is_unsaved() {
    let mut cluster = Cluster::start(ClusterOptions::default()).expect("a cluster");
    let house = House::at(cluster.url());
    let server = house.server(&[]);
    let until = |standing: &str| {
        let http = Http::new(server.address());
        loop {
            let health = http.get("/health/ready").json;
            if health["status"] == standing {
                return health["problems"].clone();
            }
            std::thread::yield_now();
        }
    };
    assert_eq!(until("ready"), json!([]));
    cluster.stop(Stop::Fast).expect("stopped");
    assert_eq!(until("degraded"), json!(["the database does not answer"]));
    cluster.start_again().expect("started");
    assert_eq!(until("ready"), json!([]));
    assert!(server.terminate().success());
}
