//! Shards that move, and requests and sockets that notice nothing of it.

use std::time::Duration;

use castellan_cluster::word::Word;
use castellan_protocol::CloseCode;
use tokio::time::Instant;
use uuid::Uuid;

use super::harness::*;
use crate::link::{Message, Said};

#[tokio::test]
async fn a_move_answers_every_frame_once_and_in_order() {
    let (gateway, a) = Gateway::with_node().await;
    let b = FakeNode::new(2).await;
    let shard = home(1);
    gateway.register(&b);
    let mut client = gateway.client(1).await;
    let (mut at_a, socket) = a.welcome(&mut client, shard, 1).await;
    let mut quiet = gateway.client(1).await;
    let (quiet_socket, _) = at_a.hello().await;
    at_a.say(quiet_socket, Said::Welcome(b"welcome")).await;
    assert_eq!(quiet.text().await, "welcome");

    client.send(&watch(1, character(9))).await;
    assert_eq!(at_a.frame().await, (socket, watch(1, character(9)).as_str()));
    at_a.say(socket, Said::Answer(b"1")).await;
    assert_eq!(client.text().await, "1");
    for id in 2..5 {
        client.send(&ping(id)).await;
        assert_eq!(at_a.frame().await, (socket, ping(id).as_str()));
    }
    at_a.say(socket, Said::Word(Word::Leaving)).await;
    let marker = at_a.next().await;
    assert_eq!((marker.address.number, marker.said), (socket.number, Said::Marker));
    at_a.say(socket, Said::Answer(b"2")).await;
    at_a.say(socket, Said::FrameBack(ping(3).as_bytes())).await;
    at_a.say(socket, Said::FrameBack(ping(4).as_bytes())).await;
    for id in 5..7 {
        client.send(&ping(id)).await;
    }
    soon(gateway.hub.waits_for(shard, 4)).await;
    at_a.say(socket, Said::Word(Word::Moved { to: Some(b.process), epoch: 2 })).await;

    let mut at_b = b.accept().await;
    let attached = at_b.attached(shard, 2).await;
    assert!(attached.number > socket.number);
    let (again, hello) = at_b.hello().await;
    assert_eq!((again.number, again.socket), (attached.number, socket.socket));
    assert!(!hello.is_new, "it was welcomed");
    assert_eq!(hello.watched, [(character(9), user(1))]);
    // Too late: its attachment has ended.
    at_a.say(socket, Said::Answer(b"late")).await;
    for id in 3..7 {
        assert_eq!(at_b.frame().await, (again, ping(id).as_str()));
        at_b.say(again, Said::Answer(id.to_string().as_bytes())).await;
    }
    at_b.say(again, Said::Notice(b"state")).await;
    for expected in ["2", "3", "4", "5", "6", "state"] {
        assert_eq!(client.text().await, expected);
    }
    // A socket that watches nothing is introduced when it sends something.
    quiet.send(&ping(7)).await;
    let (quiet_again, hello) = at_b.hello().await;
    assert_eq!((quiet_again.socket, hello.is_new), (quiet_socket.socket, false));
    assert_eq!(at_b.frame().await, (quiet_again, ping(7).as_str()));
}

#[tokio::test]
async fn a_welcome_that_was_lost_in_a_move_is_asked_for_again() {
    let (gateway, a) = Gateway::with_node().await;
    let b = FakeNode::new(2).await;
    let shard = home(1);
    let mut client = gateway.client(1).await;
    let mut at_a = a.accept().await;
    let address = at_a.attached(shard, 1).await;
    at_a.hello().await;
    at_a.say(address, Said::Word(Word::Leaving)).await;
    assert_eq!(at_a.next().await.said, Said::Marker);
    // The gateway has not read of this node yet.
    gateway.register(&b);
    at_a.say(address, Said::Word(Word::Moved { to: Some(b.process), epoch: 2 })).await;
    let (_, hello) = {
        let mut at_b = b.accept().await;
        at_b.attached(shard, 2).await;
        let (socket, hello) = at_b.hello().await;
        at_b.say(socket, Said::Welcome(b"welcome")).await;
        assert_eq!(client.text().await, "welcome");
        (at_b, hello)
    };
    assert!(hello.is_new);
}

#[tokio::test]
async fn a_request_that_comes_back_is_sent_to_the_next_owner() {
    let (gateway, a) = Gateway::with_node().await;
    let b = FakeNode::new(2).await;
    let shard = home(1);
    gateway.register(&b);
    let hub = gateway.hub.clone();
    let asking = tokio::spawn(async move { hub.request(shard, b"get".to_vec()).await });
    let mut at_a = a.accept().await;
    at_a.attached(shard, 1).await;
    let Message { address, said } = at_a.next().await;
    assert_eq!(said, Said::Request(b"get"));
    at_a.say(address, Said::RequestBack(b"get")).await;
    assert_eq!(at_a.next().await.said, Said::Marker, "it says that the shard is leaving");
    at_a.say(address, Said::Word(Word::Moved { to: Some(b.process), epoch: 2 })).await;
    let mut at_b = b.accept().await;
    at_b.attached(shard, 2).await;
    let Message { address, said } = at_b.next().await;
    assert_eq!(said, Said::Request(b"get"));
    at_b.say(address, Said::Response(b"200")).await;
    assert_eq!(soon(asking).await.expect("no panic").as_deref(), Some(&b"200"[..]));

    // Nobody waits any more for the second one. The third one loses its node.
    let hub = gateway.hub.clone();
    let leaving = tokio::spawn(async move { hub.request(shard, b"get".to_vec()).await });
    let second = at_b.next().await;
    leaving.abort();
    assert_eq!(at_b.next().await, Message::new(second.address, Said::Gone));
    let hub = gateway.hub.clone();
    let losing = tokio::spawn(async move { hub.request(shard, b"get".to_vec()).await });
    at_b.next().await;
    drop(at_b);
    assert_eq!(soon(losing).await.expect("no panic"), None);
}

#[tokio::test]
async fn frames_for_a_node_that_cannot_be_reached_are_kept_for_a_second() {
    let (gateway, a) = Gateway::with_node().await;
    let shard = home(1);
    let nobody = Uuid::from_u128(2);
    // A port that nothing listens on any more.
    let address = std::net::TcpListener::bind("127.0.0.1:0").and_then(|port| port.local_addr()).expect("a port");
    gateway.register_at(nobody, address.to_string());
    let mut client = gateway.client(1).await;
    let (mut at_a, socket) = a.welcome(&mut client, shard, 1).await;
    at_a.say(socket, Said::Word(Word::Leaving)).await;
    assert_eq!(at_a.next().await.said, Said::Marker);
    let held_at = Instant::now();
    client.send(&ping(1)).await;
    soon(gateway.hub.waits_for(shard, 1)).await;
    gateway.own(shard, nobody, 2);
    at_a.say(socket, Said::Word(Word::Moved { to: Some(nobody), epoch: 2 })).await;
    assert_eq!(client.closed().await, Some(CloseCode::ShardMoved));
    assert!(held_at.elapsed() >= Duration::from_millis(900), "{:?}", held_at.elapsed());
    // Nor is a client kept that waits for its welcome.
    let mut client = gateway.client(1).await;
    assert_eq!(client.closed().await, Some(CloseCode::ShardMoved));
}
