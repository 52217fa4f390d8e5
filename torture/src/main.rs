//! The program behind `cargo xtask torture`.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use castellan_client::BaseUrl;
use castellan_torture::check::{Verdict, Violation};
use castellan_torture::planted::{Bug, revealing_faults};
use castellan_torture::report;
use castellan_torture::run::{Options, Outcome, run};
use castellan_torture::schedule::{Fault, Tally};
use clap::{Parser, Subcommand, ValueEnum};
use client_sim::player::{Settings, play};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use xtask::postgres::{Cluster, ClusterOptions};

/// How long faults go on while a planted bug is looked for, and how often it is tried.
const PLANTED_DURATION: Duration = Duration::from_secs(12);
const PLANTED_TRIES: u64 = 3;

/// The part of a run's time that is spent over SQLite.
const SQLITE_SHARE: f64 = 0.2;

/// Pulls the plug on a server under load, and checks that nothing is lost or done twice.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Goes through faults, or through planted bugs.
    Run(RunArguments),
    /// Plays until its input ends. The first task starts it.
    #[command(hide = true)]
    Players(PlayersArguments),
}

#[derive(Parser)]
struct RunArguments {
    /// The server's program, built with the features `faults` and `planted`.
    #[arg(long)]
    server: PathBuf,
    /// How long faults go on, in minutes.
    #[arg(long, default_value_t = 1.0)]
    minutes: f64,
    /// Runs the schedule of an earlier run again; without it another one each time.
    #[arg(long)]
    seed: Option<u64>,
    /// Only this fault; can be given several times.
    #[arg(long)]
    fault: Vec<Fault>,
    /// Plants one bug after the other and reports whether each was caught.
    #[arg(long)]
    planted: bool,
    /// Only this bug.
    #[arg(long, requires = "planted")]
    bug: Vec<Bug>,
    /// What was built, for the report.
    #[arg(long, default_value = "unknown")]
    commit: String,
    /// Keeps ledgers and logs below this folder.
    #[arg(long)]
    keep: Option<PathBuf>,
}

#[derive(Parser)]
struct PlayersArguments {
    server: String,
    ledgers: PathBuf,
    #[arg(long)]
    users: u32,
    #[arg(long)]
    seed: u64,
    #[arg(long)]
    patience_seconds: u64,
    /// Of each client.
    #[arg(long, default_value_t = 12.0)]
    intents_per_second: f64,
}

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let outcome = runtime.map_err(anyhow::Error::from).and_then(|runtime| {
        runtime.block_on(async {
            match Arguments::parse().task {
                Task::Run(arguments) if arguments.planted => planted(&arguments).await,
                Task::Run(arguments) => torture(&arguments).await,
                Task::Players(arguments) => players(arguments).await,
            }
        })
    });
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// A run over PostgreSQL and a shorter one over SQLite; says whether nothing was wrong.
async fn torture(arguments: &RunArguments) -> Result<bool> {
    let seed = arguments.seed.unwrap_or_else(|| rand::random_range(0..1_000_000));
    let chosen = if arguments.fault.is_empty() { Fault::value_variants() } else { &arguments.fault };
    let faults = |fits: fn(Fault) -> bool| chosen.iter().copied().filter(|fault| fits(*fault)).collect::<Vec<_>>();
    let (over_postgres, over_sqlite) = (faults(Fault::is_for_postgres), faults(Fault::is_for_sqlite));
    let whole = Duration::try_from_secs_f64(arguments.minutes * 60.0).context("--minutes")?;
    let shares = match (over_postgres.is_empty(), over_sqlite.is_empty()) {
        (false, false) => [1.0 - SQLITE_SHARE, SQLITE_SHARE],
        (false, true) => [1.0, 0.0],
        (true, _) => [0.0, 1.0],
    };
    let options = |faults, share| Options {
        server: arguments.server.clone(),
        duration: whole.mul_f64(share),
        seed,
        faults,
        bug: None,
        keep: arguments.keep.clone(),
    };
    let interrupted = interruption()?;
    let mut total = Total::default();
    eprintln!("seed {seed}");
    if shares[0] > 0.0 {
        eprintln!("over PostgreSQL");
        let mut cluster = start_cluster()?;
        total.add(
            "over PostgreSQL",
            run(Some(&mut cluster), &options(over_postgres, shares[0]), interrupted.clone()).await?,
        )?;
    }
    if shares[1] > 0.0 {
        eprintln!("over SQLite");
        total.add("over SQLite", run(None, &options(over_sqlite, shares[1]), interrupted).await?)?;
    }
    total.show(arguments, seed);
    Ok(total.runs.iter().all(|run| run.violations.is_empty()))
}

/// What the runs came to together.
#[derive(Default)]
struct Total {
    verdict: Verdict,
    tally: Tally,
    skipped: BTreeMap<Fault, String>,
    memory_kib: u64,
    runs: Vec<OneRun>,
}

/// What is to be told of one run.
struct OneRun {
    name: &'static str,
    violations: Vec<Violation>,
    /// Its ledgers and logs, if they stay.
    folder: Option<PathBuf>,
}

