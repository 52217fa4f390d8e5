//! Gateways that are replaced by other processes, under players who never stop.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};

use castellan_srd::wire::Codec;
use serde_json::json;

use super::{Cluster, Players, until_ready};
use crate::harness::{Http, Server, Socket};
use crate::play::{enter, id};

impl Cluster {
    /// A gateway that replaces the one before it, if there is one.
    pub(super) fn replacing_gateway(&self) -> Server {
        self.house.server(&["gateway", "--socket-workers", "2", "--replace", "gateway.sock"])
    }

    /// Replaces a gateway while something goes on.
    pub(super) fn replace(&self, old: Server, players: &mut Players) -> Server {
        let address = old.address();
        let is_over = AtomicBool::new(false);
        let new = std::thread::scope(|scope| {
            let new = scope.spawn(|| self.replacing_gateway());
            let ended = scope.spawn(|| old.wait());
            let newcomers = scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    let answer = Http::new(address).get("/health/live");
                    assert_eq!(answer.status, 200, "the listener never refuses a connection: {answer:?}");
                }
            });
            players.play_while(|| !ended.is_finished());
            is_over.store(true, Ordering::Relaxed);
            newcomers.join().expect("no connection was refused");
            assert!(ended.join().expect("it ends").success(), "{}", self.house.log());
            new.join().expect("it starts")
        });
        assert_eq!(new.address(), address, "it has the listener of the one before");
        new
    }

    /// Asks a gateway to hand itself over, and takes its listeners. Reads nothing more.
    fn pretend_to_replace(&self) -> UnixStream {
        let mut stream = UnixStream::connect(self.house.folder().join("gateway.sock")).expect("it waits");
        stream.write_all(b"cstl\x01\0\0\0").expect("it reads");
        let mut greeting = [0; 8];
        stream.read_exact(&mut greeting).expect("it answers");
        assert_eq!(&greeting, b"cstl\x01\0\0\0");
        read_parcel(&mut stream);
        stream.write_all(&[1]).expect("it waits");
        stream
    }
}

/// Reads a parcel. The descriptors beside it are lost.
fn read_parcel(stream: &mut UnixStream) {
    let mut length = [0; 4];
    stream.read_exact(&mut length).expect("a parcel");
    let mut content = vec![0; u32::from_le_bytes(length) as usize];
    stream.read_exact(&mut content).expect("all of it");
}

/// The bytes of a text message, or of a part of one. A mask of zeros changes nothing.
fn bytes_of(opcode: u8, is_last: bool, text: &str) -> Vec<u8> {
    let length = u16::try_from(text.len()).expect("short");
    let mut bytes = vec![if is_last { 0x80 | opcode } else { opcode }, 0x80 | 126];
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(text.as_bytes());
    bytes
}

#[test]
fn a_gateway_is_replaced_twice_while_players_play_and_nobody_notices() {
    let cluster = Cluster::new();
    let _nodes = [cluster.node("castor"), cluster.node("pollux")];
    let gateway = cluster.replacing_gateway();
    until_ready(&gateway);
    cluster.until_owned("pollux", 128..=128);
    let mut players = Players::enter(&gateway, 12);

    // One watches the coins of the first player; one is in the middle of a frame, and one in the middle of a message.
    let (_, session) = Http::new(gateway.address()).login("player0", "open sesame");
    let mut watcher =
        Socket::open_as(gateway.address(), session["token"].as_str().expect("a token"), Codec::Json, "?reply=changes");
    let watched = players.all[0].1.clone();
    assert_eq!(watcher.call("watch", json!({"character": watched})).0, "state");
    let (_, token, made) = enter(&gateway, "ada");
    let me = id(&made);
    let coin = |id: u64, ack: &str| {
        let action = json!({"modify_currency": {"cp": 1}});
        json!({"intent": {"id": id, "character": me, "expect": 0, "ack": ack, "action": action}}).to_string()
    };
    let mut halves = Socket::open(gateway.address(), &token);
    let mut parts = Socket::open(gateway.address(), &token);

    let mut present = Some(gateway);
    for round in 0..2_u64 {
        let half = bytes_of(1, true, &coin(2 * round + 1, "applied"));
        halves.send_bytes(&half[..half.len() / 2]);
        let message = coin(2 * round + 2, "durable");
        let (first, rest) = message.split_at(message.len() / 3);
        parts.send_bytes(&bytes_of(1, false, first));
        let (second, third) = rest.split_at(rest.len() / 2);
        parts.send_bytes(&bytes_of(0, false, second));

        present = present.map(|old| cluster.replace(old, &mut players));

        halves.send_bytes(&half[half.len() / 2..]);
        let (kind, answer) = halves.answer(2 * round + 1);
        assert_eq!((kind.as_str(), &answer["character"]["currency"]["cp"]), ("applied", &json!(2 * round + 1)));
        parts.send_bytes(&bytes_of(0, true, third));
        let (kind, answer) = parts.answer(2 * round + 2);
        assert_eq!((kind.as_str(), &answer["character"]["currency"]["cp"]), ("applied", &json!(2 * round + 2)));
        assert_eq!(answer["durable"], answer["character"]["version"]);
    }
    players.play();
    let gateway = present.expect("the last one");
    let version = json!(players.coins + 1);
    loop {
        let (kind, fields) = watcher.next();
        let seen = if kind == "state" { &fields["character"]["version"] } else { &fields["version"] };
        if *seen == version || fields["versions"][&watched] == version {
            break;
        }
    }
    until_ready(&gateway);
    assert!(gateway.terminate().success());
}

#[test]
fn a_gateway_goes_on_if_its_successor_dies_before_it_has_got_a_connection() {
    let cluster = Cluster::new();
    let _node = cluster.node("castor");
    let gateway = cluster.replacing_gateway();
    until_ready(&gateway);
    let mut players = Players::enter(&gateway, 12);
    drop(cluster.pretend_to_replace());
    players.play_while(|| !cluster.house.log().contains("it goes on"));
    players.play();
    until_ready(&gateway);
    // It can still be replaced.
    let gateway = cluster.replace(gateway, &mut players);
    players.play();
    assert!(gateway.terminate().success());
}

#[test]
fn sockets_that_were_not_sent_outlive_a_successor_that_dies_halfway() {
    const USERS: usize = 20;
    const EACH: usize = 4;
    const SENT_MAX: usize = 64;
    let cluster = Cluster::new();
    let _node = cluster.node("castor");
    let gateway = cluster.replacing_gateway();
    until_ready(&gateway);
    let mut sockets = Vec::new();
    for number in 0..USERS {
        let (_, token, made) = enter(&gateway, &format!("player{number}"));
        sockets.extend((0..EACH).map(|_| (Socket::open(gateway.address(), &token), id(&made))));
    }
    let mut dies = cluster.pretend_to_replace();
    read_parcel(&mut dies);
    drop(dies);
    gateway.logged("it goes on");
    let mut lost = 0;
    for (socket, character) in &mut sockets {
        let intent = json!({"character": character, "expect": 0, "action": {"modify_currency": {"cp": 1}}});
        match socket.try_call("intent", intent) {
            Some((kind, answer)) => assert_eq!(kind, "applied", "{answer}"),
            None => lost += 1,
        }
    }
    assert!((1..=SENT_MAX).contains(&lost), "{lost} of {} sockets are lost", USERS * EACH);
    let (http, session) = Http::new(gateway.address()).login("player0", "open sesame");
    Socket::open(gateway.address(), session["token"].as_str().expect("a token"));
    assert_eq!(http.get("/characters").status, 200);
}
