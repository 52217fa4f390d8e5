//! A wall clock for the servers, moved with libfaketime.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::process::Command;

/// Paths of the library in common distributions.
const LIBRARIES: [&str; 4] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1",
    "/usr/lib64/faketime/libfaketime.so.1",
    "/usr/lib/faketime/libfaketime.so.1",
];

/// A wall clock for servers. Their monotonic clock is unchanged.
pub struct FakeClock {
    library: PathBuf,
    offset: PathBuf,
}

impl FakeClock {
    /// Finds or installs the library and sets the clock to the real time.
    ///
    /// # Errors
    ///
    /// A message that says what to install.
    pub fn new(folder: &Path) -> Result<Self> {
        let library = match found() {
            Some(library) => library,
            None => {
                xtask::machine::install("Moving the clock needs libfaketime", &["libfaketime"], "libfaketime")?;
                found().context("libfaketime is installed, but not in a usual place")?
            }
        };
        let clock = Self { library, offset: folder.join("clock") };
        clock.set(Duration::ZERO)?;
        Ok(clock)
    }

    /// Sets the clock ahead of the real time.
    ///
    /// # Errors
    ///
    /// An error of the operating system.
    pub fn set(&self, ahead: Duration) -> Result<()> {
        // Renamed into place, because a server may read at any moment.
        let new = self.offset.with_extension("new");
        fs::write(&new, format!("+{}\n", ahead.as_secs()))?;
        Ok(fs::rename(&new, &self.offset)?)
    }

    /// Makes a program use this clock once it is started.
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
