//! One round of one system, with the usage of both cores.

#![expect(clippy::disallowed_methods, reason = "a round lasts for a fixed time")]

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::Serialize;

use crate::load::{GameServer, Load, Pace, Player, Tally, Target};
use crate::machine::{CoreTime, come_first, make_timers_exact, pin_this_thread, process_time};
use crate::number::thousands;

/// Busy share above which a core is at its limit.
const AT_THE_LIMIT: f64 = 0.97;

/// Busy share below which a core is idle.
const AT_REST: f64 = 0.15;

/// Time limit for a core to become idle before a round.
const REST_PATIENCE: Duration = Duration::from_secs(10);

/// The two cores.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Cores {
    /// Runs only the measured system.
    pub server: usize,
    /// Runs the load.
    pub load: usize,
    /// True if other programs may run on both: rounds then do not wait for idle cores, and the figures say little.
    pub are_shared: bool,
}

/// The settings of a round.
#[derive(Debug, Clone)]
pub struct RoundSettings<'a> {
    /// The system.
    pub target: Target,
    /// Its processes.
    pub processes: Vec<u32>,
    /// The players, one connection each.
    pub players: &'a [Player],
    /// The pace of the intents.
    pub pace: Pace,
    /// Set if the connections belong to a game server; otherwise each belongs to a player with one character.
    pub game: Option<GameServer<'a>>,
    /// Warm-up, which does not count.
    pub warm_up: Duration,
    /// Measured time.
    pub time: Duration,
}

/// The result of a round.
#[derive(Debug, Clone, Serialize)]
pub struct Measured {
    /// Answers per second.
    pub rate: f64,
    /// Answers to the crowd per second, in addition.
    pub crowd_rate: f64,
    /// Median latency, in milliseconds.
    pub p50_ms: f64,
    /// 99th percentile of the latency, in milliseconds.
    pub p99_ms: f64,
    /// 99.9th percentile of the latency, in milliseconds.
    pub p999_ms: f64,
    /// 99th percentile of the load's own lateness, in milliseconds; 0 in closed rounds.
    pub lateness_p99_ms: f64,
    /// Processor time of the system, as a share of one core.
    pub server_cpu: f64,
    /// The same of each of its processes.
    pub cpu_of_each: Vec<f64>,
    /// Processor time of the load, as a share of one core.
    pub load_cpu: f64,
    /// Busy share of the server's core, from any program.
    pub server_core: f64,
    /// Busy share of the load's core, from any program.
    pub load_core: f64,
    /// Bytes of an intent, without the frame's header.
    pub intent_bytes: usize,
    /// Bytes of an answer, without the frame's header.
    pub answer_bytes: f64,
    /// `durable` frames per second, in addition to the answers.
    pub notices: f64,
}

impl Measured {
    /// Returns true if only the load's core was at its limit: the figures then say nothing about the server.
    pub fn is_of_the_load(&self) -> bool {
        self.load_core.max(self.load_cpu) >= AT_THE_LIMIT && self.server_core < AT_THE_LIMIT
    }

    /// Processor time of the system per answer, in microseconds.
    pub fn cpu_us_an_answer(&self) -> f64 {
        self.server_cpu / (self.rate + self.crowd_rate).max(1.0) * 1e6
    }

    /// A round with this rate and this usage of the load's core, on a half-busy server with a latency of a millisecond.
    #[cfg(test)]
    pub(crate) fn of_rate(rate: f64, load_core: f64) -> Self {
        Self {
            rate,
            crowd_rate: 0.0,
            p50_ms: 1.0,
            p99_ms: 1.0,
            p999_ms: 1.0,
            lateness_p99_ms: 0.0,
            server_cpu: 0.5,
            cpu_of_each: vec![0.5],
            load_cpu: 0.5,
            server_core: 0.5,
            load_core,
            intent_bytes: 1,
            answer_bytes: 1.0,
            notices: 0.0,
        }
    }

    /// The round as one line.
    pub fn line(&self) -> String {
        let refused = if self.is_of_the_load() { "; does not count: the load was the bottleneck" } else { "" };
        format!(
            "{}/s, p50 {:.3}, p99 {:.3}, p99.9 {:.3} ms; CPU {:.2}, {:.2} µs per answer (its core {:.2}), load {:.2} (its core {:.2}){refused}",
            thousands(self.rate),
            self.p50_ms,
            self.p99_ms,
            self.p999_ms,
            self.server_cpu,
            self.cpu_us_an_answer(),
            self.server_core,
            self.load_cpu,
            self.load_core,
        )
    }
}

