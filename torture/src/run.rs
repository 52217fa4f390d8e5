//! One run: starts everything, follows the schedule, waits until everything is durable, and checks the evidence.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use tokio::sync::watch;

use crate::check::Verdict;
use crate::cluster::ClusterWorld;
use crate::folder::Folder;
pub use crate::options::RunOptions;
use crate::replicas::Replicas;
use crate::schedule::{Fault, Schedule, Tally};
use crate::stage::run_on;
use crate::world::{Able, World};

/// The result of a run.
#[derive(Debug)]
pub struct RunResult {
    /// The findings of the check and of the run.
    pub verdict: Verdict,
    /// The injected faults.
    pub tally: Tally,
    /// Faults that are impossible on this machine, and why.
    pub skipped: BTreeMap<Fault, String>,
    /// The servers' largest memory, in KiB.
    pub memory_kib: u64,
    /// The folder of records and logs.
    pub folder: Folder,
}

/// Runs on PostgreSQL, or on SQLite if `replicas` is `None`. `interrupted` ends it early, with an error.
///
/// # Errors
///
/// Fails if the run could not take place. The server's faults are in the result.
pub async fn run(
    replicas: Option<&mut Replicas>,
    options: &RunOptions,
    interrupted: watch::Receiver<bool>,
) -> Result<RunResult> {
    let folder = Folder::new(options.keep.as_deref(), options.seed)?;
    let outcome = run_in(&folder, replicas, options, interrupted).await;
    outcome.with_context(|| format!("records and logs are in {}", folder.path().display()))
}

async fn run_in(
    folder: &Folder,
    replicas: Option<&mut Replicas>,
    options: &RunOptions,
    interrupted: watch::Receiver<bool>,
) -> Result<RunResult> {
    if options.cluster {
        let replicas = replicas.context("a cluster needs PostgreSQL")?;
        return run_cluster(folder, replicas, options, interrupted).await;
    }
    let (Able { faults, skipped }, mut world) = World::begin(folder.path(), replicas, options).await?;
    let schedule = Schedule::new(options.seed, &faults);
    let (verdict, tally) = run_on(&mut world, schedule, options, interrupted).await?;
    Ok(RunResult { verdict, tally, skipped, memory_kib: world.memory.peak_kib(), folder: folder.clone() })
}

async fn run_cluster(
    folder: &Folder,
    replicas: &mut Replicas,
    options: &RunOptions,
    interrupted: watch::Receiver<bool>,
) -> Result<RunResult> {
    let mut cluster = ClusterWorld::begin(folder.path(), replicas, options).await?;
    let schedule = Schedule::of_cluster(options.seed, &options.faults);
    let (verdict, tally) = run_on(&mut cluster, schedule, options, interrupted).await?;
    let memory_kib = cluster.memory.peak_kib();
    Ok(RunResult { verdict, tally, skipped: BTreeMap::new(), memory_kib, folder: folder.clone() })
}
