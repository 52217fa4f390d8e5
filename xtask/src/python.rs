//! A Python with packages, for tests: those of a foreign client, those that know schemas, and an OpenTelemetry collector.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::machine::{install, on_path};
use crate::run::{quietly, target};

/// The packages that most tests need. Grafana's are numbered by the time of their release, then by the Grafana that they
/// describe.
const OF_TESTS: Packages = Packages {
    folder: "test-python",
    wanted: &["websockets>=13,<17", "msgpack>=1,<2", "grafana-foundation-sdk==1769699379!11.6.0", "rotel==0.0.1a15"],
    imports: "grafana_foundation_sdk, msgpack, rotel, websockets",
};

/// A virtual environment under `target/`.
pub struct Packages {
    /// Its folder.
    pub folder: &'static str,
    /// Packages from PyPI, with their versions.
    pub wanted: &'static [&'static str],
    /// What only an environment with all of them can import.
    pub imports: &'static str,
}

impl Packages {
    /// The interpreter that has the packages. Creates a missing one.
    ///
    /// # Errors
    ///
    /// If Python or a package cannot be had.
    pub fn python(&self) -> Result<PathBuf> {
        let folder = target().join(self.folder);
        let (python, made) = (folder.join("bin/python"), folder.join("packages"));
        let has_packages = || {
            let imports = format!("import {}", self.imports);
            let is_this = std::fs::read_to_string(&made).is_ok_and(|made| made == self.wanted.join("\n"));
            is_this && quietly(Command::new(&python).args(["-c", &imports])).is_ok()
        };
        if !has_packages() {
            make(&folder)?;
            let mut pip = Command::new(&python);
            pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).args(self.wanted);
            quietly(&mut pip).with_context(|| format!("cannot install from PyPI: {}", self.wanted.join(" ")))?;
            std::fs::write(&made, self.wanted.join("\n"))?;
        }
        Ok(python)
    }
}

/// The interpreter with the packages that most tests need.
pub fn python() -> Result<PathBuf> {
    OF_TESTS.python()
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
