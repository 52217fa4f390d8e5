//! Gateways that give their connections to another one.

use std::time::Duration;

use castellan_cluster::word::Word;
use castellan_protocol::CloseCode;
use tokio::sync::mpsc;

use super::harness::*;
use crate::gateway::Carried;
use crate::link::{Message, Said};

/// Long enough for everything that must happen first.
const PATIENCE: Duration = Duration::from_secs(60);

/// Gives the connections of a gateway away.
fn leave(gateway: &Gateway, within: Duration) -> mpsc::Receiver<Carried> {
    let (given, carried) = mpsc::channel(16);
    let hub = gateway.hub.clone();
    tokio::spawn(async move { hub.leave(given, within).await });
    carried
}

#[tokio::test]
async fn another_gateway_goes_on_with_a_connection_in_the_middle_of_everything() {
    let (old, new) = (Gateway::new().await, Gateway::new().await);
    let (a, b) = (FakeNode::new(1).await, FakeNode::new(2).await);
    let shard = home(1);
    old.register(&a);
    old.own(shard, a.process, 1);
    new.register(&b);
    new.own(shard, b.process, 2);
    let mut client = old.client(1).await;
    let (mut at_a, socket) = a.welcome(&mut client, shard, 1).await;
    let mut waits = old.client(1).await;
    let (new_socket, _) = at_a.hello().await;
    client.send(&watch(1, character(9))).await;
    assert_eq!(at_a.frame().await, (socket, watch(1, character(9)).as_str()));
    at_a.say(socket, Said::Answer(b"1")).await;
    for id in 2..4 {
        client.send(&ping(id)).await;
        assert_eq!(at_a.frame().await, (socket, ping(id).as_str()));
    }
    // Half a frame, and a message of which a part is here.
    let half = ping(5);
    client.send_bytes(&[0x01, 0x80 | 8, 0, 0, 0, 0]).await;
    client.send_bytes(&ping(4).as_bytes()[..8]).await;
    client.send_bytes(&[0x80, 0x80 | u8::try_from(ping(4).len() - 8).expect("short"), 0, 0]).await;

    let mut carried = leave(&old, PATIENCE);
    let part = at_a.next().await;
    assert_eq!((part.address.number, part.said), (socket.number, Said::Part));
    at_a.say(socket, Said::Answer(b"2")).await;
    at_a.say(socket, Said::FrameBack(ping(3).as_bytes())).await;
    assert!(carried.try_recv().is_err(), "the node may have told it something");
    at_a.say(part.address, Said::Word(Word::Parted)).await;
    for _ in 0..2 {
        new.go_on(soon(carried.recv()).await.expect("both"));
    }
    assert_eq!(new_socket.shard, shard);

    let mut at_b = b.accept().await;
    at_b.attached(shard, 2).await;
    // The two come in any order, but a frame after the introduction of its socket.
    let (mut known, mut fresh, mut has_frame) = (None, None, false);
    while known.is_none() || fresh.is_none() || !has_frame {
        match at_b.next().await {
            Message { address, said: Said::Hello(hello) } if hello.is_new => fresh = Some(address),
            Message { address, said: Said::Hello(hello) } => {
                assert_eq!(hello.watched, [(character(9), user(1))]);
                known = Some(address);
            }
            Message { address, said: Said::Frame(frame) } => {
                assert_eq!((Some(address), frame), (known, ping(3).as_bytes()));
                has_frame = true;
            }
            other => panic!("unexpected: {other:?}"),
        }
    }
    let (again, fresh) = (known.expect("introduced"), fresh.expect("introduced"));
    at_b.say(fresh, Said::Welcome(b"welcome")).await;
    assert_eq!(waits.text().await, "welcome");
    client.send_bytes(&[0, 0]).await;
    client.send_bytes(&ping(4).as_bytes()[8..]).await;
    client.send(&half).await;
    for id in 4..6 {
        assert_eq!(at_b.frame().await, (again, ping(id).as_str()));
    }
    for id in 3..6 {
        at_b.say(again, Said::Answer(id.to_string().as_bytes())).await;
    }
    for id in 1..6 {
        assert_eq!(client.text().await, id.to_string());
    }
}

#[tokio::test]
async fn a_connection_closes_if_its_node_does_not_let_it_go_in_time() {
    let (gateway, a) = Gateway::with_node().await;
    let shard = home(1);
    let mut client = gateway.client(1).await;
    let (mut at_a, _) = a.welcome(&mut client, shard, 1).await;
    let mut carried = leave(&gateway, Duration::from_millis(50));
    assert_eq!(at_a.next().await.said, Said::Part);
    assert_eq!(client.closed().await, Some(CloseCode::GoingAway));
    assert!(carried.try_recv().is_err());
}

#[tokio::test]
async fn a_gateway_that_stays_closes_nothing_and_loses_nothing() {
    let (gateway, a) = Gateway::with_node().await;
    let shard = home(1);
    let mut client = gateway.client(1).await;
    let (mut at_a, socket) = a.welcome(&mut client, shard, 1).await;
    client.send(&ping(1)).await;
    assert_eq!(at_a.frame().await, (socket, ping(1).as_str()));
    let mut carried = leave(&gateway, PATIENCE);
    assert_eq!(at_a.next().await.said, Said::Part);
    // Not read before the gateway stays.
    client.send(&ping(2)).await;
    at_a.say(socket, Said::FrameBack(ping(1).as_bytes())).await;
    soon(gateway.hub.waits_for(shard, 1)).await;
    gateway.hub.stay();
    assert!(soon(carried.recv()).await.is_none(), "nothing was given away");
    at_a.say(socket, Said::Word(Word::Parted)).await;
    let attached = at_a.attached(shard, 1).await;
    assert!(attached.number > socket.number);
    let (again, _) = at_a.hello().await;
    for id in 1..3 {
        assert_eq!(at_a.frame().await, (again, ping(id).as_str()));
    }
}
