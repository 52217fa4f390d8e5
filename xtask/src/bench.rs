//! `cargo xtask bench`.

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::postgres::{Cluster, ClusterOptions};
use crate::run::{cargo, catch_interrupts, foreground};

/// Arguments of the bench.
#[derive(Args)]
pub struct BenchArguments {
    /// Core of the measured system. Default: the first.
    #[arg(long)]
    server_core: Option<usize>,
    /// Core of the load. Default: the second.
    #[arg(long)]
    load_core: Option<usize>,
    /// Core of PostgreSQL. Default: the third, or the load's core if there are only two.
    #[arg(long)]
    database_core: Option<usize>,
    /// Arguments passed to the bench, such as `--quick`, `--only closed,open`, `--rounds 9` or `--help`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

/// Builds the server and the bench, starts a PostgreSQL with durable commits (one for each build), and measures.
pub fn bench(arguments: &BenchArguments) -> Result<ExitCode> {
    catch_interrupts()?;
    let there = cores()?;
    let core = |wanted: Option<usize>, turn: usize| wanted.or_else(|| there.get(turn).copied());
    let (Some(server), Some(load)) = (core(arguments.server_core, 0), core(arguments.load_core, 1)) else {
        bail!("the bench needs two cores, one for the server and one for the load; this process may use {there:?}");
    };
    let build = ["build", "--release", "--package", "castellan", "--package", "castellan-bench"];
    if !foreground(cargo().args(build))?.success() {
        return Ok(ExitCode::FAILURE);
    }
    let target = target_folder()?;
    // Processes started by this thread inherit its core.
    pin(&[core(arguments.database_core, 2).unwrap_or(load)])?;
    let start = || Cluster::start(ClusterOptions { durable: true, ..ClusterOptions::default() });
    let cluster = start()?;
    let compares = arguments.arguments.iter().any(|argument| argument.starts_with("--against"));
    let others_cluster = compares.then(start).transpose()?;
    pin(&there)?;
    let mut command = Command::new(target.join("release/castellan-bench"));
    command.arg("run").arg("--server").arg(target.join("release/castellan")).arg("--out").arg(target.join("bench"));
    command.args(["--server-core", &server.to_string(), "--load-core", &load.to_string()]);
    command.args(&arguments.arguments).env("CASTELLAN_BENCH_POSTGRES", cluster.url());
    if let Some(cluster) = &others_cluster {
        command.env("CASTELLAN_BENCH_AGAINST_POSTGRES", cluster.url());
    }
    let status = foreground(&mut command)?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Cargo's target folder, which contains this program.
fn target_folder() -> Result<PathBuf> {
    let program = std::env::current_exe()?;
    Ok(program.ancestors().nth(2).context("this program must be in cargo's target folder")?.to_owned())
}

#[cfg(target_os = "linux")]
fn cores() -> Result<Vec<usize>> {
    use rustix::thread::{CpuSet, sched_getaffinity};
    let set = sched_getaffinity(None).context("cannot read the cores that this process may use")?;
    Ok((0..CpuSet::MAX_CPU).filter(|core| set.is_set(*core)).collect())
}

#[cfg(target_os = "linux")]
fn pin(cores: &[usize]) -> Result<()> {
    use rustix::thread::{CpuSet, sched_setaffinity};
    let mut set = CpuSet::new();
    cores.iter().for_each(|core| set.set(*core));
    sched_setaffinity(None, &set).with_context(|| format!("cannot run on the cores {cores:?}"))
}

#[cfg(not(target_os = "linux"))]
fn cores() -> Result<Vec<usize>> {
    bail!("the bench runs only on Linux, because it needs figures such as the time of one core")
}

#[cfg(not(target_os = "linux"))]
fn pin(_: &[usize]) -> Result<()> {
    Ok(())
}
