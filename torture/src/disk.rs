//! A small disk that can be full: a tmpfs of its own size.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};
use xtask::run::quietly;

/// A small disk; unmounted when this is dropped.
pub struct SmallDisk {
    folder: PathBuf,
}

impl SmallDisk {
    /// Mounts a disk of so many bytes at a folder, which is made.
    ///
    /// # Errors
    ///
    /// Where this process may not mount, or the operating system says no.
    pub fn mount(folder: &Path, bytes: u64) -> Result<Self> {
        fs::create_dir_all(folder)?;
        if !xtask::machine::is_root() {
            bail!("only root may mount a small disk");
        }
        quietly(Command::new("mount").args(["-t", "tmpfs", "-o", &format!("size={bytes}"), "tmpfs"]).arg(folder))?;
        Ok(Self { folder: folder.to_owned() })
    }

    /// Uses up all room that is left.
    ///
    /// # Errors
    ///
    /// What the operating system says, but that there is no room.
    pub fn fill(&self) -> Result<()> {
        let mut ballast = File::create(self.ballast())?;
        for size in [64 * 1024, 1] {
            let bytes = vec![0; size];
            loop {
                match ballast.write_all(&bytes) {
                    Ok(()) => {}
                    Err(error) if error.kind() == ErrorKind::StorageFull => break,
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(())
    }

    /// Gives the room back.
    ///
    /// # Errors
    ///
    /// What the operating system says.
    pub fn clear(&self) -> Result<()> {
        Ok(fs::remove_file(self.ballast())?)
    }

    fn ballast(&self) -> PathBuf {
        self.folder.join("ballast")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        if let Err(error) = quietly(Command::new("umount").arg("-l").arg(&self.folder)) {
            eprintln!("{} could not be unmounted: {error:#}", self.folder.display());
        }
    }
}
