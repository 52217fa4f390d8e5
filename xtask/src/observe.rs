//! `cargo xtask observe`.

use std::process::{Command, ExitCode};

use anyhow::Result;

use crate::python::Packages;
use crate::run::{foreground, target, workspace};
use crate::test::{TestArguments, run};

/// The test takes its time if this variable is set, and puts what the panels show into the file that it names.
const IN_FULL: &str = "CASTELLAN_TEST_OBSERVE_IN_FULL";

/// What draws the picture.
const DRAWING: Packages = Packages { folder: "draw-python", wanted: &["matplotlib>=3.9,<4"], imports: "matplotlib" };

/// Provokes alerts for real, with the durations of `grafana/alerts.yml`: the test `observe::troubles…` in full. Draws the
/// main panels from what Prometheus has recorded.
pub fn observe() -> Result<ExitCode> {
    let recorded = target().join("observe.json");
    let arguments = ["-p", "castellan", "--features", "faults,planted", "--test", "it"];
    let filter = ["--", "observe::troubles", "--nocapture"];
    let arguments = arguments.iter().chain(&filter).map(|argument| (*argument).to_owned()).collect();
    let file = recorded.to_string_lossy();
    let tested = run(&TestArguments { arguments, durable: false }, &[(IN_FULL, &*file)])?;
    if tested != ExitCode::SUCCESS {
        return Ok(tested);
    }
    let picture = workspace().join("docs/dashboards.png");
    let mut draw = Command::new(DRAWING.python()?);
    draw.arg(workspace().join("grafana/draw.py")).arg(&recorded).arg(&picture);
    let drawn = foreground(&mut draw)?.success();
    Ok(if drawn { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
