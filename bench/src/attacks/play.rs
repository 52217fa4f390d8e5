//! The players: open connections that send intents at fixed times and survive refusals and closed sockets.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read};
use std::time::{Duration, Instant};

use anyhow::Result;
use castellan_srd::wire::{Character, Codec, ServerFrame};
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};

use super::phases::{Moments, PHASES};
use super::times::{Stopwatch, Times};
use crate::frame::{APPLIED, BINARY, DURABLE, PING, take};
use crate::load::{Connection, Player, Schedule, nanoseconds};

/// Time between two intents of a player.
pub(super) const PERIOD: Duration = Duration::from_millis(200);

/// Time limit for the last answers.
const GRACE: Duration = Duration::from_secs(10);

/// Bytes read from a socket at once.
const READ_BYTES: usize = 64 * 1024;

/// Most sockets handled per call to the kernel.
const EVENTS_MAX: usize = 512;

/// What the players saw.
#[derive(Debug)]
pub(super) struct Played {
    /// Time from an intent's due time to its answer, by the phase of its due time. A failed one was refused or never
    /// answered.
    pub(super) answers: [Times; PHASES],
    /// The load's own lateness.
    pub(super) lateness: [Times; PHASES],
    /// Closed sockets and refusals, by reason.
    pub(super) troubles: BTreeMap<String, u64>,
}

/// The players' side of a game in progress.
struct Game {
    connections: Vec<Option<Connection>>,
    moments: Moments,
    answers: [Stopwatch; PHASES],
    lateness: [Stopwatch; PHASES],
    troubles: BTreeMap<String, u64>,
    began: Instant,
    unanswered: usize,
    buffer: Vec<u8>,
}

/// Plays from now until the last moment.
pub(super) fn play(connections: Vec<Connection>, players: &[Player], moments: Moments) -> Result<Played> {
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    for (index, connection) in connections.iter().enumerate() {
        let data = epoll::EventData::new_u64(index as u64);
        epoll::add(&epoll, connection.stream.socket(), data, epoll::EventFlags::IN)?;
    }
    let count = connections.len();
    let mut game = Game {
        connections: connections.into_iter().map(Some).collect(),
        moments,
        answers: [(); PHASES].map(|()| Stopwatch::new()),
        lateness: [(); PHASES].map(|()| Stopwatch::new()),
        troubles: BTreeMap::new(),
        began: Instant::now(),
        unanswered: 0,
        buffer: vec![0; READ_BYTES],
    };
    let mut schedule = Schedule::new(0, PERIOD, count);
    let mut frame = Vec::new();
    let mut has_begun = vec![false; count];
    loop {
        let now = game.began.elapsed();
        if game.began + now >= moments.last() + GRACE || (game.began + now >= moments.last() && game.unanswered == 0) {
            break;
        }
        let (due, index) = schedule.next();
        let due = Duration::from_nanos(due);
        let is_last = game.began + due >= moments.last();
        if due <= now && !is_last {
            schedule.advance();
            frame.clear();
            game.send(index, &players[index], due, &mut has_begun[index], &mut frame);
            continue;
        }
        let until = if is_last { GRACE / 100 } else { due - now };
        let wait = Timespec { tv_sec: i64::try_from(until.as_secs())?, tv_nsec: i64::from(until.subsec_nanos()) };
        let mut events = Vec::with_capacity(EVENTS_MAX);
        match epoll::wait(&epoll, spare_capacity(&mut events), Some(&wait)) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        }
        for event in events {
            game.hear(usize::try_from(event.data.u64())?);
        }
    }
    Ok(game.end())
}

impl Game {
    fn send(&mut self, index: usize, player: &Player, due: Duration, has_begun: &mut bool, frame: &mut Vec<u8>) {
        let phase = self.moments.at(self.began + due);
        let Some(connection) = &mut self.connections[index] else {
            // A player without a socket is one who waits.
            if let Some(phase) = phase {
                self.answers[phase].fail();
            }
            return;
        };
        if std::mem::replace(has_begun, true) {
            connection.push_next(nanoseconds(due), frame);
        } else {
            connection.push_first(player, nanoseconds(due), frame);
        }
        self.unanswered += 1;
        if let Some(phase) = phase {
            self.lateness[phase].record(self.began.elapsed().saturating_sub(due));
        }
        // Unsent bytes follow with the next intent.
        if let Err(error) = connection.send(frame) {
            self.lose(index, &format!("{error:#}"));
        }
    }

