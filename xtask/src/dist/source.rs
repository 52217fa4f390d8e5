//! The commit that is packed, in a folder of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::run::{quietly, workspace};

/// A clean checkout.
pub(super) struct Source {
    pub(super) folder: PathBuf,
    pub(super) commit: String,
    /// When the commit was made, in seconds since 1970: the time of all that is packed.
    pub(super) time: u64,
}

impl Source {
    /// Clones the commit that is checked out. Changes that are not committed are left out.
    pub(super) fn checkout(folder: &Path) -> Result<Self> {
        let here = workspace();
        let git = |arguments: &[&str]| quietly(Command::new("git").arg("-C").arg(&here).args(arguments));
        let commit = git(&["rev-parse", "HEAD"]).context("only a clone of the repository can be packed")?;
        let time = git(&["log", "-1", "--format=%ct"])?.trim().parse().context("the time of the commit")?;
        if !git(&["status", "--porcelain"])?.is_empty() {
            eprintln!("Changes that are not committed are left out.");
        }
        if folder.exists() {
            fs::remove_dir_all(folder)?;
        }
        quietly(Command::new("git").args(["clone", "--quiet", "--shared"]).arg(&here).arg(folder))?;
        let commit = commit.trim().to_owned();
        quietly(Command::new("git").arg("-C").arg(folder).args(["checkout", "--quiet", "--detach", &commit]))?;
        Ok(Self { folder: folder.canonicalize()?, commit, time })
    }

    /// The version of the workspace.
    pub(super) fn version(&self) -> Result<String> {
        let manifest = fs::read_to_string(self.folder.join("Cargo.toml"))?;
        let version = manifest.lines().find_map(|line| line.strip_prefix("version = \"")?.strip_suffix('"'));
        Ok(version.context("Cargo.toml has no version")?.to_owned())
    }
}
