//! Gifts and trades between pairs of players: how many a second, and how long until both sides are durable.
//!
//! In each pair one player gives a gold piece, or offers it for a silver piece, which the other accepts. Both watch their
//! characters. A deal ends when both have their goods and have heard that this is in the database.

mod figures;

use std::io::{ErrorKind, Read};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use castellan_srd::wire::{
    Accept, Action, Character, CharacterId, ClientFrame, Codec, Coin, Give, Goods, Intent, ModifyCurrency, Offer,
    RequestId, ServerFrame, Version, Watch,
};
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};

pub use self::figures::{Kind, Traded, Trades};
use crate::failures::Failures;
use crate::frame::{BINARY, PING, push_masked, take};
use crate::load::{Connection, Player, Target, connect, few_addresses, histogram, nanoseconds};
use crate::machine::{pin_this_thread, process_time, raise_open_files};
use crate::players::make;
use crate::settings::RunSettings;
use crate::system::{Castellan, Database};

/// Pairs that trade at the same time.
const PAIRS: [usize; 3] = [16, 128, 512];

/// Trades due per second, beside a third of the highest rate.
const DUE_PER_SECOND: f64 = 1_000.0;

/// Open files in addition to the players' sockets.
const OTHER_FILES: u64 = 1_000;

/// Coins of each kind that everybody begins with.
const COINS: i64 = 1_000_000_000;

/// Most sockets handled per call to the kernel.
const EVENTS_MAX: usize = 1_024;

/// Bytes read from a socket at once.
const READ_BYTES: usize = 64 * 1024;

/// Time limit for the trades that are under way at the end of a round.
const GRACE: Duration = Duration::from_secs(20);

/// Runs the part: as fast as possible, then at a third of the best rate, then at a fixed one.
///
/// # Errors
///
/// A server that does not start. A failed load is only recorded in `failures`.
pub fn trade(settings: &RunSettings, failures: &mut Failures) -> Result<Trades> {
    let most = PAIRS.into_iter().max().unwrap_or_default().min(settings.players / 2);
    raise_open_files(2 * most as u64 + OTHER_FILES)?;
    let (database, name) = match &settings.postgres {
        Some(url) => (Database::Postgres(url.clone()), "PostgreSQL"),
        None => (Database::Sqlite, "SQLite"),
    };
    let castellan = Castellan::new(&settings.server, database, &settings.place, settings.cores.server)?;
    let mut running = castellan.start_with(&["--deals-per-minute", "1000000"])?;
    let players = make(running.address(), 2 * most)?;
    let target =
        Target { address: running.address(), trust: None, source: few_addresses, is_castellan: true, ack: None };
    pin_this_thread(settings.cores.load)?;
    let mut loads: Vec<Traded> = Vec::new();
    for kind in [Kind::Gift, Kind::Trade] {
        let mut best: Option<Traded> = None;
        for pairs in PAIRS.into_iter().filter(|pairs| *pairs <= most) {
            let traded = load(settings, &target, running.process(), &players[..2 * pairs], kind, None);
            let traded = failures.keep(&format!("{} of {pairs} pairs", kind.name()), traded);
            best = best.into_iter().chain(traded.clone()).max_by(|one, other| one.rate.total_cmp(&other.rate));
            loads.extend(traded);
        }
        let Some(Traded { rate, pairs, .. }) = best else { continue };
        for due in [rate / 3.0, DUE_PER_SECOND].into_iter().filter(|due| *due < rate) {
            let traded = load(settings, &target, running.process(), &players[..2 * pairs], kind, Some(due));
            loads.extend(failures.keep(&format!("{} at a fixed rate", kind.name()), traded));
        }
    }
    running.end()?;
    Ok(Trades { database: name, loads })
}

fn load(
    settings: &RunSettings,
    target: &Target,
    process: u32,
    players: &[Player],
    kind: Kind,
    due: Option<f64>,
) -> Result<Traded> {
    let mut fair = Fair::open(target, players, kind)?;
    fair.prepare()?;
    let period = due.map(|rate| Duration::from_secs_f64(fair.pairs.len() as f64 / rate));
    let traded = fair.run(process, period, settings.warm_up, settings.time)?;
    let traded = Traded { due, ..traded };
    eprintln!("{}", traded.line());
    Ok(traded)
}

