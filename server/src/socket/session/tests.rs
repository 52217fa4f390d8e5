//! A client that sends as fast as it can leaves time for the others of its thread.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::fuzz::{House, frame};
use super::*;
use crate::config::Role;

/// Far more small frames than one turn answers; they fit into one read.
const PINGS: usize = 2_000;

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
    assert!(turns >= PINGS / FRAMES_IN_A_TURN_MAX as usize, "the other task had {turns} turns");
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
    // What is read, and what is in the pipe.
    assert!(flooded <= GOODBYE_BYTES_MAX + 4 * 4_096, "{flooded} bytes");
}
