//! A clock of the servers' own, moved by libfaketime.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::process::Command;

/// Where distributions put the library.
const LIBRARIES: [&str; 4] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1",
    "/usr/lib64/faketime/libfaketime.so.1",
    "/usr/lib/faketime/libfaketime.so.1",
];

/// The wall clock of servers that were started with it; their monotonic clock goes on as it is.
pub struct FakeClock {
    library: PathBuf,
    offset: PathBuf,
}

impl FakeClock {
    /// Looks for the library, installs it where that can be done, and sets the clock right.
    ///
    /// # Errors
    ///
    /// A sentence that says what to install.
    pub fn new(folder: &Path) -> Result<Self> {
        let library = match found() {
            Some(library) => library,
            None => {
                xtask::machine::install("Moving the clock needs libfaketime", &["libfaketime"], "libfaketime")?;
                found().context("libfaketime was installed, but it is not where it usually is")?
            }
        };
        let clock = Self { library, offset: folder.join("clock") };
        clock.set(Duration::ZERO)?;
        Ok(clock)
    }

    /// Sets the clock ahead by this much.
    ///
    /// # Errors
    ///
    /// What the operating system says.
    pub fn set(&self, ahead: Duration) -> Result<()> {
        // Renamed into place: a server may read at any moment.
        let new = self.offset.with_extension("new");
        fs::write(&new, format!("+{}\n", ahead.as_secs()))?;
        Ok(fs::rename(&new, &self.offset)?)
    }

    /// Has a program that is about to be started use this clock.
    pub fn apply(&self, command: &mut Command) {
        command
            .env("LD_PRELOAD", &self.library)
            .env("FAKETIME_TIMESTAMP_FILE", &self.offset)
            .env("FAKETIME_CACHE_DURATION", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    }
}

fn found() -> Option<PathBuf> {
    LIBRARIES.iter().map(PathBuf::from).find(|library| library.is_file())
}
