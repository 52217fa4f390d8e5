//! `cargo xtask fuzz`: the fuzz targets for longer than among the tests.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::Args;

use crate::run::{cargo, catch_interrupts, foreground, quietly};

/// Crates with fuzz targets: tests in modules of the name `fuzz`.
const PACKAGES: [&str; 6] = ["-p", "castellan", "-p", "castellan-client", "-p", "castellan-srd"];

/// The part of their names that fuzz targets have in common.
const TARGETS: &str = "fuzz::";

/// Arguments of the fuzz targets.
#[derive(Args)]
pub struct FuzzArguments {
    /// Minutes for all targets together; they run one after another.
    #[arg(long, default_value_t = 10.0)]
    minutes: f64,
    /// Run only this input of a target: the seed that a failure has printed.
    #[arg(long, requires = "target")]
    seed: Option<String>,
    /// Run only targets with this in their names. Default: all.
    target: Option<String>,
}

/// Runs the targets one after another, each for its share of the time. Ends with the first input that fails.
pub fn fuzz(arguments: &FuzzArguments) -> Result<ExitCode> {
    catch_interrupts()?;
    let filter = arguments.target.as_deref().unwrap_or(TARGETS);
    let listed = quietly(cargo().arg("test").args(PACKAGES).args(["--", "--list", filter]))?;
    let targets = listed.lines().filter(|line| line.contains(TARGETS) && line.ends_with(": test")).count();
    let Ok(targets @ 1..) = u32::try_from(targets) else { bail!("no fuzz target has `{filter}` in its name") };
    let each = Duration::from_secs_f64(arguments.minutes * 60.0) / targets;
    eprintln!("{targets} targets, {:.0} seconds each", each.as_secs_f64());
    let mut command = cargo();
    command.arg("test").args(PACKAGES).args(["--", "--test-threads=1", "--nocapture", filter]);
    command.env("BOLERO_RANDOM_TEST_TIME_MS", each.as_millis().to_string());
    if let Some(seed) = &arguments.seed {
        command.env("BOLERO_RANDOM_SEED", seed).env("BOLERO_RANDOM_ITERATIONS", "0");
    }
    Ok(if foreground(&mut command)?.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
