//! `cargo xtask torture`.

use std::process::{Command, ExitCode};

use anyhow::{Context, Result};
use clap::Args;

use crate::run::{cargo, catch_interrupts, foreground, quietly, workspace};

/// Features of the server for a torture. If they were written as `castellan/faults`, cargo would enable them only for
/// the tests' dependency, not for the program.
pub(crate) const FEATURES: &str = "faults,planted";

/// Arguments of the torture.
#[derive(Args)]
pub struct TortureArguments {
    /// Arguments passed to the torture: `--minutes M`, `--seed S`, `--cluster`, `--bazaar`, `--fault F`, `--planted`,
    /// `--keep FOLDER`, `--help`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

/// Builds a server with the hooks, in the tests' profile, and tortures it.
pub fn torture(arguments: &TortureArguments) -> Result<ExitCode> {
    catch_interrupts()?;
    let mut build = cargo();
    build.args(["build", "--package", "castellan", "--package", "castellan-torture", "--features", FEATURES]);
    if !foreground(&mut build)?.success() {
        return Ok(ExitCode::FAILURE);
    }
    pull_the_plug(&arguments.arguments)
}

/// Runs the torture and the server that were built last.
pub(crate) fn pull_the_plug(arguments: &[String]) -> Result<ExitCode> {
    let programs = std::env::current_exe()?;
    let programs = programs.parent().context("this program's path must have a folder")?;
    let folder = tempfile::Builder::new().prefix("castellan-torture-").tempdir()?;
    // A copy: another build may replace the server at any moment.
    let server = folder.path().join("castellan");
    std::fs::copy(programs.join("castellan"), &server)?;
    let mut torture = Command::new(programs.join("castellan-torture"));
    torture.arg("run").args(arguments);
    torture.arg("--server").arg(&server).arg("--commit").arg(commit());
    let status = foreground(&mut torture)?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The checked-out commit, with a plus if files differ from it.
fn commit() -> String {
    let git = |arguments: &[&str]| quietly(Command::new("git").current_dir(workspace()).args(arguments));
    let Ok(commit) = git(&["rev-parse", "--short", "HEAD"]) else { return "unknown".to_owned() };
    let changed = git(&["status", "--porcelain"]).is_ok_and(|changes| !changes.is_empty());
    format!("{}{}", commit.trim(), if changed { "+" } else { "" })
}
