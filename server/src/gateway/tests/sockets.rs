//! The gateway's own answers to a client, and its limits on one.

use castellan_cluster::word::Word;
use castellan_protocol::limits::IN_FLIGHT_MAX;
use castellan_protocol::{CloseCode, SessionId};
use uuid::Uuid;

use super::harness::*;
use crate::auth::{AccountName, Password, Session};
use crate::config::Role;
use crate::link::{Message, Said};
use crate::shard::shard_of;

#[tokio::test]
async fn frames_above_the_rate_are_answered_at_the_gateway() {
    let gateway = Gateway::with_rate(3).await;
    let a = FakeNode::new(1).await;
    gateway.register(&a);
    gateway.own(home(1), a.process, 1);
    let mut client = gateway.client(1).await;
    let (mut at_a, socket) = a.welcome(&mut client, home(1), 1).await;
    // At once, so that no time passes in between.
    let frames: Vec<_> = std::iter::once(r#"{"fly":{"id":1}}"#.to_owned()).chain((2..6).map(ping)).collect();
    client.send_at_once(&frames).await;
    assert!(client.text().await.contains("unknown_frame"));
    for id in 2..4 {
        assert_eq!(at_a.frame().await, (socket, ping(id).as_str()));
    }
    for id in 4..6 {
        let refused = client.text().await;
        assert!(refused.contains("rate_limited") && refused.contains(&format!(r#""id":{id}"#)), "{refused}");
    }
    client.send("no frame").await;
    assert_eq!(client.closed().await, Some(CloseCode::ProtocolError));
    assert_eq!(at_a.next().await, Message::new(socket, Said::Gone), "nothing else reached the node");
}

#[tokio::test]
async fn a_token_is_refreshed_at_the_gateway() {
    let gateway = Gateway::new().await;
    let (name, password) =
        (AccountName::new("ada").expect("a name"), Password::new("open sesame").expect("a password"));
    let grant = gateway.auth.login(&name, password, true, [127, 0, 0, 1].into()).await.expect("an account");
    let newer = gateway.auth.refresh(&grant.refresh_token).await.expect("a token");
    let shard = shard_of(grant.session.user);
    let a = FakeNode::new(1).await;
    gateway.register(&a);
    gateway.own(shard, a.process, 1);
    let expires_at_ms = grant.session.expires_at_ms - 100_000;
    let mut client = gateway.client_of(Session { expires_at_ms, ..grant.session }).await;
    let (mut at_a, socket) = a.welcome(&mut client, shard, 1).await;
    client.send(&format!(r#"{{"refresh":{{"id":1,"token":"{}"}}}}"#, newer.token)).await;
    let accepted = client.text().await;
    assert!(accepted.contains("accepted") && accepted.contains(r#""expires_in":900"#), "{accepted}");
    client.send(r#"{"refresh":{"id":2,"token":"forged"}}"#).await;
    assert!(client.text().await.contains("unauthenticated"));
    // The next attachment hears of it.
    at_a.say(socket, Said::Word(Word::Leaving)).await;
    assert_eq!(at_a.next().await.said, Said::Marker);
    at_a.say(socket, Said::Word(Word::Resume)).await;
    at_a.attached(shard, 1).await;
    client.send(&ping(3)).await;
    assert_eq!(at_a.hello().await.1.expires_at_ms, newer.session.expires_at_ms);
}

#[tokio::test]
async fn a_client_may_have_twice_as_many_frames_unanswered_as_intents_in_flight() {
    let (gateway, a) = Gateway::with_node().await;
    let mut client = gateway.client(1).await;
    let (mut at_a, socket) = a.welcome(&mut client, home(1), 1).await;
    let most = 2 * IN_FLIGHT_MAX as u64;
    for id in 1..most + 3 {
        client.send(&ping(id)).await;
    }
    for id in 1..=most {
        assert_eq!(at_a.frame().await, (socket, ping(id).as_str()));
    }
    // If more had been sent, it would come before the marker.
    at_a.say(socket, Said::Word(Word::Leaving)).await;
    assert_eq!(at_a.next().await.said, Said::Marker);
    at_a.say(socket, Said::Answer(b"1")).await;
    assert_eq!(client.text().await, "1");
    soon(gateway.hub.waits_for(home(1), 1)).await;
    at_a.say(socket, Said::Word(Word::Resume)).await;
    at_a.attached(home(1), 1).await;
    let (again, _) = at_a.hello().await;
    assert_eq!(at_a.frame().await, (again, ping(most + 1).as_str()), "one answer makes room for one frame");
}

#[tokio::test]
async fn a_client_that_does_not_read_is_slow_and_delays_no_marker() {
    let (gateway, a) = Gateway::with_node().await;
    let mut client = gateway.client(1).await;
    let (mut at_a, socket) = a.welcome(&mut client, home(1), 1).await;
    // More than the buffers of two sockets hold.
    let state = "x".repeat(60_000);
    let count = 40;
    for _ in 0..count {
        at_a.say(socket, Said::Notice(state.as_bytes())).await;
    }
    assert_eq!(at_a.next().await, Message::new(socket, Said::Slow(true)));
    for _ in 0..count {
        assert_eq!(client.text().await.len(), state.len());
    }
    let mut slow = at_a.next().await.said;
    // It may have caught up and fallen behind in turn.
    while slow != Said::Slow(false) || gateway.hub.is_slow(socket.socket) {
        slow = at_a.next().await.said;
    }
    for _ in 0..count {
        at_a.say(socket, Said::Notice(state.as_bytes())).await;
    }
    at_a.say(socket, Said::Word(Word::Leaving)).await;
    assert_eq!(at_a.next().await, Message::new(socket, Said::Slow(true)));
    while at_a.next().await.said != Said::Marker {}
    // Under a new attachment the node hears it again.
    at_a.say(socket, Said::Word(Word::Resume)).await;
    at_a.attached(home(1), 1).await;
    client.send(&ping(1)).await;
    for _ in 0..count {
        assert_eq!(client.text().await.len(), state.len());
    }
    let (again, _) = at_a.hello().await;
    let mut messages = vec![at_a.next().await];
    while !matches!(messages.last().expect("one").said, Said::Frame(_)) {
        messages.push(at_a.next().await);
    }
    assert_eq!(messages.pop().map(|message| message.address), Some(again));
}

#[tokio::test]
async fn a_game_server_reaches_the_nodes_of_all_its_users_over_one_socket() {
    let (gateway, a) = Gateway::with_node().await;
    let b = FakeNode::new(2).await;
    gateway.register(&b);
    gateway.own(home(2), b.process, 1);
    let id = SessionId::from_uuid(Uuid::from_u128(1));
    let session = Session { id, user: user(1), role: Role::Game, expires_at_ms: NOW_MS + 900_000 };
    let mut client = gateway.client_of(session).await;
    let (mut at_a, at_home) = a.welcome(&mut client, home(1), 1).await;
    client.send(&ping(1)).await;
    assert!(client.text().await.contains("pong"));
    let about = |kind: &str, id: u64, of: u128| {
        let (character, user) = (character(of), user(of));
        format!(r#"{{"{kind}":{{"id":{id},"character":"{character}","user":"{user}"}}}}"#)
    };
    client.send(&about("watch", 2, 2)).await;
    let mut at_b = b.accept().await;
    at_b.attached(home(2), 1).await;
    let (elsewhere, hello) = at_b.hello().await;
    assert_eq!((elsewhere.socket, hello.is_new, hello.role.as_str()), (at_home.socket, false, "game"));
    assert_eq!(at_b.frame().await, (elsewhere, about("watch", 2, 2).as_str()));
    client.send(&about("fetch", 3, 1)).await;
    assert_eq!(at_a.frame().await, (at_home, about("fetch", 3, 1).as_str()));
    at_b.say(elsewhere, Said::Answer(b"2")).await;
    assert_eq!(client.text().await, "2");
    // It names no user, but the gateway knows whose character it is.
    let unwatch = format!(r#"{{"unwatch":{{"id":4,"character":"{}"}}}}"#, character(2));
    client.send(&unwatch).await;
    assert_eq!(at_b.frame().await, (elsewhere, unwatch.as_str()));
    drop(at_b);
    assert_eq!(client.closed().await, Some(CloseCode::ShardMoved));
    assert_eq!(at_a.next().await, Message::new(at_home, Said::Gone));
}
