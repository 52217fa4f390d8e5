//! `cargo xtask check`.

use std::process::ExitCode;

use anyhow::Result;

use crate::deny::dependencies_are_allowed;
use crate::run::{cargo, catch_interrupts, foreground};

/// Runs all checks and succeeds if all of them do.
pub fn check() -> Result<ExitCode> {
    catch_interrupts()?;
    let checks = [
        vec!["fmt", "--all", "--check"],
        vec!["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"],
        vec!["doc", "--workspace", "--no-deps"],
    ];
    let mut good = true;
    for arguments in checks {
        eprintln!("cargo {}", arguments.join(" "));
        good &= foreground(cargo().args(&arguments).env("RUSTDOCFLAGS", "-D warnings"))?.success();
    }
    eprintln!("cargo deny check licenses bans sources");
    good &= dependencies_are_allowed()?;
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