/// Runs a round.
///
/// # Errors
///
/// Any answer other than `applied`.
pub fn measure(cores: Cores, round: RoundSettings<'_>) -> Result<Measured> {
    rest(cores)?;
    let (ready, is_ready) = mpsc::channel();
    let round = &round;
    thread::scope(|scope| {
        let load = scope.spawn(move || {
            pin_this_thread(cores.load)?;
            make_timers_exact()?;
            let mut load = Load::connect(round.target.clone(), round.players)?;
            // A crowd sends as soon as it is answered. That fills a core, and Linux throttles such real-time threads.
            let has_crowd = round.game.as_ref().is_some_and(|game| game.crowd > 0);
            if matches!(round.pace, Pace::Open(_)) && !has_crowd {
                // The report says if this was not allowed.
                let _ = come_first();
            }
            round.game.map_or(Ok(()), |game| load.send_out(game))?;
            // An error means that the round was given up.
            let _ = ready.send(());
            Ok::<_, anyhow::Error>((load.intent_bytes(), load.run(round.pace, round.warm_up, round.time)?))
        });
        let mut watched = None;
        if is_ready.recv().is_ok() {
            thread::sleep(round.warm_up);
            let before = Usage::now(cores, &round.processes)?;
            thread::sleep(round.time);
            watched = Some(Usage::now(cores, &round.processes)?.since(&before));
        }
        let (intent_bytes, tally) = load.join().map_err(|_| anyhow::anyhow!("the load panicked"))??;
        Ok(measured(&tally, intent_bytes, &watched.context("the load ended before it was ready")?))
    })
}

/// Opens a connection for each player, keeps them idle for a while, and calls `look` meanwhile.
pub fn while_idle<T: Send>(
    cores: Cores,
    target: Target,
    players: &[Player],
    time: Duration,
    look: impl FnOnce() -> Result<T>,
) -> Result<T> {
    let (ready, is_ready) = mpsc::channel();
    let (done, is_done) = mpsc::channel::<()>();
    thread::scope(|scope| {
        let load = scope.spawn(move || {
            pin_this_thread(cores.load)?;
            let mut load = Load::connect(target, players)?;
            load.idle(time)?;
            let _ = ready.send(());
            while is_done.try_recv() == Err(mpsc::TryRecvError::Empty) {
                load.idle(Duration::from_millis(50))?;
            }
            Ok::<_, anyhow::Error>(())
        });
        let looked = if is_ready.recv().is_ok() { Some(look()) } else { None };
        drop(done);
        load.join().map_err(|_| anyhow::anyhow!("the load panicked"))??;
        looked.context("the load ended before it was ready")?
    })
}

fn measured(tally: &Tally, intent_bytes: usize, usage: &Share) -> Measured {
    let ms = |quantile| tally.latency.value_at_quantile(quantile) as f64 / 1e6;
    Measured {
        rate: tally.rate(),
        crowd_rate: tally.crowd_answers as f64 / tally.time.as_secs_f64(),
        p50_ms: ms(0.5),
        p99_ms: ms(0.99),
        p999_ms: ms(0.999),
        lateness_p99_ms: tally.lateness.value_at_quantile(0.99) as f64 / 1e6,
        server_cpu: usage.process(),
        cpu_of_each: usage.processes.clone(),
        load_cpu: tally.load_time.as_secs_f64() / tally.time.as_secs_f64(),
        server_core: usage.server_core,
        load_core: usage.load_core,
        intent_bytes,
        answer_bytes: tally.bytes_an_answer(),
        notices: tally.notices as f64 / tally.time.as_secs_f64(),
    }
}

/// Waits until the server's core is idle.
pub(crate) fn rest(cores: Cores) -> Result<()> {
    if cores.are_shared {
        return Ok(());
    }
    let deadline = Instant::now() + REST_PATIENCE;
    loop {
        let before = CoreTime::of(cores.server)?;
        thread::sleep(Duration::from_millis(100));
        if CoreTime::of(cores.server)?.busy_since(before) < AT_REST {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!("core {} did not become idle; stop other programs on this machine, or use --shared", cores.server);
        }
    }
}

/// The usage so far.
pub(crate) struct Usage {
    at: Instant,
    processes: Vec<Duration>,
    server_core: CoreTime,
    load_core: CoreTime,
}

/// The usage between two moments, as shares of one core.
pub(crate) struct Share {
    pub(crate) processes: Vec<f64>,
    pub(crate) server_core: f64,
    pub(crate) load_core: f64,
}

impl Share {
    /// Processor time of all processes.
    pub(crate) fn process(&self) -> f64 {
        self.processes.iter().sum()
    }
}

impl Usage {
    pub(crate) fn now(cores: Cores, processes: &[u32]) -> Result<Self> {
        Ok(Self {
            at: Instant::now(),
            processes: processes.iter().map(|process| process_time(*process)).collect::<Result<_>>()?,
            server_core: CoreTime::of(cores.server)?,
            load_core: CoreTime::of(cores.load)?,
        })
    }

    pub(crate) fn since(&self, earlier: &Self) -> Share {
        let time = (self.at - earlier.at).as_secs_f64();
        Share {
            processes: self
                .processes
                .iter()
                .zip(&earlier.processes)
                .map(|(now, before)| (*now - *before).as_secs_f64() / time)
                .collect(),
            server_core: self.server_core.busy_since(earlier.server_core),
            load_core: self.load_core.busy_since(earlier.load_core),
        }
    }
}
