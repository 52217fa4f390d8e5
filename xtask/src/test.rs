//! `cargo xtask test`.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use crate::pgbouncer;
use crate::postgres::{Cluster, ClusterOptions};
use crate::python::python;
use crate::run::{cargo, catch_interrupts, foreground};
use crate::torture::{FEATURES, pull_the_plug};

/// The tortures at the end of a run of all tests: long enough for some faults on each database, and on a cluster.
const TORTURES: [&[&str]; 2] = [&["--minutes", "1.75"], &["--cluster", "--minutes", "1"]];

/// Arguments of the tests.
#[derive(Args)]
pub struct TestArguments {
    /// Arguments passed to `cargo test`: a part of the tests' names, `-p PACKAGE`, and after another `--` arguments for
    /// the test programs. Default: all packages, followed by nearly three minutes of torture.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) arguments: Vec<String>,
    /// Make PostgreSQL wait for the disk at each commit, as in production.
    #[arg(long)]
    pub(crate) durable: bool,
}

/// Starts the programs that the tests need, runs the tests, and always cleans up.
pub fn test(arguments: &TestArguments) -> Result<ExitCode> {
    run(arguments, &[])
}

/// Does that with these variables in the tests' environment.
pub(crate) fn run(arguments: &TestArguments, variables: &[(&str, &str)]) -> Result<ExitCode> {
    catch_interrupts()?;
    let python = python()?;
    // Installed here, so that the tests find it.
    pgbouncer::program()?;
    let cluster = Cluster::start(ClusterOptions { durable: arguments.durable, ..ClusterOptions::default() })?;
    let mut command = cargo();
    command.arg("test");
    let packages = arguments.arguments.iter().take_while(|argument| *argument != "--");
    if !packages.into_iter().any(|argument| argument.starts_with("-p") || argument.starts_with("--package")) {
        // Builds the server with its hooks, so that the torture can use the same build.
        command.args(["--workspace", "--features", FEATURES]);
    }
    command.args(&arguments.arguments);
    command.env("CASTELLAN_TEST_POSTGRES", cluster.url());
    command.env("CASTELLAN_TEST_POSTGRES_PROGRAMS", cluster.programs());
    command.env("CASTELLAN_TEST_PYTHON", python);
    command.envs(variables.iter().copied());
    if !foreground(&mut command)?.success() {
        return Ok(ExitCode::FAILURE);
    }
    if !arguments.arguments.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    for arguments in TORTURES {
        eprintln!("\nRunning the torture: {}.", arguments.join(" "));
        let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        if pull_the_plug(&arguments)? != ExitCode::SUCCESS {
            return Ok(ExitCode::FAILURE);
        }
    }
    Ok(ExitCode::SUCCESS)
}
