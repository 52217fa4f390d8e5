//! The program behind `cargo xtask torture`.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use castellan_client::BaseUrl;
use castellan_torture::check::{Finding, Verdict};
use castellan_torture::planted::{Bug, needs_cluster, needs_standby, revealing_faults};
use castellan_torture::replicas::Replicas;
use castellan_torture::report;
use castellan_torture::run::{RunOptions, RunResult, run};
use castellan_torture::schedule::{Fault, Tally};
use clap::{Parser, Subcommand, ValueEnum};
use client_sim::recorded::{RecordedSettings, play};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Duration of the faults for a planted bug, and the number of tries.
const PLANTED_DURATION: Duration = Duration::from_secs(12);
const PLANTED_DURATION_CLUSTER: Duration = Duration::from_secs(40);
const PLANTED_TRIES: u64 = 3;

/// The databases of a run, each with its share of the time.
const DATABASES: [(On, f64); 3] = [(On::Postgres, 0.35), (On::Pair, 0.45), (On::Sqlite, 0.2)];

/// The database of a run.
#[derive(Debug, Clone, Copy)]
enum On {
    /// One PostgreSQL.
    Postgres,
    /// PostgreSQL with a synchronous standby.
    Pair,
    /// A SQLite file.
    Sqlite,
    /// One PostgreSQL, with three nodes and two gateways.
    Cluster,
}

impl On {
    const fn name(self) -> &'static str {
        match self {
            Self::Postgres => "on PostgreSQL",
            Self::Pair => "on PostgreSQL with a standby",
            Self::Sqlite => "on SQLite",
            Self::Cluster => "with three nodes and two gateways",
        }
    }

    fn fits(self, fault: Fault) -> bool {
        match self {
            Self::Postgres => fault.is_for_postgres(),
            Self::Pair => fault.is_for_pair(),
            Self::Sqlite => fault.is_for_sqlite(),
            Self::Cluster => fault.is_for_cluster(),
        }
    }

    fn start(self) -> Result<Option<Replicas>> {
        Ok(match self {
            Self::Postgres | Self::Cluster => Some(Replicas::alone()?),
            Self::Pair => Some(Replicas::pair()?),
            Self::Sqlite => None,
        })
    }
}

/// Pulls the plug on a server under load, and checks that nothing is lost or done twice.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Injects faults, or plants bugs.
    Run(RunArguments),
    /// Plays until its input ends. Started by `run`.
    #[command(hide = true)]
    Players(PlayersArguments),
}

#[derive(Parser)]
struct RunArguments {
    /// The server's program, built with the features `faults` and `planted`.
    #[arg(long)]
    server: PathBuf,
    /// How long to inject faults, in minutes.
    #[arg(long, default_value_t = 1.0)]
    minutes: f64,
    /// Seed of the schedule, to repeat an earlier run. Default: random.
    #[arg(long)]
    seed: Option<u64>,
    /// Three nodes and two gateways instead of one server.
    #[arg(long)]
    cluster: bool,
    /// Almost only players who trade with each other.
    #[arg(long)]
    bazaar: bool,
    /// Only this fault. May be repeated.
    #[arg(long)]
    fault: Vec<Fault>,
    /// Plants one bug after another and reports which were caught.
    #[arg(long)]
    planted: bool,
    /// Only this bug.
    #[arg(long, requires = "planted", value_parser = castellan_torture::planted::parser())]
    bug: Vec<Bug>,
    /// The commit, for the report.
    #[arg(long, default_value = "unknown")]
    commit: String,
    /// Keeps records and logs in this folder.
    #[arg(long)]
    keep: Option<PathBuf>,
}

#[derive(Parser)]
struct PlayersArguments {
    server: String,
    records: PathBuf,
    #[arg(long)]
    users: u32,
    #[arg(long)]
    traders: u32,
    #[arg(long)]
    seed: u64,
    #[arg(long)]
    patience_seconds: u64,
    /// Rate of each client.
    #[arg(long)]
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

/// Runs the torture on each database that at least one of the chosen faults fits. Returns true if nothing was wrong.
async fn torture(arguments: &RunArguments) -> Result<bool> {
    let seed = arguments.seed.unwrap_or_else(|| rand::random_range(0..1_000_000));
    let chosen = if arguments.fault.is_empty() { Fault::value_variants() } else { &arguments.fault };
    let whole = Duration::try_from_secs_f64(arguments.minutes * 60.0).context("--minutes")?;
    let fitting = |on: On| chosen.iter().copied().filter(|fault| on.fits(*fault)).collect::<Vec<_>>();
    let databases = if arguments.cluster { &[(On::Cluster, 1.0)][..] } else { &DATABASES };
    let mut runs: Vec<_> = databases.iter().map(|(on, share)| (*on, *share, fitting(*on))).collect();
    runs.retain(|(_, _, faults)| !faults.is_empty());
    let shares: f64 = runs.iter().map(|(_, share, _)| share).sum();
    let interrupted = interruption()?;
    let mut total = Total::default();
    eprintln!("seed {seed}");
    for (on, share, faults) in runs {
        let options = RunOptions {
            server: arguments.server.clone(),
            duration: whole.mul_f64(share / shares),
            seed,
            faults,
            cluster: arguments.cluster,
            bazaar: arguments.bazaar,
            bug: None,
            keep: arguments.keep.clone(),
        };
        eprintln!("{}", on.name());
        let mut replicas = on.start()?;
        total.add(on.name(), run(replicas.as_mut(), &options, interrupted.clone()).await?)?;
    }
    total.show(arguments, seed);
    Ok(total.runs.iter().all(|run| run.findings.is_empty()))
}

/// The results of all runs together.
#[derive(Default)]
struct Total {
    verdict: Verdict,
    tally: Tally,
    skipped: BTreeMap<Fault, String>,
    memory_kib: u64,
    runs: Vec<OneRun>,
}

/// The report of one run.
struct OneRun {
    name: &'static str,
    findings: Vec<Finding>,
    /// Its records and logs, if they stay.
    folder: Option<PathBuf>,
}

impl Total {
    fn add(&mut self, name: &'static str, mut outcome: RunResult) -> Result<()> {
        let findings = std::mem::take(&mut outcome.verdict.findings);
        self.verdict.add(outcome.verdict);
        self.tally.add(&outcome.tally);
        self.skipped.extend(outcome.skipped);
        self.memory_kib = self.memory_kib.max(outcome.memory_kib);
        let folder = outcome.folder.close(findings.is_empty())?;
        self.runs.push(OneRun { name, findings, folder });
        Ok(())
    }

