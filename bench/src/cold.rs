//! Cold loads: users whose characters a server loads from its database, per second.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use castellan_srd::wire::{Character, CharacterId, ClientFrame, Codec, Fetch, RequestId, ServerFrame};
use serde::Serialize;

use crate::errands::Owned;
use crate::frame::{BINARY, push_masked};
use crate::http::Http;
use crate::load::{Connection, Player, Target, connect, few_addresses, histogram};
use crate::players::{PASSWORD, log_in};
use crate::system::{Castellan, Program};

/// Connections per session: the most that the server allows.
const SOCKETS_PER_SESSION: usize = 4;

/// Sessions of the game server.
const SESSIONS: usize = 16;

/// The game server's account name.
pub const GAME: &str = "game-server";

/// The result of cold loads.
#[derive(Debug, Clone, Serialize)]
pub struct ColdLoads {
    /// Users loaded.
    pub users: usize,
    /// Users loaded per second.
    pub rate: f64,
    /// Median time from the request to the character's state, in milliseconds.
    pub p50_ms: f64,
    /// 99th percentile of the same.
    pub p99_ms: f64,
}

/// Lets a game server fetch every player's character once, over 64 connections with one request each.
///
/// The server must have just started, with none of them in memory.
///
/// # Errors
///
/// Any answer other than the requested character.
pub fn cold_loads(castellan: &Castellan, running: &Program, players: &[Player]) -> Result<ColdLoads> {
    castellan.make_game_account(GAME, PASSWORD)?;
    let owned: Vec<Owned> =
        players.iter().map(|player| Owned { user: player.user, character: player.character }).collect();
    fetch_all(running, &game_seats(running, SESSIONS * SOCKETS_PER_SESSION)?, &owned)
}

/// Seats for connections of the game server. Its account must exist.
///
/// # Errors
///
/// A refused login.
pub fn game_seats(running: &Program, connections: usize) -> Result<Vec<Player>> {
    let http = Http::new(running.address());
    let mut seats = Vec::new();
    while seats.len() < connections {
        let (token, user) = log_in(&http, GAME, PASSWORD, false)?;
        let seat = Player { token, user, character: CharacterId::from_uuid(user.uuid()) };
        seats.extend(std::iter::repeat_n(seat, SOCKETS_PER_SESSION.min(connections - seats.len())));
    }
    Ok(seats)
}

/// Lets the game server fetch each of `owned` once, one request at a time on each connection.
///
/// # Errors
///
/// Any answer other than the requested character.
pub fn fetch_all(running: &Program, seats: &[Player], owned: &[Owned]) -> Result<ColdLoads> {
    let target =
        Target { address: running.address(), trust: None, source: few_addresses, is_castellan: true, ack: None };
    let connections = connect(&target, seats)?;
    let next = AtomicUsize::new(0);
    let begin = Instant::now();
    let latencies = std::thread::scope(|scope| {
        let workers: Vec<_> =
            connections.into_iter().map(|connection| scope.spawn(|| fetch_some(connection, owned, &next))).collect();
        workers.into_iter().map(|worker| worker.join().expect("the thread does not panic")).collect::<Result<Vec<_>>>()
    })?;
    let time = begin.elapsed();
    let mut all = histogram();
    for latency in latencies.concat() {
        all.saturating_record(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX));
    }
    Ok(ColdLoads {
        users: owned.len(),
        rate: owned.len() as f64 / time.as_secs_f64(),
        p50_ms: all.value_at_quantile(0.5) as f64 / 1e6,
        p99_ms: all.value_at_quantile(0.99) as f64 / 1e6,
    })
}

fn fetch_some(mut connection: Connection, owned: &[Owned], next: &AtomicUsize) -> Result<Vec<Duration>> {
    let mut latencies = Vec::new();
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        let Some(Owned { user, character }) = owned.get(number).copied() else { return Ok(latencies) };
        let id = RequestId::new(number as u64 + 1);
        let fetch = ClientFrame::Fetch(Fetch { id, character, user: Some(user) });
        let (mut payload, mut frame) = (Vec::new(), Vec::new());
        Codec::MessagePack.encode(&fetch, &mut payload);
        push_masked(BINARY, &payload, &mut frame);
        let begin = Instant::now();
        let answer = connection.ask(&frame)?;
        latencies.push(begin.elapsed());
        match Codec::MessagePack.decode_server_frame::<Character>(&answer)? {
            Some(ServerFrame::State(state)) if state.id == Some(id) && state.character.id == character => {}
            other => bail!("expected a character, got {other:?}"),
        }
    }
}
