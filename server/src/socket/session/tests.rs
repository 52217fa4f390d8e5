//! A client that sends as fast as it can leaves time for the others of its thread.

use std::sync::atomic::{AtomicUsize, Ordering};

use castellan_protocol::limits::{CHATTER_FRAMES_PER_SECOND, FRAMES_OVER_RATE_MAX};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::fuzz::{House, frame};
use super::*;
use crate::config::Role;

/// Far more small frames than one turn answers, and as many as a client may send at once; they fit into one read.
const PINGS: usize = (CHATTER_FRAMES_PER_SECOND + FRAMES_OVER_RATE_MAX) as usize;

const PING: u8 = 0x89;

#[tokio::test(start_paused = true)]
async fn a_flood_of_small_frames_lets_others_of_the_thread_take_turns() {
    let house = House::new().await;
    let server = house.server().await;
    let (mut client, serving) =
        house.open(&server, Codec::MessagePack, Role::Player, Replies::Whole, 64 * 1_024, 64 * 1_024);
    let mut welcome = vec![0; 2];
    client.read_exact(&mut welcome).await.expect("the beginning of the welcome");
    let mut flood = Vec::new();
    (0..PINGS).for_each(|_| frame(&mut flood, PING, b""));
    client.write_all(&flood).await.expect("room for all");
    let (turns, pongs) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let other = async {
        loop {
            turns.fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now().await;
        }
    };
    let answers = async {
        let mut answers = Vec::new();
        while pongs.load(Ordering::Relaxed) < PINGS {
            client.read_buf(&mut answers).await.expect("the connection lives");
            let found = answers.windows(2).filter(|pair| *pair == [0x8a, 0]).count();
            pongs.store(found, Ordering::Relaxed);
        }
    };
    tokio::select! {
        () = other => {}
        () = answers => {}
    }
    let turns = turns.load(Ordering::Relaxed);
    assert!(turns >= PINGS / 64, "the other task had {turns} turns");
    serving.abort();
}

#[tokio::test(start_paused = true)]
async fn a_client_that_floods_a_closing_connection_is_not_heard() {
    let house = House::new().await;
    let server = house.server().await;
    let (mut client, serving) = house.open(&server, Codec::MessagePack, Role::Player, Replies::Whole, 4_096, 4_096);
    // Not a frame of ours: the server closes.
    let mut bad = Vec::new();
    frame(&mut bad, 0x82, b"no frame");
    let mut piece = Vec::new();
    (0..500).for_each(|_| frame(&mut piece, PING, b""));
    client.write_all(&bad).await.expect("room");
    let mut flooded = 0;
    while let Ok(bytes) = client.write(&piece).await {
        flooded += bytes;
    }
    serving.await.expect("it ends");
    // The server reads up to its bound; the rest fits into the pipe.
    assert!(flooded <= GOODBYE_BYTES_MAX + 4 * 4_096, "{flooded} bytes");
}

/// The first byte and the payload of each.
type Frames = &'static [(u8, &'static [u8])];

#[tokio::test(start_paused = true)]
async fn a_flood_of_frames_that_ask_for_nothing_ends_the_connection_however_high_its_rate() {
    let house = House::new().await;
    let floods: [(&str, Frames); 4] = [
        ("pings", &[(PING, b"")]),
        ("pongs", &[(0x8a, b"")]),
        ("fragments", &[(0x02, b""), (0x00, b""), (0x80, b"\x81\xa4ping\x81\xa2id\x07")]),
        ("unknown frames", &[(0x82, b"\x81\xa3fly\x81\xa2id\x07")]),
    ];
    for (name, frames) in floods {
        let server = house.server().await;
        let (client, serving) =
            house.open(&server, Codec::MessagePack, Role::Player, Replies::Whole, 1_024 * 1_024, 16 * 1_024);
        let (mut incoming, mut outgoing) = tokio::io::split(client);
        let mut flood = Vec::new();
        for (first, payload) in frames.iter().cycle().take(2 * PINGS) {
            frame(&mut flood, *first, payload);
        }
        outgoing.write_all(&flood).await.expect("room for all");
        outgoing.shutdown().await.expect("an end");
        let mut answers = Vec::new();
        incoming.read_to_end(&mut answers).await.expect("an end");
        serving.await.expect("it ends");
        let code = CloseCode::RateLimit.number().to_be_bytes();
        assert!(answers.windows(4).any(|bytes| bytes[0] == 0x88 && bytes[2..] == code), "{name}");
    }
}
