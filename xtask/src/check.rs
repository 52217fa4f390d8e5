//! `cargo xtask check`.

use std::process::ExitCode;

use anyhow::Result;

use crate::machine::on_path;
use crate::run::{cargo, catch_interrupts, foreground};

/// Runs all checks and succeeds where all of them do.
pub fn check() -> Result<ExitCode> {
    catch_interrupts()?;
    let mut checks = vec![
        vec!["fmt", "--all", "--check"],
        vec!["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"],
        vec!["doc", "--workspace", "--no-deps"],
    ];
    if on_path("cargo-deny").is_some() {
        checks.push(vec!["deny", "check"]);
    } else {
        eprintln!("cargo-deny is not installed: licences and advisories are not checked.");
    }
    let mut good = true;
    for arguments in checks {
        eprintln!("cargo {}", arguments.join(" "));
        good &= foreground(cargo().args(&arguments).env("RUSTDOCFLAGS", "-D warnings"))?.success();
    }
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
