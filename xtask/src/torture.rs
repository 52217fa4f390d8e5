//! `cargo xtask torture`.

use std::process::{Command, ExitCode};

use anyhow::{Context, Result};
use clap::Args;

use crate::run::{cargo, catch_interrupts, foreground, quietly, workspace};

/// What the server is built with for a torture. Written as `castellan/faults` it would name what the server's own tests
/// depend on, and leave the program without.
pub(crate) const FEATURES: &str = "faults,planted";

/// How to torture.
#[derive(Args)]
pub struct TortureArguments {
    /// What the torture itself shall get: `--minutes M`, `--seed S`, `--fault F`, `--planted`, `--keep FOLDER`;
    /// `--help` tells more.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

/// Builds a server with the hooks, in the profile of the tests, and pulls the plug on it.
pub fn torture(arguments: &TortureArguments) -> Result<ExitCode> {
    catch_interrupts()?;
    let mut build = cargo();
    build.args(["build", "--package", "castellan", "--package", "castellan-torture", "--features", FEATURES]);
    if !foreground(&mut build)?.success() {
        return Ok(ExitCode::FAILURE);
    }
    pull_the_plug(&arguments.arguments)
}

/// Runs the torture that was built last, on the server that was.
pub(crate) fn pull_the_plug(arguments: &[String]) -> Result<ExitCode> {
    let programs = std::env::current_exe()?;
    let programs = programs.parent().context("this program lies in a folder")?;
    let folder = tempfile::Builder::new().prefix("castellan-torture-").tempdir()?;
    // Another build may put another server in its place at any moment.
    let server = folder.path().join("castellan");
    std::fs::copy(programs.join("castellan"), &server)?;
    let mut torture = Command::new(programs.join("castellan-torture"));
    torture.arg("run").args(arguments);
    torture.arg("--server").arg(&server).arg("--commit").arg(commit());
    let status = foreground(&mut torture)?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The commit that is checked out, with a plus where files differ from it.
fn commit() -> String {
    let git = |arguments: &[&str]| quietly(Command::new("git").current_dir(workspace()).args(arguments));
    let Ok(commit) = git(&["rev-parse", "--short", "HEAD"]) else { return "unknown".to_owned() };
    let changed = git(&["status", "--porcelain"]).is_ok_and(|changes| !changes.is_empty());
    format!("{}{}", commit.trim(), if changed { "+" } else { "" })
}
