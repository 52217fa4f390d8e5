//! Many players at fixed rates: open loop, over real sockets, with every answer checked.

mod bazaar;
mod cast;
mod checker;
pub(crate) mod enter;
mod exposition;
mod generator;
mod limits;
mod live;
mod mix;
mod pace;
mod player;
mod report;
mod scenario;
mod scrape;
mod series;
mod settings;
mod sheet;
mod supervise;
mod tally;
mod transition;

use std::fs::{self, File};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use anyhow::{Context, Result, bail};
use castellan_client::HttpClient;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use time::OffsetDateTime;
use tokio::sync::watch;

use cast::Cast;
use player::Common;
use report::Report;
use scenario::{Scenario, Seat, seats};
pub(crate) use settings::LoadSettings;

/// File descriptors in addition to the players' sockets: files, event queues, logins.
const FILES_BESIDE: u64 = 512;

/// The exit code for invalid arguments, the same as clap's.
const UNUSABLE: u8 = 2;

/// Runs the load. The exit code tells if the server was consistent and within the limits.
pub(crate) fn run(settings: &LoadSettings) -> Result<ExitCode> {
    let mut scenario = settings.scenario.clone();
    scenario.overrule(settings.rate, settings.durable_share);
    let seats = match prepare(settings, &scenario) {
        Ok(seats) => seats,
        Err(why) => {
            eprintln!("client-sim: {why}");
            return Ok(ExitCode::from(UNUSABLE));
        }
    };
    let started_at = started_at();
    let http = HttpClient::new(settings.server.parse()?, settings.trust.read()?);
    let logins = cast::log_in_all(&http, &seats, settings)?;
    let (start, start_receiver) = watch::channel(None);
    let common = Arc::new(Common {
        http,
        codec: settings.codec.codec(),
        start: start_receiver,
        ready: AtomicU64::new(0),
        open: AtomicU64::new(0),
        asked: AtomicU64::new(0),
        departed: AtomicU64::new(0),
    });
    let Cast { paces, threads, tallies } = cast::cast(&common, &scenario, &seats, logins, settings)?;
    let course = supervise::supervise(&common, &paces, &tallies, &start, settings, scenario.groups.len())?;
    for thread in threads {
        if thread.join().is_err() {
            bail!("a thread of players panicked; see its message above");
        }
    }
    let report = Report::of(settings, &scenario, &seats, course.finish(&tallies), started_at);
    print!("{}", report.text());
    if let Some(path) = &settings.json {
        write(path, &serde_json::to_string_pretty(&report)?)?;
    }
    if let Some(path) = &settings.html {
        write(path, &report.html())?;
    }
    Ok(if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Checks everything that can be checked before anything is sent. The error is a message about the arguments.
fn prepare(settings: &LoadSettings, scenario: &Scenario) -> Result<Vec<Seat>, String> {
    for path in [&settings.json, &settings.html].into_iter().flatten() {
        File::create(path).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    }
    let limit = getrlimit(Resource::Nofile);
    let wanted = u64::from(settings.players) + FILES_BESIDE;
    if limit.current.is_some_and(|current| current < wanted) {
        let raised = Rlimit { current: limit.maximum.map(|most| most.min(wanted)), maximum: limit.maximum };
        let raised = setrlimit(Resource::Nofile, raised).is_ok() && limit.maximum.is_none_or(|most| most >= wanted);
        if !raised {
            let players = settings.players;
            return Err(format!(
                "--players {players} needs {wanted} open files, more than this system allows; raise it with ulimit -n"
            ));
        }
    }
    seats(scenario, settings.players)
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// The date and time for the report's head.
fn started_at() -> String {
    let now = OffsetDateTime::now_utc();
    format!("{} {:02}:{:02} UTC", now.date(), now.hour(), now.minute())
}