    /// Prints one line for the runs, then the details.
    fn show(&self, arguments: &RunArguments, seed: u64) {
        let Verdict { intents, acknowledged, unknown, refused, deals, trades, sums, .. } = &self.verdict;
        let RunArguments { commit, minutes, .. } = arguments;
        let (faults, tally) = (self.tally.total(), &self.tally);
        let wrong: usize = self.runs.iter().map(|run| run.findings.len()).sum();
        let memory_mib = self.memory_kib / 1024;
        println!(
            "| seed | commit | minutes | intents | acknowledged | faults | unknown | refused | deals | trades | sums | memory | findings |"
        );
        println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |");
        println!(
            "| {seed} | {commit} | {minutes} | {intents} | {acknowledged} | {faults}: {tally} | {unknown} | {refused} \
             | {deals} | {trades} | {sums} | {memory_mib} MiB | {wrong} |"
        );
        for (fault, why) in &self.skipped {
            println!("skipped {fault}: {why}");
        }
        for OneRun { name, findings, folder } in &self.runs {
            if !findings.is_empty() {
                println!("{name}:");
            }
            report::lines(findings).iter().for_each(|line| println!("  {line}"));
            if let Some(folder) = folder {
                println!("records and logs of the run {name} are in {}", folder.display());
            }
        }
    }
}

/// Plants one bug after another. Returns true if all were caught.
async fn planted(arguments: &RunArguments) -> Result<bool> {
    let (mut alone, mut pair) = (None, None);
    let fits = |bug: &Bug| !arguments.cluster || needs_cluster(*bug);
    let interrupted = interruption()?;
    let bugs =
        if arguments.bug.is_empty() { Bug::ALL.into_iter().filter(fits).collect() } else { arguments.bug.clone() };
    let first_seed = arguments.seed.unwrap_or_else(|| rand::random_range(0..1_000_000));
    let mut all_caught = true;
    println!("| bug | caught | seed | tries | faults | by |");
    println!("| --- | --- | --- | --- | --- | --- |");
    for bug in bugs {
        let (on, replicas, duration) = match bug {
            _ if needs_standby(bug) => (On::Pair, &mut pair, PLANTED_DURATION),
            _ if needs_cluster(bug) => (On::Cluster, &mut alone, PLANTED_DURATION_CLUSTER),
            _ => (On::Postgres, &mut alone, PLANTED_DURATION),
        };
        if replicas.is_none() {
            *replicas = on.start()?;
        }
        let mut row = None;
        for again in 0..PLANTED_TRIES {
            let seed = first_seed + again;
            eprintln!("{}, seed {seed}", bug.name());
            let options = RunOptions {
                server: arguments.server.clone(),
                duration,
                seed,
                faults: revealing_faults(bug).to_vec(),
                cluster: needs_cluster(bug),
                bazaar: arguments.bazaar,
                bug: Some(bug),
                keep: arguments.keep.clone(),
            };
            let outcome = run(replicas.as_mut(), &options, interrupted.clone()).await?;
            let (tally, tries) = (&outcome.tally, again + 1);
            // A caught bug is the expected result, so nothing is kept.
            outcome.folder.close(true)?;
            if let Some(finding) = outcome.verdict.most_telling() {
                row = Some(format!("| {} | yes | {seed} | {tries} | {tally} | {finding} |", bug.name()));
                break;
            }
        }
        all_caught &= row.is_some();
        println!("{}", row.unwrap_or_else(|| format!("| {} | NO | {first_seed} | {PLANTED_TRIES} | | |", bug.name())));
    }
    Ok(all_caught)
}

/// Becomes true once this process gets a signal to end.
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
        // Keeps the sender, because a dropped one would look like an interruption.
        tell.closed().await;
    });
    Ok(interrupted)
}

async fn players(arguments: PlayersArguments) -> Result<bool> {
    let (tell, finish) = watch::channel(false);
    // Not a task of the runtime, because a read of standard input cannot be cancelled.
    std::thread::spawn(move || {
        let mut input = Vec::new();
        let _ = std::io::stdin().read_to_end(&mut input);
        tell.send_replace(true);
        // Keeps the sender, because a dropped one would look like a change.
        std::thread::park();
    });
    let settings = RecordedSettings {
        server: arguments.server.parse::<BaseUrl>()?,
        records: arguments.records,
        users: arguments.users,
        traders: arguments.traders,
        intents_per_second: arguments.intents_per_second,
        seed: arguments.seed,
        patience: Duration::from_secs(arguments.patience_seconds),
    };
    play(settings, finish, |text| println!("{text}")).await?;
    Ok(true)
}
