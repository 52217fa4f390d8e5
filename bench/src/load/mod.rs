//! The load: one thread, hand-written WebSocket frames over nonblocking sockets, every answer inspected.
//!
//! A round is closed (a fixed number of intents in flight on each connection) or open (intents are due at fixed times,
//! and latency counts from the due time, even if the load is late).

mod connection;
mod play;
mod schedule;
mod tally;

use std::io::{ErrorKind, Read};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use castellan_srd::wire::{Character, Codec, RequestId, ServerFrame};
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};

use self::connection::Sends;
pub(crate) use self::connection::{Connection, connect};
pub use self::connection::{Player, Target, few_addresses};
pub(crate) use self::play::{Answer, Played};
pub(crate) use self::schedule::{Schedule, nanoseconds};
pub use self::tally::{Tally, histogram};
use crate::errands::{Owned, answered_id};
use crate::frame::{APPLIED, BINARY, DURABLE, PING, take};
use crate::machine::thread_time;

/// Bytes read from a socket at once: a whole batch of answers.
const READ_BYTES: usize = 256 * 1024;

/// Most sockets handled per call to the kernel.
const EVENTS_MAX: usize = 1_024;

/// One of this many answers is fully decoded and compared with its intent.
const EXAMINE_EVERY: u64 = 1_009;

/// Time limit for the last answers after a round.
const GRACE: Duration = Duration::from_secs(20);

/// The pace of a round.
#[derive(Debug, Clone, Copy)]
pub enum Pace {
    /// This many intents unanswered on each connection.
    Closed(usize),
    /// One intent per connection in this time.
    Open(Duration),
}

/// Connections of a game server.
#[derive(Debug, Clone, Copy)]
pub struct GameServer<'a> {
    /// The targets of each connection.
    pub targets: &'a [Arc<[Owned]>],
    /// Number of connections, at the end, that form a crowd: each sends as fast as it is answered.
    pub crowd: usize,
}

/// Connections and their event loop.
pub struct Load {
    target: Target,
    epoll: OwnedFd,
    connections: Vec<Connection>,
    players: Vec<Player>,
    buffer: Vec<u8>,
    out: Vec<u8>,
    began: Instant,
    answers_ever: u64,
}

/// A running round. Times are in nanoseconds since the start of the load.
struct Round {
    from: u64,
    until: u64,
    /// True if each answer triggers the next intent.
    refills: bool,
    unanswered: usize,
    tally: Tally,
    /// Set if every answer is noted, and a lost connection does not end the round.
    played: Option<Played>,
}

impl Load {
    /// Opens a connection for each player.
    ///
    /// # Errors
    ///
    /// A refused connection.
    pub fn connect(target: Target, players: &[Player]) -> Result<Self> {
        let connections = connect(&target, players)?;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        for (index, connection) in connections.iter().enumerate() {
            epoll::add(&epoll, connection.stream.socket(), epoll::EventData::new_u64(index as u64), READABLE)?;
        }
        Ok(Self {
            target,
            epoll,
            connections,
            players: players.to_vec(),
            buffer: vec![0; READ_BYTES],
            out: Vec::new(),
            began: Instant::now(),
            answers_ever: 0,
        })
    }

    /// Bytes of an intent, without the frame's header.
    pub fn intent_bytes(&self) -> usize {
        self.connections.first().map_or(0, |connection| connection.sends.payload_bytes())
    }

    /// Turns the connections into those of a game server.
    ///
    /// # Errors
    ///
    /// Fails without targets for each connection.
    pub fn send_out(&mut self, game: GameServer<'_>) -> Result<()> {
        ensure!(game.targets.len() == self.connections.len(), "each connection needs targets");
        let paced = self.connections.len() - game.crowd;
        for (index, (connection, targets)) in self.connections.iter_mut().zip(game.targets).enumerate() {
            connection.send_out(Arc::clone(targets))?;
            connection.is_crowd = index >= paced;
        }
        Ok(())
    }

