//! Programs from Debian's packages that are unpacked, not installed: installing some would start a server.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::machine::on_path;
use crate::run::{quietly, target};

/// A folder under `target/` with the files of these packages. Unpacks them if they are not there. Needs no root, and runs
/// nothing of the packages.
///
/// # Errors
///
/// A message that starts with `wanted`, if this is no Debian or the packages cannot be had.
pub fn unpacked(wanted: &str, packages: &[&str]) -> Result<PathBuf> {
    if on_path("apt-get").is_none() || on_path("dpkg-deb").is_none() {
        bail!("{wanted}: please install it; only on Debian this is done for you.");
    }
    let folder = target().join("debian").join(packages.join("+"));
    if !folder.is_dir() {
        unpack(packages, &folder).with_context(|| format!("{wanted}, and Debian's package cannot be had"))?;
    }
    Ok(folder)
}

/// A program in such a folder, which finds the libraries there.
pub fn program(folder: &Path, path: &str) -> Command {
    let mut command = Command::new(folder.join(path));
    let libraries = format!("usr/lib/{}-linux-gnu", std::env::consts::ARCH);
    command.env("LD_LIBRARY_PATH", folder.join(libraries));
    command
}

fn unpack(packages: &[&str], folder: &Path) -> Result<()> {
    // Beside it, so that a half-unpacked folder is never taken for a whole one.
    let parent = folder.parent().context("a folder in target/")?;
    fs::create_dir_all(parent)?;
    let work = tempfile::Builder::new().prefix("unpacking-").tempdir_in(parent)?;
    let (archives, files) = (work.path().join("archives"), work.path().join("files"));
    fs::create_dir(&archives)?;
    let fetch =
        || quietly(Command::new("apt-get").current_dir(&archives).args(["download", "-qq"]).args(packages)).map(drop);
    if fetch().is_err() {
        // The lists of packages may be missing or old. Only root can renew them.
        quietly(Command::new("apt-get").args(["update", "-qq"]))?;
        fetch()?;
    }
    for archive in fs::read_dir(&archives)? {
        quietly(Command::new("dpkg-deb").arg("-x").arg(archive?.path()).arg(&files))?;
    }
    match fs::rename(&files, folder) {
        // Another process was first.
        Err(_) if folder.is_dir() => Ok(()),
        renamed => Ok(renamed?),
    }
}
