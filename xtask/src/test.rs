//! `cargo xtask test`.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use crate::postgres::{Cluster, ClusterOptions};
use crate::python::python;
use crate::run::{cargo, catch_interrupts, foreground};

/// What to test.
#[derive(Args)]
pub struct TestArguments {
    /// What `cargo test` shall get: a part of the tests' names, `-p PACKAGE`, and behind another `--` what the test
    /// programs shall get. Without `-p` all packages are tested.
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
        command.arg("--workspace");
    }
    command.args(&arguments.arguments);
    command.env("CASTELLAN_TEST_POSTGRES", cluster.url());
    command.env("CASTELLAN_TEST_PYTHON", python);
    let status = foreground(&mut command)?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