    /// Handles everything that has arrived on a connection.
    fn hear(&mut self, index: usize) {
        loop {
            let Some(connection) = &mut self.connections[index] else { return };
            let leftover = std::mem::take(&mut connection.leftover);
            self.buffer[..leftover.len()].copy_from_slice(&leftover);
            let read = match connection.stream.read(&mut self.buffer[leftover.len()..]) {
                Ok(0) => return self.lose(index, "closed without a reason"),
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    connection.leftover = leftover;
                    return;
                }
                Err(error) => return self.lose(index, &error.to_string()),
            };
            let now = self.began.elapsed();
            let buffer = std::mem::take(&mut self.buffer);
            let mut bytes = &buffer[..leftover.len() + read];
            let mut lost = None;
            while let Some(heard) = take(&mut bytes).unwrap_or_default() {
                let Some(connection) = &mut self.connections[index] else { break };
                if heard.operation == PING {
                    // A broken connection shows at the next read.
                    let _ = connection.pong(heard.payload);
                } else if heard.operation != BINARY {
                    lost = Some(format!("closed with {}", close_code(heard.payload)));
                    break;
                } else if heard.payload.starts_with(APPLIED) {
                    self.answered(index, now, true);
                } else if !heard.payload.starts_with(DURABLE) {
                    let trouble = trouble(heard.payload);
                    let is_answer = trouble != CLOSING;
                    *self.troubles.entry(trouble).or_default() += 1;
                    if is_answer {
                        self.answered(index, now, false);
                    }
                }
            }
            if let Some(connection) = &mut self.connections[index] {
                connection.leftover = bytes.to_vec();
            }
            self.buffer = buffer;
            if let Some(reason) = lost {
                return self.lose(index, &reason);
            }
        }
    }

    fn answered(&mut self, index: usize, now: Duration, is_applied: bool) {
        let Some(connection) = &mut self.connections[index] else { return };
        let Ok(due) = connection.strike(connection.expected) else { return };
        self.unanswered -= 1;
        let due = Duration::from_nanos(due);
        if let Some(phase) = self.moments.at(self.began + due) {
            match is_applied {
                true => self.answers[phase].record(now.saturating_sub(due)),
                false => self.answers[phase].fail(),
            }
        }
    }

    fn lose(&mut self, index: usize, reason: &str) {
        let Some(connection) = self.connections[index].take() else { return };
        *self.troubles.entry(reason.to_owned()).or_default() += 1;
        self.give_up(&connection);
    }

    /// Counts the intents that nobody will answer.
    fn give_up(&mut self, connection: &Connection) {
        for due in connection.stamps.iter().copied().flatten() {
            self.unanswered -= 1;
            if let Some(phase) = self.moments.at(self.began + Duration::from_nanos(due)) {
                self.answers[phase].fail();
            }
        }
    }

    fn end(mut self) -> Played {
        for connection in std::mem::take(&mut self.connections).into_iter().flatten() {
            self.give_up(&connection);
        }
        Played {
            answers: self.answers.map(|watch| watch.times()),
            lateness: self.lateness.map(|watch| watch.times()),
            troubles: self.troubles,
        }
    }
}

/// The trouble that a `closing` frame means. It answers no intent.
const CLOSING: &str = "closing";

/// Describes a frame other than `applied`.
fn trouble(payload: &[u8]) -> String {
    match Codec::MessagePack.decode_server_frame::<Character>(payload) {
        Ok(Some(ServerFrame::Rejected(rejected))) => format!("rejected {:?}", rejected.code),
        Ok(Some(ServerFrame::Conflict(_))) => "conflict".to_owned(),
        Ok(Some(ServerFrame::Closing(_))) => CLOSING.to_owned(),
        _ => "an unexpected frame".to_owned(),
    }
}

/// The code of a close frame; 1005 stands for none, as in RFC 6455, section 7.1.5.
pub(super) fn close_code(payload: &[u8]) -> u16 {
    payload.first_chunk().map_or(1005, |code| u16::from_be_bytes(*code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_close_frame_tells_its_code() {
        assert_eq!(close_code(b"\x11\x34rate"), 4404);
        assert_eq!(close_code(b""), 1005);
    }
}
