//! The course of a run, the same for one server and for several: it waits for the players, follows the schedule, waits
//! until everything is durable, and judges.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::check::Verdict;
use crate::options::RunOptions;
use crate::players::{PATIENCE, Players};
use crate::schedule::{Fault, Step, Tally};

/// Everything that exists during a run.
pub(crate) trait Stage {
    /// The players.
    fn players(&mut self) -> &mut Players;

    /// Records which server processes have ended by themselves, and replaces them.
    async fn replace_ended(&mut self) -> Result<()>;

    /// Injects a fault.
    async fn inject(&mut self, fault: Fault, rng: &mut StdRng) -> Result<()>;

    /// Stops all servers cleanly. The players have finished.
    async fn stop(&mut self) -> Result<()>;

    /// Ends all processes, gathers the evidence and checks it.
    async fn judge(&mut self, ended: Result<()>) -> Result<Verdict>;
}

/// Runs. `interrupted` ends it early, with an error.
///
/// # Errors
///
/// Fails if the run could not take place. The server's faults are in the verdict.
pub(crate) async fn run_on(
    stage: &mut impl Stage,
    schedule: impl Iterator<Item = Step>,
    options: &RunOptions,
    interrupted: watch::Receiver<bool>,
) -> Result<(Verdict, Tally)> {
    let mut tally = Tally::default();
    let ended = tokio::select! {
        ended = play(stage, schedule, options, &mut tally) => ended,
        () = interruption(interrupted.clone()) => Err(anyhow::anyhow!("interrupted")),
    };
    if ended.is_err() && *interrupted.borrow() {
        bail!("interrupted");
    }
    let verdict = tokio::select! {
        verdict = stage.judge(ended) => verdict?,
        () = interruption(interrupted.clone()) => bail!("interrupted"),
    };
    Ok((verdict, tally))
}

async fn interruption(mut interrupted: watch::Receiver<bool>) {
    if interrupted.wait_for(|interrupted| *interrupted).await.is_err() {
        std::future::pending().await
    }
}

/// Follows the schedule, then waits until everything is durable.
async fn play(
    stage: &mut impl Stage,
    schedule: impl Iterator<Item = Step>,
    options: &RunOptions,
    tally: &mut Tally,
) -> Result<()> {
    players_are_ready(stage).await?;
    let deadline = Instant::now() + options.duration;
    for Step { pause, fault, seed } in schedule {
        tokio::time::sleep_until((Instant::now() + pause).min(deadline)).await;
        if Instant::now() >= deadline || (options.bug.is_some() && stage.players().are_alarmed()) {
            break;
        }
        check_processes(stage).await?;
        tally.count(fault);
        let number = tally.total();
        eprintln!("  {number:>3} {fault}");
        stage.inject(fault, &mut StdRng::seed_from_u64(seed)).await.with_context(|| fault.name())?;
    }
    tokio::time::sleep_until(deadline.min(Instant::now() + Duration::from_secs(1))).await;
    check_processes(stage).await?;
    stage.players().finish().await?;
    // The records are complete whatever happens here.
    stage.stop().await
}

/// Replaces servers that ended by themselves.
///
/// # Errors
///
/// Fails if the players have ended, or no other server starts.
async fn check_processes(stage: &mut impl Stage) -> Result<()> {
    if stage.players().ended()?.is_some() {
        bail!("the players have ended");
    }
    stage.replace_ended().await
}

async fn players_are_ready(stage: &mut impl Stage) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !stage.players().are_ready() {
        check_processes(stage).await?;
        if Instant::now() > deadline {
            bail!("the players did not begin within {PATIENCE:?}");
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}