    /// Runs a round: `warm_up` first, which does not count, then `time`.
    ///
    /// # Errors
    ///
    /// A lost connection, an answer other than `applied`, or a missing answer.
    pub fn run(&mut self, pace: Pace, warm_up: Duration, time: Duration) -> Result<Tally> {
        let from = self.now() + nanoseconds(warm_up);
        let until = from + nanoseconds(time);
        let refills = matches!(pace, Pace::Closed(_));
        let mut round = Round { from, until, refills, unanswered: 0, tally: Tally::new(time), played: None };
        match pace {
            Pace::Closed(in_flight) => self.fill(&mut round, in_flight)?,
            Pace::Open(_) => self.fill(&mut round, 1)?,
        }
        let mut schedule = match pace {
            Pace::Closed(_) => None,
            Pace::Open(period) => Some(Schedule::new(self.now(), period, self.paced())),
        };
        let mut load_time = None;
        loop {
            let now = self.now();
            if now >= from && load_time.is_none() {
                load_time = Some(thread_time());
            }
            if now >= until {
                break;
            }
            let mut wake_at = if now < from { from } else { until };
            if let Some(schedule) = &mut schedule {
                wake_at = wake_at.min(self.send_due(schedule, &mut round)?);
            }
            self.hear_all(&mut round, wake_at)?;
        }
        round.tally.load_time = thread_time().saturating_sub(load_time.unwrap_or_default());
        self.finish(&mut round)?;
        Ok(round.tally)
    }

    /// Keeps the connections idle; only answers pings.
    pub fn idle(&mut self, time: Duration) -> Result<()> {
        let until = self.now() + nanoseconds(time);
        let tally = Tally::new(time);
        let mut round = Round { from: until, until, refills: false, unanswered: 0, tally, played: None };
        while self.now() < until {
            self.hear_all(&mut round, until)?;
        }
        Ok(())
    }

    /// Sends the first intents: one based on any state, the others based on it.
    fn fill(&mut self, round: &mut Round, in_flight: usize) -> Result<()> {
        for index in 0..self.connections.len() {
            let now = self.now();
            let (connection, player) = (&mut self.connections[index], &self.players[index]);
            self.out.clear();
            connection.sends.push_first(player.character, self.target.ack, &mut self.out);
            for _ in 1..in_flight {
                connection.sends.push_next(&mut self.out);
            }
            connection.stamps.extend(std::iter::repeat_n(Some(now), in_flight));
            round.unanswered += in_flight;
            ensure!(!connection.send(&self.out)?, "a new connection accepts no data");
            // Handles answers meanwhile, so that no buffer fills up.
            self.hear_all(round, now)?;
        }
        Ok(())
    }

    /// Sends all due intents and returns the next due time.
    fn send_due(&mut self, schedule: &mut Schedule, round: &mut Round) -> Result<u64> {
        loop {
            let (now, (due, index)) = (self.now(), schedule.next());
            if due > now || due >= round.until {
                return Ok(due);
            }
            schedule.advance();
            let connection = &mut self.connections[index];
            if connection.is_lost {
                continue;
            }
            self.out.clear();
            connection.sends.push_next(&mut self.out);
            connection.stamps.push_back(Some(due));
            round.unanswered += 1;
            if due >= round.from {
                round.tally.lateness.saturating_record((now - due).max(1));
            }
            match connection.send(&self.out) {
                Ok(true) => self.await_room(index)?,
                Ok(false) => {}
                Err(error) => self.lose(index, round, error)?,
            }
        }
    }

