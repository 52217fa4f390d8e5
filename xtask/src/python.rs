//! A Python with packages for the tests: a foreign client's, an OpenTelemetry collector, and the check of the dashboards.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::machine::{install, on_path};
use crate::run::{quietly, workspace};

/// The packages from PyPI. Grafana's are numbered by the time of their release, then by the Grafana that they describe.
const PACKAGES: [&str; 4] =
    ["websockets>=13,<17", "msgpack>=1,<2", "grafana-foundation-sdk==1769699379!11.6.0", "rotel==0.0.1a15"];

/// The interpreter of a virtual environment under `target/` with the packages. Creates a missing one.
pub fn python() -> Result<PathBuf> {
    let folder = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace().join("target"), PathBuf::from);
    let folder = folder.join("test-python");
    let python = folder.join("bin/python");
    if !has_packages(&python) {
        make(&folder)?;
        let mut pip = Command::new(&python);
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).args(PACKAGES);
        quietly(&mut pip).with_context(|| format!("cannot install from PyPI: {}", PACKAGES.join(", ")))?;
    }
    Ok(python)
}

fn has_packages(python: &Path) -> bool {
    python.exists()
        && quietly(Command::new(python).args(["-c", "import grafana_foundation_sdk, msgpack, rotel, websockets"]))
            .is_ok()
}

fn make(folder: &Path) -> Result<()> {
    let attempt = || {
        let python = on_path("python3").context("python3 is not on the PATH")?;
        quietly(Command::new(python).args(["-m", "venv", "--clear"]).arg(folder))
    };
    if attempt().is_err() {
        install(
            "The tests run a client in Python, which needs python3 with venv",
            &["python3", "python3-venv"],
            "Python 3 with venv",
        )?;
        attempt()?;
    }
    Ok(())
}
