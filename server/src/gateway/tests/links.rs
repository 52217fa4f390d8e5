//! Links that break.

use castellan_protocol::CloseCode;

use super::harness::*;
use crate::link::{Address, Message, Said};

/// Two clients, each at a node of its own: one of them loses its node by what `spoil` does to the link.
async fn lose_a_link(spoil: impl AsyncFnOnce(FakeLink, Address)) {
    let (gateway, a) = Gateway::with_node().await;
    let b = FakeNode::new(2).await;
    assert_ne!(home(1), home(2));
    gateway.register(&b);
    gateway.own(home(2), b.process, 1);
    let mut first = gateway.client(1).await;
    let (at_a, socket) = a.welcome(&mut first, home(1), 1).await;
    let mut second = gateway.client(2).await;
    let (mut at_b, at_b_socket) = b.welcome(&mut second, home(2), 1).await;
    gateway.own(home(1), b.process, 2);
    spoil(at_a, socket).await;
    assert_eq!(first.closed().await, Some(CloseCode::ShardMoved), "an answered socket closes, too");
    second.send(&ping(1)).await;
    assert_eq!(at_b.frame().await, (at_b_socket, ping(1).as_str()));
    at_b.say(at_b_socket, Said::Answer(b"1")).await;
    assert_eq!(second.text().await, "1");
    let _again = gateway.client(1).await;
    at_b.attach(home(1), 2).await;
}

#[tokio::test]
async fn a_broken_link_closes_the_sockets_that_were_told_something_and_no_others() {
    lose_a_link(async |link, _| drop(link)).await;
}

/// The time that a client is told to wait when its socket closes, in milliseconds.
async fn told_to_wait(client: &mut Client) -> u64 {
    let Incoming::Text(text) = client.next().await else { panic!("the socket closes without a word") };
    let frame: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(frame["closing"]["code"], CloseCode::ShardMoved.number());
    frame["closing"]["retry_after_ms"].as_u64().expect("a time")
}

#[tokio::test]
async fn clients_of_a_dead_node_are_told_to_come_back_after_the_takeover() {
    let (gateway, a) = Gateway::with_node().await;
    let mut client = gateway.client(1).await;
    let (at_a, _) = a.welcome(&mut client, home(1), 1).await;
    drop((a, at_a));
    let at_first = told_to_wait(&mut client).await;
    assert!(at_first <= 1_000, "the node may be back at once: {at_first}");
    // Nobody is there. The shard has another owner 6.5 s after the death; a random second comes on top.
    let later = told_to_wait(&mut gateway.client(1).await).await;
    assert!((2_000..6_600).contains(&later), "{later}");
}

#[tokio::test]
async fn bytes_that_are_no_message_end_the_link_only() {
    lose_a_link(async |mut link, _| {
        link.garbage(&[1, 0, 0, 0, 0]).await;
        assert_eq!(link.try_next().await, None);
    })
    .await;
}

#[tokio::test]
async fn a_node_that_speaks_like_a_gateway_loses_its_link_only() {
    lose_a_link(async |mut link, socket| {
        link.say(socket, Said::Frame(b"{}")).await;
        assert_eq!(link.try_next().await, None);
    })
    .await;
}

#[tokio::test]
async fn a_node_can_neither_answer_nor_close_the_sockets_of_another() {
    let (gateway, a) = Gateway::with_node().await;
    let b = FakeNode::new(2).await;
    gateway.register(&b);
    gateway.own(home(2), b.process, 1);
    let mut first = gateway.client(1).await;
    let (mut at_a, socket) = a.welcome(&mut first, home(1), 1).await;
    let mut second = gateway.client(2).await;
    let (mut at_b, _) = b.welcome(&mut second, home(2), 1).await;
    at_b.say(socket, Said::Answer(b"stolen")).await;
    at_b.say(socket, Said::Close(4501, "stolen")).await;
    // Processed in order, so both were heard once this one is closed.
    drop(at_b);
    assert_eq!(second.closed().await, Some(CloseCode::ShardMoved));
    at_a.say(socket, Said::Notice(b"mine")).await;
    assert_eq!(first.text().await, "mine");
    at_a.say(socket, Said::Close(4501, "the session was ended")).await;
    assert_eq!(first.closed().await, Some(CloseCode::SessionRevoked));
}

#[tokio::test]
async fn a_client_that_leaves_is_gone_at_its_node() {
    let (gateway, a) = Gateway::with_node().await;
    let mut client = gateway.client(1).await;
    let (mut at_a, socket) = a.welcome(&mut client, home(1), 1).await;
    drop(client);
    assert_eq!(at_a.next().await, Message::new(socket, Said::Gone));
}