impl Total {
    fn add(&mut self, name: &'static str, mut outcome: Outcome) -> Result<()> {
        let violations = std::mem::take(&mut outcome.verdict.violations);
        self.verdict.add(outcome.verdict);
        self.tally.add(&outcome.tally);
        self.skipped.extend(outcome.skipped);
        self.memory_kib = self.memory_kib.max(outcome.memory_kib);
        let folder = outcome.folder.close(violations.is_empty())?;
        self.runs.push(OneRun { name, violations, folder });
        Ok(())
    }

    /// A line for the run, then what is behind it.
    fn show(&self, arguments: &RunArguments, seed: u64) {
        let Verdict { intents, acknowledged, unknown, refused, .. } = &self.verdict;
        let RunArguments { commit, minutes, .. } = arguments;
        let (faults, tally) = (self.tally.total(), &self.tally);
        let wrong: usize = self.runs.iter().map(|run| run.violations.len()).sum();
        let memory_mib = self.memory_kib / 1024;
        println!(
            "| seed | commit | minutes | intents | acknowledged | faults | unknown | refused | memory | violations |"
        );
        println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |");
        println!(
            "| {seed} | {commit} | {minutes} | {intents} | {acknowledged} | {faults}: {tally} | {unknown} | {refused} \
             | {memory_mib} MiB | {wrong} |"
        );
        for (fault, why) in &self.skipped {
            println!("skipped {fault}: {why}");
        }
        for OneRun { name, violations, folder } in &self.runs {
            if !violations.is_empty() {
                println!("{name}:");
            }
            report::lines(violations).iter().for_each(|line| println!("  {line}"));
            if let Some(folder) = folder {
                println!("ledgers and logs {name} are in {}", folder.display());
            }
        }
    }
}

/// Plants one bug after the other; says whether all were caught.
async fn planted(arguments: &RunArguments) -> Result<bool> {
    let mut cluster = start_cluster()?;
    let interrupted = interruption()?;
    let bugs = if arguments.bug.is_empty() { Bug::ALL.to_vec() } else { arguments.bug.clone() };
    let first_seed = arguments.seed.unwrap_or_else(|| rand::random_range(0..1_000_000));
    let mut all_caught = true;
    println!("| bug | caught | seed | tries | faults | by |");
    println!("| --- | --- | --- | --- | --- | --- |");
    for bug in bugs {
        let mut row = None;
        for again in 0..PLANTED_TRIES {
            let seed = first_seed + again;
            eprintln!("{}, seed {seed}", bug.name());
            let options = Options {
                server: arguments.server.clone(),
                duration: PLANTED_DURATION,
                seed,
                faults: revealing_faults(bug).to_vec(),
                bug: Some(bug),
                keep: arguments.keep.clone(),
            };
            let outcome = run(Some(&mut cluster), &options, interrupted.clone()).await?;
            let (tally, tries) = (&outcome.tally, again + 1);
            // A bug that was caught is what was expected: nothing to look at.
            outcome.folder.close(true)?;
            if let Some(violation) = outcome.verdict.most_telling() {
                row = Some(format!("| {} | yes | {seed} | {tries} | {tally} | {violation} |", bug.name()));
                break;
            }
        }
        all_caught &= row.is_some();
        println!("{}", row.unwrap_or_else(|| format!("| {} | NO | {first_seed} | {PLANTED_TRIES} | | |", bug.name())));
    }
    Ok(all_caught)
}

fn start_cluster() -> Result<Cluster> {
    // Room for what is noted of every write, and no time lost on it: only durability is kept as on a real one.
    Cluster::start(ClusterOptions { durable: true, ..ClusterOptions::default() })
}

/// Becomes true once this process is told to end.
fn interruption() -> Result<watch::Receiver<bool>> {
    let (tell, interrupted) = watch::channel(false);
    let mut signals = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()].map(signal);
    tokio::spawn(async move {
        let [interrupt, terminate, hang_up] = &mut signals;
        if let (Ok(interrupt), Ok(terminate), Ok(hang_up)) = (interrupt, terminate, hang_up) {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                _ = hang_up.recv() => {}
            }
            tell.send_replace(true);
        }
        // The sender lives on: its end would look like an interruption that never comes.
        tell.closed().await;
    });
    Ok(interrupted)
}

async fn players(arguments: PlayersArguments) -> Result<bool> {
    let (tell, finish) = watch::channel(false);
    // Not a task of the runtime: a read of standard input cannot be ended, and need not be.
    std::thread::spawn(move || {
        let mut input = Vec::new();
        let _ = std::io::stdin().read_to_end(&mut input);
        tell.send_replace(true);
        // Without a sender the players would hear of changes that there are not.
        std::thread::park();
    });
    let settings = Settings {
        server: arguments.server.parse::<BaseUrl>()?,
        ledgers: arguments.ledgers,
        users: arguments.users,
        intents_per_second: arguments.intents_per_second,
        seed: arguments.seed,
        patience: Duration::from_secs(arguments.patience_seconds),
    };
    play(settings, finish, |text| println!("{text}")).await?;
    Ok(true)
}
