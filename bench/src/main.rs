//! The bench. `cargo xtask bench` builds it, starts a PostgreSQL for it, and runs it.

use std::process::ExitCode;

use castellan_bench::echo::{self, Mode};
use clap::{Parser, Subcommand};

/// Measures the server against a bare WebSocket echo.
#[derive(Parser)]
#[command(name = "castellan-bench")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Measures everything and writes a table and a JSON file.
    #[cfg(target_os = "linux")]
    Run(Box<linux::RunArguments>),
    /// Runs one of the echoes until killed.
    Echo {
        /// How it reads and writes.
        #[arg(long)]
        mode: Mode,
        /// Size of its answers, in bytes.
        #[arg(long)]
        answer_bytes: usize,
    },
    /// Carries out the attack that standard input describes. Only for the bench itself.
    #[cfg(target_os = "linux")]
    #[command(hide = true)]
    Attack,
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().task {
        #[cfg(target_os = "linux")]
        Task::Run(arguments) => linux::run(*arguments),
        #[cfg(target_os = "linux")]
        Task::Attack => castellan_bench::attacks::run_attackers(),
        Task::Echo { mode, answer_bytes } => echo::run(mode, answer_bytes),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::fs;
    use std::path::PathBuf;
    use std::time::Duration;

    use anyhow::{Context, Result, bail};
    use castellan_bench::attacks::{AttackSettings, Kind, Lengths};
    use castellan_bench::machine::cores;
    use castellan_bench::measure::Cores;
    use castellan_bench::run;
    use castellan_bench::settings::{Part, RunSettings};
    use clap::{Args, ValueEnum};

    /// Rows for a quick run of the part `cliff`.
    const QUICK_ROWS: usize = 40_000;

    /// Seconds of the phases of an attack in a quick run.
    const QUICK_ATTACK_SECONDS: [f64; 3] = [2.0, 3.0, 2.0];

    #[derive(Args)]
    pub(super) struct RunArguments {
        /// The server's executable.
        #[arg(long)]
        server: PathBuf,
        /// Another build of the server to compare with: rounds alternate between the two.
        #[arg(long)]
        against: Option<PathBuf>,
        /// URL of an empty PostgreSQL database. Default: measure only on SQLite.
        #[arg(long, env = "CASTELLAN_BENCH_POSTGRES", hide_env_values = true)]
        postgres: Option<String>,
        /// URL of another empty PostgreSQL database, for the other build. Default: measure it only on SQLite.
        #[arg(long, env = "CASTELLAN_BENCH_AGAINST_POSTGRES", hide_env_values = true)]
        against_postgres: Option<String>,
        /// Folder for the table and the JSON file.
        #[arg(long)]
        out: PathBuf,
        /// Core of the measured system. Default: the first.
        #[arg(long)]
        server_core: Option<usize>,
        /// Core of the load. Default: the second.
        #[arg(long)]
        load_core: Option<usize>,
        /// Rounds of each kind.
        #[arg(long, default_value_t = 5)]
        rounds: usize,
        /// Measured seconds of a round. Half a second of warm-up comes first.
        #[arg(long, default_value_t = 2.5)]
        seconds: f64,
        /// Number of players.
        #[arg(long, default_value_t = 10_000)]
        players: usize,
        /// Only check that everything works: one short round of each kind, 1,000 players.
        #[arg(long)]
        quick: bool,
        /// Do not wait for idle cores before a round, because something else runs on this machine.
        #[arg(long)]
        shared: bool,
        /// Rows in the database of the part `cliff`, at least 40,000.
        #[arg(long, default_value_t = 1_000_000)]
        rows: usize,
        /// Times that the part `cluster` drains a node and gives it its shards back.
        #[arg(long, default_value_t = 10)]
        moves: usize,
        /// Players of the part `attacks`.
        #[arg(long, default_value_t = 500)]
        attacked_players: usize,
        /// Attacks to measure, separated by commas. Default: all.
        #[arg(long, value_delimiter = ',')]
        attacks: Vec<Kind>,
        /// Seconds before, during and after an attack, separated by commas.
        #[arg(long, value_delimiter = ',', default_values_t = [10.0, 15.0, 10.0])]
        attack_seconds: Vec<f64>,
        /// Parts to measure, separated by commas. Default: everything except `cliff`, `attacks`, `tls`,
        /// `cluster` and `trade`.
        #[arg(long, value_delimiter = ',')]
        only: Vec<Part>,
        /// Loads, separated by commas: closed loops as CONNECTIONSxIN_FLIGHT (64x16), open loops as
        /// CONNECTIONSxINTENTS_PER_SECOND (1000x10). Default: all.
        #[arg(long, value_delimiter = ',')]
        loads: Vec<String>,
    }

    pub(super) fn run(arguments: RunArguments) -> Result<()> {
        let there = cores()?;
        let cores = Cores {
            server: arguments
                .server_core
                .or(there.first().copied())
                .context("this process is not allowed to use any core")?,
            load: arguments.load_core.or(there.get(1).copied()).unwrap_or(usize::MAX),
            are_shared: arguments.quick || arguments.shared,
        };
        if cores.server == cores.load || !there.contains(&cores.server) || !there.contains(&cores.load) {
            bail!("the bench needs two cores, one for the server and one for the load; this process may use {there:?}");
        }
        fs::create_dir_all(&arguments.out)?;
        let (rounds, seconds, players) =
            if arguments.quick { (1, 1.0, 1_000) } else { (arguments.rounds, arguments.seconds, arguments.players) };
        let rows = if arguments.quick { QUICK_ROWS } else { arguments.rows };
        let parts = match arguments.only {
            only if only.is_empty() => {
                Part::value_variants().iter().copied().filter(|part| part.runs_by_default()).collect()
            }
            only => only,
        };
        let [before, during, after] = match arguments.attack_seconds[..] {
            _ if arguments.quick => QUICK_ATTACK_SECONDS,
            [before, during, after] => [before, during, after],
            _ => bail!("--attack-seconds needs three numbers, such as 10,15,10"),
        }
        .map(Duration::from_secs_f64);
        let attacks = AttackSettings {
            lengths: Lengths { before, during, after },
            players: arguments.attacked_players,
            kinds: arguments.attacks,
        };
        let settings = RunSettings {
            server: arguments.server.canonicalize().context("cannot find the executable of --server")?,
            against: arguments
                .against
                .map(|program| program.canonicalize())
                .transpose()
                .context("cannot find the executable of --against")?,
            postgres: arguments.postgres,
            against_postgres: arguments.against_postgres,
            place: arguments.out.clone(),
            cores,
            rounds,
            time: Duration::from_secs_f64(seconds),
            warm_up: Duration::from_millis(500),
            players,
            loads: arguments.loads,
            rows,
            moves: if arguments.quick { 1 } else { arguments.moves },
            parts,
        };
        let report = run::run(&settings, &attacks)?;
        let table = report.markdown();
        fs::write(arguments.out.join("report.md"), &table)?;
        fs::write(arguments.out.join("report.json"), serde_json::to_string_pretty(&report)?)?;
        println!("{table}");
        println!("Report written to {}", arguments.out.display());
        Ok(())
    }
}
