//! One connection of the load: its handshake and its unanswered intents.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use castellan_srd::wire::{Ack, CharacterId, UserId};
use rand::RngExt;

use crate::errands::{Errands, Owned};
use crate::frame::{BINARY, FIRST_ID, Intents, PING, PONG, push_masked, take};
use crate::stream::{Stream, Trust};

/// Concurrent upgrades: far below a listener's backlog.
const CONNECT_AT_ONCE: usize = 100;

/// Connections per loopback address, below its number of ports.
const CONNECTIONS_PER_ADDRESS: usize = 5_000;

/// Time limit for the answer to an upgrade.
const PATIENCE: Duration = Duration::from_secs(30);

/// Largest upgrade answer, in bytes.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// The player of a connection.
#[derive(Debug, Clone)]
pub struct Player {
    /// The access token; empty for an echo.
    pub token: String,
    /// The player.
    pub user: UserId,
    /// The player's character.
    pub character: CharacterId,
}

/// The target of connections.
#[derive(Debug, Clone)]
pub struct Target {
    /// Its address.
    pub address: SocketAddr,
    /// Set for a server under TLS.
    pub trust: Option<Trust>,
    /// The loopback address of the connection with this number.
    pub source: fn(usize) -> Ipv4Addr,
    /// True for the server, which sends `welcome` first and readable answers; false for an echo.
    pub is_castellan: bool,
    /// The `ack` of all intents.
    pub ack: Option<Ack>,
}

/// As few loopback addresses as there are ports for.
///
/// # Panics
///
/// With more than a million connections.
pub fn few_addresses(number: usize) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 0, u8::try_from(2 + number / CONNECTIONS_PER_ADDRESS).expect("at most a million connections"))
}

/// The intents of a connection.
#[derive(Debug)]
pub(super) enum Sends {
    /// Intents for the player's own character, each based on the previous one.
    Own(Intents),
    /// Intents of a game server.
    Errands(Errands),
}

impl Sends {
    pub(super) fn payload_bytes(&self) -> usize {
        match self {
            Self::Own(intents) => intents.payload_bytes(),
            Self::Errands(errands) => errands.payload_bytes(),
        }
    }

    pub(super) fn push_first(&mut self, character: CharacterId, ack: Option<Ack>, out: &mut Vec<u8>) {
        match self {
            Self::Own(intents) => intents.push_first(character, ack, out),
            Self::Errands(errands) => errands.push_next(out),
        }
    }

    pub(super) fn push_next(&mut self, out: &mut Vec<u8>) {
        match self {
            Self::Own(intents) => intents.push_next(out),
            Self::Errands(errands) => errands.push_next(out),
        }
    }
}

/// An open connection.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) stream: Stream,
    pub(super) sends: Sends,
    /// True for a member of a crowd: it sends as fast as it is answered, and its answers are only counted.
    pub(super) is_crowd: bool,
    /// True if it broke in a round that goes on without it.
    pub(super) is_lost: bool,
    /// The id of the oldest unanswered intent.
    pub(crate) expected: u64,
    /// Due times of the intents from `expected` on, in nanoseconds since the start of the load; `None` for an intent
    /// that was answered early.
    pub(crate) stamps: VecDeque<Option<u64>>,
    /// The start of an incomplete frame.
    pub(crate) leftover: Vec<u8>,
    /// Bytes that the socket had no room for.
    pub(super) unsent: Vec<u8>,
}

impl Connection {
    /// Switches to a game server's intents for `targets`.
    pub(super) fn send_out(&mut self, targets: Arc<[Owned]>) -> Result<()> {
        self.sends = Sends::Errands(Errands::new(targets, self.expected)?);
        Ok(())
    }

    /// Appends the first intent, due at this time.
    pub(crate) fn push_first(&mut self, player: &Player, due: u64, out: &mut Vec<u8>) {
        self.sends.push_first(player.character, None, out);
        self.stamps.push_back(Some(due));
    }

    /// Appends the next intent, due at this time.
    pub(crate) fn push_next(&mut self, due: u64, out: &mut Vec<u8>) {
        self.sends.push_next(out);
        self.stamps.push_back(Some(due));
    }

    /// Marks an intent as answered and returns its due time.
    pub(crate) fn strike(&mut self, id: u64) -> Result<u64> {
        let place = id.checked_sub(self.expected).and_then(|place| usize::try_from(place).ok());
        let stamp = place.and_then(|place| self.stamps.get_mut(place)).and_then(Option::take);
        while let Some(None) = self.stamps.front() {
            self.stamps.pop_front();
            self.expected += 1;
        }
        stamp.context("got an answer to an intent that is not waiting for one")
    }