    /// Waits for answers until `wake_at` and handles them.
    fn hear_all(&mut self, round: &mut Round, wake_at: u64) -> Result<()> {
        let wait = Duration::from_nanos(wake_at.saturating_sub(self.now()));
        let wait = Timespec { tv_sec: i64::try_from(wait.as_secs())?, tv_nsec: i64::from(wait.subsec_nanos()) };
        let mut events = Vec::with_capacity(EVENTS_MAX);
        match epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&wait)) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        for event in events {
            let index = usize::try_from(event.data.u64())?;
            let flags = event.flags;
            if flags.contains(epoll::EventFlags::OUT) && !self.connections[index].send_unsent()? {
                let connection = &self.connections[index];
                epoll::modify(
                    &self.epoll,
                    connection.stream.socket(),
                    epoll::EventData::new_u64(index as u64),
                    READABLE,
                )?;
            }
            if let Err(error) = self.hear(index, round) {
                self.lose(index, round, error)?;
            }
        }
        Ok(())
    }

    /// Handles the answers on one connection and sends the next intents.
    fn hear(&mut self, index: usize, round: &mut Round) -> Result<()> {
        loop {
            let connection = &mut self.connections[index];
            let leftover = connection.leftover.len();
            self.buffer[..leftover].copy_from_slice(&connection.leftover);
            let read = match connection.stream.read(&mut self.buffer[leftover..]) {
                Ok(0) => bail!("the server closed a connection"),
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error).context("a connection broke"),
            };
            let now = nanoseconds(self.began.elapsed());
            let mut bytes = &self.buffer[..leftover + read];
            let mut answers = 0;
            while let Some(frame) = take(&mut bytes)? {
                if frame.operation == BINARY && frame.payload.starts_with(APPLIED) {
                    answers += 1;
                    self.answers_ever += 1;
                    let id = round.answered(connection, index, frame.payload, now)?;
                    if self.target.is_castellan && self.answers_ever.is_multiple_of(EXAMINE_EVERY) {
                        examine(frame.payload, id, matches!(connection.sends, Sends::Own(_)))?;
                    }
                } else if frame.operation == BINARY && frame.payload.starts_with(DURABLE) {
                    round.tally.notices += u64::from(now >= round.from);
                } else if frame.operation == PING {
                    connection.pong(frame.payload)?;
                } else {
                    bail!("expected an answer, got {}", describe(frame.operation, frame.payload));
                }
            }
            connection.leftover.clear();
            connection.leftover.extend_from_slice(bytes);
            let is_drained = connection.stream.reads_all_at_once() && leftover + read < self.buffer.len();
            if (round.refills || connection.is_crowd) && now < round.until && answers > 0 {
                self.out.clear();
                for _ in 0..answers {
                    connection.sends.push_next(&mut self.out);
                    connection.stamps.push_back(Some(now));
                }
                round.unanswered += answers;
                if connection.send(&self.out)? {
                    self.await_room(index)?;
                }
            }
            if is_drained {
                return Ok(());
            }
        }
    }

    /// Waits for outstanding answers.
    fn finish(&mut self, round: &mut Round) -> Result<()> {
        let deadline = self.now() + nanoseconds(GRACE);
        while round.unanswered > 0 {
            ensure!(self.now() < deadline, "{} intents were not answered within {GRACE:?}", round.unanswered);
            self.hear_all(round, deadline)?;
        }
        Ok(())
    }

    fn await_room(&mut self, index: usize) -> Result<()> {
        let (connection, data) = (&self.connections[index], epoll::EventData::new_u64(index as u64));
        Ok(epoll::modify(&self.epoll, connection.stream.socket(), data, READABLE | epoll::EventFlags::OUT)?)
    }

    /// Number of connections with the round's pace. They come before the crowd.
    fn paced(&self) -> usize {
        self.connections.partition_point(|connection| !connection.is_crowd)
    }

    fn now(&self) -> u64 {
        nanoseconds(self.began.elapsed())
    }
}

/// Edge-triggered: reported once when data arrives.
const READABLE: epoll::EventFlags = epoll::EventFlags::IN.union(epoll::EventFlags::ET);

impl Round {
    /// Counts an answer and returns the id of its intent.
    fn answered(&mut self, connection: &mut Connection, index: usize, payload: &[u8], now: u64) -> Result<u64> {
        let id = match connection.sends {
            Sends::Own(_) => connection.expected,
            Sends::Errands(_) => answered_id(payload)?,
        };
        let stamp = connection.strike(id)?;
        self.unanswered = self.unanswered.saturating_sub(1);
        if let Some(played) = &mut self.played {
            played.answers.push(Answer { connection: index, due: stamp, at: now });
        }
        if !(self.from..self.until).contains(&stamp) {
            return Ok(id);
        }
        if connection.is_crowd {
            self.tally.crowd_answers += 1;
        } else {
            self.tally.answers += 1;
            self.tally.answer_bytes += payload.len() as u64;
            self.tally.latency.saturating_record((now - stamp).max(1));
        }
        Ok(id)
    }
}

/// Fully decodes an answer and checks that it belongs to the intent with this id. If no other connection acts on the
/// character (`is_alone`), the ids in its states must grow.
fn examine(payload: &[u8], id: u64, is_alone: bool) -> Result<()> {
    let frame = Codec::MessagePack.decode_server_frame::<Character>(payload)?;
    let Some(ServerFrame::Applied(applied)) = frame else {
        bail!("an answer that begins like `applied` cannot be decoded as one")
    };
    let id = RequestId::new(id);
    ensure!(applied.id == id && !applied.duplicate, "expected the answer to {id:?}, got the one to {:?}", applied.id);
    ensure!(!is_alone || applied.character.last >= id, "an answer shows a state older than its intent");
    Ok(())
}

fn describe(operation: u8, payload: &[u8]) -> String {
    match Codec::MessagePack.decode_server_frame::<Character>(payload) {
        Ok(Some(frame)) if operation == BINARY => format!("{frame:?}"),
        _ => format!("operation {operation}, {}", String::from_utf8_lossy(payload)),
    }
}