/// The event that a pair waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Its next trade is due at this time, in nanoseconds since the start.
    Waits(u64),
    /// The answer to the offer.
    Offers,
    /// The end of the trade.
    Trades,
}

/// Two players.
struct Pair {
    stage: Stage,
    began: u64,
    /// Silver that the offering side had before, or gold that the receiver of a gift had.
    had: i64,
    /// The version in which the present gift was given.
    given: Option<Version>,
    /// The first version with the goods, of each side.
    done: [Option<Version>; 2],
    durable: [Version; 2],
}

/// Connections of pairs: those with an even number offer, the next one accepts.
struct Fair {
    kind: Kind,
    connections: Vec<Connection>,
    characters: Vec<CharacterId>,
    pairs: Vec<Pair>,
    epoll: OwnedFd,
    next_id: u64,
    began: Instant,
    buffer: Vec<u8>,
}

impl Fair {
    fn open(target: &Target, players: &[Player], kind: Kind) -> Result<Self> {
        let connections = connect(target, players)?;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        for (index, connection) in connections.iter().enumerate() {
            epoll::add(
                &epoll,
                connection.stream.socket(),
                epoll::EventData::new_u64(index as u64),
                epoll::EventFlags::IN,
            )?;
        }
        let pair = || Pair {
            stage: Stage::Waits(0),
            began: 0,
            had: COINS,
            given: None,
            done: [None; 2],
            durable: [Version::new(0); 2],
        };
        Ok(Self {
            kind,
            connections,
            characters: players.iter().map(|player| player.character).collect(),
            pairs: (0..players.len() / 2).map(|_| pair()).collect(),
            epoll,
            // Later loads use other ids for the same characters.
            next_id: nanoseconds(Instant::now().elapsed()) + u64::from(rand::random::<u32>()) * 1_000_000,
            began: Instant::now(),
            buffer: vec![0; READ_BYTES],
        })
    }

    fn now(&self) -> u64 {
        nanoseconds(self.began.elapsed())
    }

    /// Gives everybody coins, and watches.
    fn prepare(&mut self) -> Result<()> {
        for index in 0..self.connections.len() {
            let coins = |had: i64| (had < COINS).then_some(COINS - had);
            let character = self.characters[index];
            let id = self.id();
            self.send(index, &ClientFrame::Watch(Watch { id, character, user: None }))?;
            let state = self.ask(index, id)?;
            let coins = ModifyCurrency {
                cp: None,
                sp: coins(state.currency.sp),
                ep: None,
                gp: coins(state.currency.gp),
                pp: None,
            };
            let state = if coins.sp.is_some() || coins.gp.is_some() {
                let id = self.act(index, Action::ModifyCurrency(coins))?;
                self.ask(index, id)?
            } else {
                state
            };
            match (self.kind, index % 2) {
                (Kind::Trade, 0) => self.pairs[index / 2].had = state.currency.sp,
                (Kind::Gift, 1) => self.pairs[index / 2].had = state.currency.gp,
                _ => {}
            }
        }
        Ok(())
    }

    fn id(&mut self) -> RequestId {
        self.next_id += 1;
        RequestId::new(self.next_id)
    }

    fn send(&mut self, index: usize, frame: &ClientFrame) -> Result<()> {
        let (mut payload, mut bytes) = (Vec::new(), Vec::new());
        Codec::MessagePack.encode(frame, &mut payload);
        push_masked(BINARY, &payload, &mut bytes);
        ensure!(!self.connections[index].send(&bytes)?, "a connection accepts no data");
        Ok(())
    }

    fn act(&mut self, index: usize, action: Action) -> Result<RequestId> {
        let id = self.id();
        let intent = Intent {
            id,
            character: self.characters[index],
            after: None,
            expect: Some(Version::new(0)),
            action,
            ack: None,
            traceparent: None,
            user: None,
        };
        self.send(index, &ClientFrame::Intent(intent))?;
        Ok(id)
    }

