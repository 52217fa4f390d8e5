//! What a person types: `cargo xtask test`, `check`, `deny`, `audit`, `docs`, `dist`, `observe`, `fuzz`, `torture`, `bench`.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use xtask::bench::{BenchArguments, bench};
use xtask::check::check;
use xtask::deny::{audit, deny};
use xtask::dist::{DistArguments, dist};
use xtask::docs::docs;
use xtask::fuzz::{FuzzArguments, fuzz};
use xtask::observe::observe;
use xtask::test::{TestArguments, test};
use xtask::torture::{TortureArguments, torture};

/// Tasks of this repository.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Runs all tests, on SQLite and on a throwaway PostgreSQL.
    Test(TestArguments),
    /// Checks the code without running it: format, lints, documentation, and everything that `deny` checks.
    Check,
    /// Checks licences, bans and sources of all dependencies; installs cargo-deny under `target/` if it is missing.
    Deny,
    /// Looks all dependencies up in RustSec's advisory database; exits with 2 if it cannot be fetched.
    Audit,
    /// Makes a book of the documents, in `target/book`; installs mdbook under `target/` if it is missing.
    Docs,
    /// Packs the checked-out commit: an archive, a Debian package, licences, bills of materials, checksums.
    Dist(DistArguments),
    /// Provokes alerts for real, with Prometheus and Alertmanager, in the time that they take: eleven minutes.
    Observe,
    /// Sends spoiled frames, requests and tokens to everything that reads them, for as long as you like.
    Fuzz(FuzzArguments),
    /// Pulls the plug on a server under load in many ways, and checks that nothing is lost or done twice.
    Torture(TortureArguments),
    /// Measures the server against a bare WebSocket echo, on SQLite and on a throwaway PostgreSQL.
    Bench(BenchArguments),
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().task {
        Task::Test(arguments) => test(&arguments),
        Task::Check => check(),
        Task::Deny => deny(),
        Task::Audit => audit(),
        Task::Docs => docs(),
        Task::Dist(arguments) => dist(&arguments),
        Task::Observe => observe(),
        Task::Fuzz(arguments) => fuzz(&arguments),
        Task::Torture(arguments) => torture(&arguments),
        Task::Bench(arguments) => bench(&arguments),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}
