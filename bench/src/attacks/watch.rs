//! Watches the server during an attack, and starts and ends the attackers.

#![expect(clippy::disallowed_methods, reason = "phases last for a fixed time")]

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::attacker::Orders;
use super::figures::Phase;
use super::metrics::{changes, counters};
use super::phases::{Moments, PHASES};
use crate::caller::Caller;
use crate::machine::resident_bytes;
use crate::measure::{Cores, Usage};

/// Time between two looks at the server's memory.
const LOOK_PERIOD: Duration = Duration::from_millis(100);

/// Time limit for the attackers to end after the attack.
const END_PATIENCE: Duration = Duration::from_secs(20);

/// What was seen of the server.
pub(super) struct Watched {
    pub(super) phases: [Phase; PHASES],
    pub(super) resident_bytes: [u64; PHASES],
    pub(super) counters: BTreeMap<String, f64>,
    pub(super) deeds: BTreeMap<String, u64>,
}

/// Watches the server through all phases, and starts the attackers when it is time.
pub(super) fn watch(
    cores: Cores,
    process: u32,
    moments: Moments,
    operator: &Caller,
    orders: &Orders,
) -> Result<Watched> {
    let mut watched = Watched {
        phases: [Phase::default(); PHASES],
        resident_bytes: [0; PHASES],
        counters: BTreeMap::new(),
        deeds: BTreeMap::new(),
    };
    sleep_until(moments.begin(0));
    let mut attackers = None;
    for number in 0..PHASES {
        let before = Usage::now(cores, &[process])?;
        if number == 1 {
            watched.counters = read_counters(operator)?;
            attackers = Some(Attackers::start(orders)?);
        }
        let mut most = 0;
        while Instant::now() < moments.end(number) {
            most = most.max(resident_bytes(process)?);
            sleep_until((Instant::now() + LOOK_PERIOD).min(moments.end(number)));
        }
        watched.resident_bytes[number] = if number == 1 { most } else { resident_bytes(process)? };
        let share = Usage::now(cores, &[process])?.since(&before);
        let phase = &mut watched.phases[number];
        (phase.server_cpu, phase.server_core, phase.load_core) = (share.process(), share.server_core, share.load_core);
        if let Some(attackers) = attackers.take() {
            watched.deeds = attackers.end()?;
            watched.counters = changes(&watched.counters, &read_counters(operator)?);
        }
    }
    Ok(watched)
}

fn sleep_until(moment: Instant) {
    thread::sleep(moment.saturating_duration_since(Instant::now()));
}

fn read_counters(operator: &Caller) -> Result<BTreeMap<String, f64>> {
    let (status, text) = operator.get("/metrics").context("cannot read the metrics")?;
    ensure!(status == 200, "the server refused its metrics with status {status}");
    Ok(counters(&text))
}

/// The attackers' process. Killed when dropped.
struct Attackers(Child);

impl Attackers {
    /// Starts them on the core of the calling thread.
    fn start(orders: &Orders) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        let child = command.arg("attack").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut attackers = Self(child);
        let mut input = attackers.0.stdin.take().context("the attackers' input is not piped")?;
        input.write_all(serde_json::to_string(orders)?.as_bytes())?;
        Ok(attackers)
    }

    /// Waits for their end, and returns what they did.
    fn end(mut self) -> Result<BTreeMap<String, u64>> {
        let deadline = Instant::now() + END_PATIENCE;
        while self.0.try_wait()?.is_none() {
            ensure!(Instant::now() < deadline, "the attackers did not end within {END_PATIENCE:?}");
            thread::sleep(Duration::from_millis(5));
        }
        let output = self.0.stdout.take().context("the attackers' output is not piped")?;
        serde_json::from_reader(output).context("the attackers did not say what they did")
    }
}

impl Drop for Attackers {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            // Errors mean that it has already ended.
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}
