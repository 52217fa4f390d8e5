//! `cargo xtask test`.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use crate::postgres::{Cluster, ClusterOptions};
use crate::python::python;
use crate::run::{cargo, catch_interrupts, foreground};
use crate::torture::{FEATURES, pull_the_plug};

/// How long the torture goes on that ends a run of all tests.
const TORTURE_MINUTES: &str = "1";

/// What to test.
#[derive(Args)]
pub struct TestArguments {
    /// What `cargo test` shall get: a part of the tests' names, `-p PACKAGE`, and behind another `--` what the test
    /// programs shall get. Without any, all packages are tested, and a minute of torture follows.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
    /// Let PostgreSQL wait for the disk at each commit, as a real one does.
    #[arg(long)]
    durable: bool,
}

/// Starts what the tests need, runs them, and stops it again whatever comes.
pub fn test(arguments: &TestArguments) -> Result<ExitCode> {
    catch_interrupts()?;
    let python = python()?;
    let cluster = Cluster::start(ClusterOptions { durable: arguments.durable, ..ClusterOptions::default() })?;
    let mut command = cargo();
    command.arg("test");
    let packages = arguments.arguments.iter().take_while(|argument| *argument != "--");
    if !packages.into_iter().any(|argument| argument.starts_with("-p") || argument.starts_with("--package")) {
        // The server gets its hooks, so that the torture finds the one that the tests have built.
        command.args(["--workspace", "--features", FEATURES]);
    }
    command.args(&arguments.arguments);
    command.env("CASTELLAN_TEST_POSTGRES", cluster.url());
    command.env("CASTELLAN_TEST_PYTHON", python);
    if !foreground(&mut command)?.success() {
        return Ok(ExitCode::FAILURE);
    }
    if !arguments.arguments.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("\nThe plug is pulled for a minute.");
    pull_the_plug(&["--minutes".to_owned(), TORTURE_MINUTES.to_owned()])
}
