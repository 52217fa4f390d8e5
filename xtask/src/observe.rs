//! `cargo xtask observe`.

use std::process::ExitCode;

use anyhow::Result;

use crate::test::{TestArguments, run};

/// The test that has time if this variable is set.
const IN_FULL: (&str, &str) = ("CASTELLAN_TEST_OBSERVE_IN_FULL", "1");

/// Provokes alerts for real, with the durations of `grafana/alerts.yml`: the test `observe::troubles…` in full.
pub fn observe() -> Result<ExitCode> {
    let arguments = ["-p", "castellan", "--features", "faults,planted", "--test", "it"];
    let filter = ["--", "observe::troubles", "--nocapture"];
    let arguments = arguments.iter().chain(&filter).map(|argument| (*argument).to_owned()).collect();
    run(&TestArguments { arguments, durable: false }, &[IN_FULL])
}
