//! Many players at a given rate: open loop, over real sockets, everything checked.

mod checker;
pub(crate) mod enter;
mod mix;
mod pace;
mod player;
mod sheet;
mod tally;
mod transition;

use std::fs;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use castellan_client::protocol::CharacterId;
use castellan_client::{Credentials, HttpClient, Session};
use futures_util::StreamExt;
use indicatif::{ProgressBar, ProgressStyle};
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::settings::LoadSettings;
use pace::{Pace, Schedule};
use player::{Common, Player};
use tally::{Report, Tally};

/// How often the progress bar moves.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(200);

/// How long all players may take to connect.
const READY_TIMEOUT: Duration = Duration::from_secs(60);

type Login = (Credentials, Session, CharacterId);

/// Runs the load; the exit code says whether the server kept its word.
pub(crate) fn run(settings: &LoadSettings) -> Result<ExitCode> {
    let http = HttpClient::new(settings.server.parse()?);
    let logins = log_in_all(&http, settings)?;
    let (start, start_receiver) = watch::channel(None);
    let common = Arc::new(Common {
        http,
        codec: settings.codec.codec(),
        durable_share: settings.durable_share,
        start: start_receiver,
        ready: AtomicU64::new(0),
        answered: AtomicU64::new(0),
        left: AtomicU64::new(0),
    });
    let schedules = pace::schedules(settings.players, settings.rate, settings.ramp, settings.duration, settings.seed);
    let paces: Vec<(Schedule, Arc<Pace>)> =
        schedules.into_iter().map(|schedule| (schedule, Arc::new(Pace::default()))).collect();
    let (threads, tallies) = spawn_players(&common, &paces, logins, settings)?;
    let (seconds, cores) = supervise(&common, &paces, &start, settings)?;
    for thread in threads {
        if thread.join().is_err() {
            bail!("a thread of players died");
        }
    }
    let mut tally = Tally::default();
    for part in tallies {
        tally.add(std::mem::take(&mut *part.lock()));
    }
    let report = Report::of(tally, settings, seconds, cores);
    print!("{}", report.text());
    if let Some(path) = &settings.json {
        let json = serde_json::to_vec_pretty(&report)?;
        fs::write(path, json).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Logs in all players, a few at a time.
fn log_in_all(http: &HttpClient, settings: &LoadSettings) -> Result<Vec<Login>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let bar = bar(u64::from(settings.players), "logging in");
    let logins = runtime.block_on(async {
        let logins = futures_util::stream::iter(0..settings.players).map(async |player| {
            let login = enter::enter(http, enter::credentials(settings.seed, player)).await;
            bar.inc(1);
            login.with_context(|| format!("player {player} cannot enter"))
        });
        let logins: Vec<_> = logins.buffered(usize::from(settings.logins)).collect().await;
        logins.into_iter().collect::<Result<Vec<_>>>()
    });
    bar.finish_and_clear();
    logins
}

type Threads = (Vec<std::thread::JoinHandle<()>>, Vec<Arc<Mutex<Tally>>>);

/// Spreads the players over threads, each with a runtime of its own.
fn spawn_players(
    common: &Arc<Common>,
    paces: &[(Schedule, Arc<Pace>)],
    logins: Vec<Login>,
    settings: &LoadSettings,
) -> Result<Threads> {
    let threads = usize::from(settings.threads);
    let tallies: Vec<Arc<Mutex<Tally>>> = (0..threads).map(|_| Arc::default()).collect();
    let mut shares: Vec<Vec<Player>> = (0..threads).map(|_| Vec::new()).collect();
    for ((number, login), (schedule, pace)) in (0_u64..).zip(logins).zip(paces) {
        let thread = usize::try_from(number)? % threads;
        let seed = settings.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(number);
        let (common, tally, pace) = (Arc::clone(common), Arc::clone(&tallies[thread]), Arc::clone(pace));
        shares[thread].push(Player::new(common, tally, pace, *schedule, login, seed));
    }
    let mut handles = Vec::new();
    for (share, tally) in shares.into_iter().zip(&tallies) {
        let tally = Arc::clone(tally);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        handles.push(std::thread::Builder::new().name("players".to_owned()).spawn(move || {
            runtime.block_on(async {
                let players: Vec<_> = share.into_iter().map(|player| tokio::spawn(player.run())).collect();
                for player in players {
                    // A player that panicked has said so on standard error; the others go on, but the run is no good.
                    if player.await.is_err() {
                        tally.lock().unsettled += 1;
                    }
                }
            });
        })?);
    }
    Ok((handles, tallies))
}

/// Starts the load, shows its progress, and ends it; gives its length in seconds and the processor time in cores.
fn supervise(
    common: &Common,
    paces: &[(Schedule, Arc<Pace>)],
    start: &watch::Sender<Option<Instant>>,
    settings: &LoadSettings,
) -> Result<(f64, Option<f64>)> {
    let players = u64::from(settings.players);
    let connecting = bar(players, "connecting");
    let deadline = Instant::now() + READY_TIMEOUT;
    while common.ready.load(Ordering::Relaxed) < players {
        if Instant::now() > deadline {
            bail!("only {} of {players} players got their character", common.ready.load(Ordering::Relaxed));
        }
        connecting.set_position(common.ready.load(Ordering::Relaxed));
        std::thread::park_timeout(PROGRESS_INTERVAL / 4);
    }
    connecting.finish_and_clear();

    let all: u64 = paces.iter().map(|(schedule, _)| schedule.count).sum();
    let playing = bar(all, "playing");
    let begin = Instant::now() + Duration::from_millis(50);
    let cpu_before = processor_seconds();
    start.send_replace(Some(begin));
    let pacer = {
        let paces = paces.to_vec();
        std::thread::Builder::new().name("pacer".to_owned()).spawn(move || pace::run(begin, &paces))?
    };
    while !pacer.is_finished() {
        playing.set_position(common.answered.load(Ordering::Relaxed));
        std::thread::park_timeout(PROGRESS_INTERVAL);
    }
    let seconds = begin.elapsed().as_secs_f64().max(settings.duration.as_secs_f64());
    let cores = cpu_before.zip(processor_seconds()).map(|(before, after)| (after - before) / seconds);
    let deadline = Instant::now() + settings.settle;
    while common.left.load(Ordering::Relaxed) < players && Instant::now() < deadline {
        playing.set_position(common.answered.load(Ordering::Relaxed));
        std::thread::park_timeout(PROGRESS_INTERVAL / 4);
    }
    playing.finish_and_clear();
    for (_, pace) in paces {
        pace.abandon();
    }
    Ok((seconds, cores))
}

fn bar(length: u64, what: &'static str) -> ProgressBar {
    let style = "{msg:<12} {bar:40} {pos}/{len} {per_sec} {elapsed}";
    let style = ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(length).with_style(style).with_message(what)
}

/// Processor time that this process has used, in seconds; `None` where the system does not tell.
fn processor_seconds() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The second field, the program's name, is in parentheses and may hold spaces.
    let fields: Vec<_> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks: f64 = fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?;
    // Linux counts a hundred ticks a second for user space, whatever its own clock does.
    Some(ticks / 100.0)
}
