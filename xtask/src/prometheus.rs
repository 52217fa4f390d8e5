//! Prometheus' programs, for tests of the alerts.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::machine::on_path;
use crate::run::{quietly, workspace};

/// The program `promtool`. Unpacks Debian's package under `target/` if the machine has none: installing it would start a
/// server.
///
/// # Errors
///
/// Says what to install.
pub fn promtool() -> Result<PathBuf> {
    if let Some(program) = on_path("promtool") {
        return Ok(program);
    }
    let wanted = "The tests need promtool";
    if on_path("apt-get").is_none() || on_path("dpkg-deb").is_none() {
        bail!("{wanted}: please install Prometheus, for example with `brew install prometheus`.");
    }
    let folder = workspace().join("target/prometheus");
    let program = folder.join("usr/bin/promtool");
    if !program.is_file() {
        unpack("prometheus", &folder).with_context(|| format!("{wanted}, and Debian's package cannot be had"))?;
    }
    Ok(program)
}

/// Downloads a package of Debian and unpacks it into a folder. Needs no root, and runs nothing of the package.
fn unpack(package: &str, folder: &Path) -> Result<()> {
    // Beside it, so that a half-unpacked folder is never taken for a whole one.
    let parent = folder.parent().context("a folder in target/")?;
    fs::create_dir_all(parent)?;
    let download = tempfile::Builder::new().prefix("debian-").tempdir_in(parent)?;
    let fetch =
        || quietly(Command::new("apt-get").current_dir(download.path()).args(["download", "-qq", package])).map(drop);
    if fetch().is_err() {
        // The lists of packages may be missing or old. Only root can renew them.
        quietly(Command::new("apt-get").args(["update", "-qq"]))?;
        fetch()?;
    }
    let archive = fs::read_dir(download.path())?.next().context("apt-get download left no file")??.path();
    let unpacked = download.path().join("unpacked");
    quietly(Command::new("dpkg-deb").arg("-x").arg(archive).arg(&unpacked))?;
    // Another test may have been first.
    if !folder.exists() {
        fs::rename(&unpacked, folder)?;
    }
    Ok(())
}