    /// Sends waiting bytes and `bytes`; returns true if some must still wait.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> Result<bool> {
        if !self.unsent.is_empty() {
            self.unsent.extend_from_slice(bytes);
            return self.send_unsent();
        }
        let written = write(&mut self.stream, bytes)?;
        self.unsent.extend_from_slice(&bytes[written..]);
        Ok(!self.unsent.is_empty() || self.stream.has_unsent()?)
    }

    /// Sends waiting bytes; returns true if some must still wait.
    pub(super) fn send_unsent(&mut self) -> Result<bool> {
        let written = write(&mut self.stream, &self.unsent)?;
        self.unsent.drain(..written);
        Ok(!self.unsent.is_empty() || self.stream.has_unsent()?)
    }

    /// Answers a ping.
    pub(crate) fn pong(&mut self, payload: &[u8]) -> Result<bool> {
        let mut frame = Vec::new();
        push_masked(PONG, payload, &mut frame);
        self.send(&frame)
    }

    /// Sends a frame and waits for the next message. Only for connections that no load drives yet.
    pub(crate) fn ask(&mut self, frame: &[u8]) -> Result<Vec<u8>> {
        self.stream.socket().set_nonblocking(false)?;
        self.stream.write_all(frame)?;
        let mut bytes = std::mem::take(&mut self.leftover);
        loop {
            let mut rest = bytes.as_slice();
            while let Some(heard) = take(&mut rest)? {
                if heard.operation == BINARY {
                    let payload = heard.payload.to_vec();
                    self.leftover = rest.to_vec();
                    return Ok(payload);
                }
            }
            let mut chunk = [0; 8 * 1024];
            let read = self.stream.read(&mut chunk).context("no answer to a frame")?;
            ensure!(read > 0, "the server closed a connection");
            bytes = [rest, &chunk[..read]].concat();
        }
    }

    fn open(target: &Target, number: usize, player: &Player) -> Result<Self> {
        let (address, source) = (target.address, (target.source)(number));
        let mut stream = Stream::open(source, address, target.trust.as_ref(), PATIENCE)?;
        let authorization = match player.token.as_str() {
            "" => String::new(),
            token => format!("Authorization: Bearer {token}\r\n"),
        };
        write!(
            stream,
            "GET /socket HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{authorization}\r\n"
        )?;
        let first = rand::rng().random_range(FIRST_ID..2 * FIRST_ID);
        Ok(Self {
            stream,
            sends: Sends::Own(Intents::new(player.character, first, target.ack)?),
            is_crowd: false,
            is_lost: false,
            expected: first,
            stamps: VecDeque::new(),
            leftover: Vec::new(),
            unsent: Vec::new(),
        })
    }

    /// Reads the answer to the upgrade and the server's `welcome`.
    fn enter(&mut self, welcome: bool) -> Result<()> {
        let mut bytes = Vec::new();
        loop {
            let mut chunk = [0; 2 * 1024];
            let read = self.stream.read(&mut chunk).context("no answer to an upgrade")?;
            ensure!(read > 0, "the server closed a connection: {}", String::from_utf8_lossy(&bytes));
            bytes.extend_from_slice(&chunk[..read]);
            let end = bytes.windows(4).position(|window| window == b"\r\n\r\n");
            let Some(end) = end else {
                ensure!(bytes.len() < HEAD_BYTES_MAX, "the answer to an upgrade exceeds {HEAD_BYTES_MAX} bytes");
                continue;
            };
            if !bytes.starts_with(b"HTTP/1.1 101 ") {
                bail!("the server refused an upgrade: {}", String::from_utf8_lossy(&bytes));
            }
            let mut rest = &bytes[end + 4..];
            if !welcome || take(&mut rest)?.is_some_and(|frame| frame.operation != PING) {
                self.leftover = rest.to_vec();
                return Ok(self.stream.socket().set_nonblocking(true)?);
            }
        }
    }
}

/// Opens a connection for each player.
pub(crate) fn connect(target: &Target, players: &[Player]) -> Result<Vec<Connection>> {
    let mut connections = Vec::with_capacity(players.len());
    for (chunk, players) in players.chunks(CONNECT_AT_ONCE).enumerate() {
        let begin = connections.len();
        for (index, player) in players.iter().enumerate() {
            let number = chunk * CONNECT_AT_ONCE + index;
            connections.push(Connection::open(target, number, player)?);
        }
        for connection in &mut connections[begin..] {
            connection.enter(target.is_castellan)?;
        }
    }
    Ok(connections)
}

fn write(stream: &mut Stream, bytes: &[u8]) -> Result<usize> {
    let mut written = 0;
    while written < bytes.len() {
        match stream.write(&bytes[written..]) {
            Ok(count) => written += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error).context("a connection broke"),
        }
    }
    Ok(written)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use uuid::Uuid;

    use super::*;

    #[test]
    fn answers_may_overtake_each_other_and_count_once() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let player = Player {
            token: String::new(),
            user: UserId::from_uuid(Uuid::from_u128(1)),
            character: CharacterId::from_uuid(Uuid::from_u128(1)),
        };
        let address = listener.local_addr().expect("an address");
        let target = Target { address, trust: None, source: few_addresses, is_castellan: true, ack: None };
        let mut connection = Connection::open(&target, 0, &player).expect("a connection");
        let first = connection.expected;
        connection.stamps.extend([Some(10), Some(20), Some(30)]);
        assert_eq!(connection.strike(first + 1).ok(), Some(20));
        assert_eq!((connection.expected, connection.stamps.len()), (first, 3));
        assert!(connection.strike(first + 1).is_err(), "answered twice");
        assert_eq!(connection.strike(first).ok(), Some(10));
        assert_eq!((connection.expected, connection.stamps.len()), (first + 2, 1));
        assert!(connection.strike(first).is_err() && connection.strike(first + 3).is_err());
        assert_eq!(connection.strike(first + 2).ok(), Some(30));
    }
}
