//! Sessions, seats and game servers over several gateways and nodes.

use std::time::Instant;

use serde_json::json;

use super::{Cluster, SETTLED, until_ready};
use crate::harness::{Http, Socket};
use crate::play::{enter, id};
use castellan_srd::wire::Codec;

/// A client's id.
const CLIENT: &str = "?client=f81d4fae-7dec-11d0-a765-00a0c91e6bf6";

#[test]
fn a_session_that_ends_at_one_gateway_ends_at_all() {
    let cluster = Cluster::new();
    let _node = cluster.node("castor");
    let gateways = [cluster.gateway(), cluster.gateway()];
    gateways.iter().for_each(until_ready);
    let (http, token, _) = enter(&gateways[0], "ada");
    let socket = Socket::open(gateways[1].address(), &token);
    assert_eq!(http.call("POST", "/session/logout", &[], None).status, 204);
    assert_eq!(socket.closed().1, 4501);
    // Each process reads once a second which sessions have ended; the node may be first to close the socket.
    let there = Http::new(gateways[1].address()).with_token(&token);
    let deadline = Instant::now() + SETTLED;
    while there.get("/session").status != 401 {
        assert!(Instant::now() < deadline, "the session goes on at the other gateway");
        std::thread::yield_now();
    }
}

#[test]
fn a_session_has_four_sockets_over_all_gateways_and_a_client_has_one() {
    let cluster = Cluster::new();
    let _node = cluster.node("castor");
    let gateways = [cluster.gateway(), cluster.gateway()];
    gateways.iter().for_each(until_ready);
    let (_, token, made) = enter(&gateways[0], "ada");
    let first = Socket::open_as(gateways[0].address(), &token, Codec::Json, CLIENT);
    let others: Vec<Socket> = (1..4).map(|number| Socket::open(gateways[number % 2].address(), &token)).collect();
    // The same client comes back at the other gateway: its older socket ends, and the new one plays on.
    let mut second = Socket::open_as(gateways[1].address(), &token, Codec::Json, CLIENT);
    assert_eq!(first.closed().1, 1000);
    assert_eq!(second.act(&id(&made), json!({"modify_currency": {"cp": 1}})).0, "applied");
    let authorization = format!("Bearer {token}");
    let fifth = Socket::bare(gateways[0].address(), &authorization, Codec::Json.subprotocol(), "").expect("an upgrade");
    assert_eq!(fifth.closed().1, 4404, "the node of the user's shard knows all of them");
    drop(others);
}

#[test]
fn a_game_server_acts_on_characters_of_several_nodes_over_one_socket() {
    let cluster = Cluster::new();
    let _nodes = [cluster.node("castor"), cluster.node("pollux")];
    let gateway = cluster.gateway();
    until_ready(&gateway);
    cluster.until_owned("pollux", 128..=128);
    let players: Vec<(String, String)> = (0..8)
        .map(|number| {
            let (_, _, made) = enter(&gateway, &format!("player{number}"));
            (id(&made), made["user_id"].as_str().expect("a user").to_owned())
        })
        .collect();
    let created =
        cluster.castellan_with(&["account", "create", "arena", "--role", "game", "--password-stdin"], "open sesame");
    assert!(created.status.success(), "{}", String::from_utf8_lossy(&created.stderr));
    let (_, session) = Http::new(gateway.address()).login("arena", "open sesame");
    let mut socket = Socket::open(gateway.address(), session["token"].as_str().expect("a token"));
    let drain = std::thread::scope(|scope| {
        let drain = scope.spawn(|| cluster.castellan(&["drain", "castor"]));
        let mut rounds = 0;
        while !drain.is_finished() || rounds < 3 {
            rounds += 1;
            for (character, user) in &players {
                let action = json!({"modify_currency": {"gp": 1}});
                let intent = json!({"character": character, "user": user, "expect": 0, "action": action});
                let (kind, answer) = socket.call("intent", intent);
                assert_eq!(kind, "applied", "{answer}");
                assert_eq!(answer["character"]["currency"]["gp"].as_u64(), Some(rounds), "{answer}");
            }
            assert_eq!(socket.call("ping", json!({})).0, "pong");
        }
        drain.join().expect("it ran")
    });
    assert!(drain.status.success(), "{}", String::from_utf8_lossy(&drain.stderr));
    let (character, user) = &players[0];
    let watched = json!({"character": character, "user": user});
    let (kind, state) = socket.call("watch", watched);
    assert_eq!((kind.as_str(), state["character"]["id"].as_str()), ("state", Some(&**character)));
    let (kind, _) = socket.call("unwatch", json!({"character": character}));
    assert_eq!(kind, "accepted");
}