    /// Waits for the answer to a request that shows a state.
    fn ask(&mut self, index: usize, id: RequestId) -> Result<Character> {
        let deadline = Instant::now() + GRACE;
        while Instant::now() < deadline {
            for frame in self.read(index)? {
                match frame {
                    ServerFrame::Applied(applied) if applied.id == id => return Ok(applied.character),
                    ServerFrame::State(state) if state.id == Some(id) => return Ok(state.character),
                    ServerFrame::Rejected(rejected) => bail!("rejected: {}", rejected.message),
                    _ => {}
                }
            }
        }
        bail!("no answer within {GRACE:?}")
    }

    /// The frames that have arrived on a connection.
    fn read(&mut self, index: usize) -> Result<Vec<ServerFrame<Character>>> {
        let mut frames = Vec::new();
        let connection = &mut self.connections[index];
        loop {
            let leftover = connection.leftover.len();
            self.buffer[..leftover].copy_from_slice(&connection.leftover);
            let read = match connection.stream.read(&mut self.buffer[leftover..]) {
                Ok(0) => bail!("the server closed a connection"),
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(frames),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error).context("a connection broke"),
            };
            let mut bytes = &self.buffer[..leftover + read];
            while let Some(frame) = take(&mut bytes)? {
                if frame.operation == PING {
                    connection.pong(frame.payload)?;
                } else if frame.operation == BINARY {
                    frames.extend(Codec::MessagePack.decode_server_frame::<Character>(frame.payload)?);
                } else {
                    bail!("the server sent operation {}", frame.operation);
                }
            }
            connection.leftover.clear();
            connection.leftover.extend_from_slice(bytes);
        }
    }

    /// Trades for `warm_up`, which does not count, then for `time`.
    fn run(&mut self, process: u32, period: Option<Duration>, warm_up: Duration, time: Duration) -> Result<Traded> {
        let start = self.now();
        let from = start + nanoseconds(warm_up);
        let until = from + nanoseconds(time);
        let deadline = until + nanoseconds(GRACE);
        let period = period.map(nanoseconds);
        let count = self.pairs.len() as u64;
        for (index, pair) in self.pairs.iter_mut().enumerate() {
            pair.stage = Stage::Waits(start + period.map_or(0, |period| period * index as u64 / count));
        }
        let mut latency = histogram();
        let (mut done, mut cpu) = (0_u64, None);
        loop {
            let now = self.now();
            if now >= from && cpu.is_none() {
                cpu = Some(process_time(process)?);
            }
            if now >= until {
                break;
            }
            let mut wake_at = if now < from { from } else { until };
            for index in 0..self.pairs.len() {
                if let Stage::Waits(due) = self.pairs[index].stage {
                    if due <= now {
                        self.begin(index, due)?;
                    } else {
                        wake_at = wake_at.min(due);
                    }
                }
            }
            for index in self.ready(wake_at)? {
                self.hear(index, &mut |began, ended| {
                    if began >= from && ended < until {
                        latency.saturating_record((ended - began).max(1));
                    }
                    done += u64::from((from..until).contains(&ended));
                    period.map_or(ended, |period| began + period)
                })?;
            }
        }
        let used = process_time(process)?.saturating_sub(cpu.unwrap_or_default());
        while self.pairs.iter().any(|pair| !matches!(pair.stage, Stage::Waits(_))) {
            ensure!(self.now() < deadline, "trades did not end within {GRACE:?}");
            for index in self.ready(deadline)? {
                self.hear(index, &mut |_, _| u64::MAX)?;
            }
        }
        Ok(Traded::of(self.kind, self.pairs.len(), done, time, used, &latency))
    }

    fn begin(&mut self, pair: usize, due: u64) -> Result<()> {
        let (gives, to) = (one(Coin::Gold), self.characters[2 * pair + 1]);
        let (stage, action) = match self.kind {
            Kind::Gift => (Stage::Trades, Action::Give(Give { to, goods: gives })),
            Kind::Trade => {
                let wants = one(Coin::Silver);
                (Stage::Offers, Action::Offer(Offer { to: Some(to), gives, wants, seconds: 60 }))
            }
        };
        (self.pairs[pair].stage, self.pairs[pair].began) = (stage, due.max(1));
        (self.pairs[pair].done, self.pairs[pair].given) = ([None; 2], None);
        self.act(2 * pair, action)?;
        Ok(())
    }

    /// The connections on which something has arrived.
    fn ready(&self, wake_at: u64) -> Result<Vec<usize>> {
        let wait = Duration::from_nanos(wake_at.saturating_sub(self.now()));
        let wait = Timespec { tv_sec: i64::try_from(wait.as_secs())?, tv_nsec: i64::from(wait.subsec_nanos()) };
        let mut events = Vec::with_capacity(EVENTS_MAX);
        match epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&wait)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        events.into_iter().map(|event| Ok(usize::try_from(event.data.u64())?)).collect()
    }

    /// Handles what has arrived. `ended` hears when a trade began and ended, and says when the next one is due.
    fn hear(&mut self, index: usize, ended: &mut impl FnMut(u64, u64) -> u64) -> Result<()> {
        let (pair, side) = (index / 2, index % 2);
        for frame in self.read(index)? {
            match frame {
                ServerFrame::Applied(applied) if side == 0 && self.pairs[pair].stage == Stage::Offers => {
                    let offer = applied.character.offers.last().context("an answer to an offer shows none")?.number;
                    let (from, offer) = (self.characters[index], i64::try_from(offer)?);
                    self.pairs[pair].stage = Stage::Trades;
                    let (gives, gets) = (one(Coin::Silver), one(Coin::Gold));
                    self.act(index + 1, Action::Accept(Accept { from, offer, gives, gets }))?;
                }
                ServerFrame::Applied(applied) if side == 0 && self.kind == Kind::Gift => {
                    self.pairs[pair].given = Some(applied.character.version);
                }
                ServerFrame::Applied(_) => {}
                ServerFrame::State(state) if self.pairs[pair].stage == Stage::Trades => {
                    let (shown, pair) = (&state.character, &mut self.pairs[pair]);
                    let has_ended = match (self.kind, side) {
                        (Kind::Trade, 0) => shown.offers.is_empty(),
                        (Kind::Gift, 0) => {
                            pair.given.is_some_and(|given| given < shown.version) && shown.parcels.is_empty()
                        }
                        (Kind::Trade, _) => shown.parcels.is_empty(),
                        (Kind::Gift, _) => shown.currency.gp > pair.had,
                    };
                    if has_ended && pair.done[side].is_none() {
                        pair.done[side] = Some(shown.version);
                        match (self.kind, side) {
                            (Kind::Trade, 0) => {
                                ensure!(shown.currency.sp == pair.had + 1, "an offer came to nothing");
                                pair.had = shown.currency.sp;
                            }
                            (Kind::Gift, 1) => {
                                ensure!(shown.currency.gp == pair.had + 1, "a gift came twice");
                                pair.had = shown.currency.gp;
                            }
                            _ => {}
                        }
                    }
                }
                ServerFrame::Durable(durable) => {
                    let version = durable.versions.get(&self.characters[index]);
                    self.pairs[pair].durable[side] = version.copied().unwrap_or(self.pairs[pair].durable[side]);
                }
                ServerFrame::Rejected(rejected) => bail!("rejected: {}", rejected.message),
                _ => {}
            }
        }
        let now = self.now();
        let pair = &mut self.pairs[pair];
        let is_durable = |side: usize| pair.done[side].is_some_and(|version| version <= pair.durable[side]);
        if pair.stage == Stage::Trades && is_durable(0) && is_durable(1) {
            pair.stage = Stage::Waits(ended(pair.began, now));
        }
        Ok(())
    }
}

fn one(coin: Coin) -> Goods {
    Goods { currency: [(coin, 1)].into(), ..Goods::default() }
}
