//! A small disk that can be filled: a tmpfs.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};
use xtask::run::quietly;

/// A small disk. Unmounted when dropped.
pub struct SmallDisk {
    folder: PathBuf,
}

impl SmallDisk {
    /// Creates a folder and mounts a disk of this many bytes there.
    ///
    /// # Errors
    ///
    /// Fails if this process may not mount, or with an error of the operating system.
    pub fn mount(folder: &Path, bytes: u64) -> Result<Self> {
        fs::create_dir_all(folder)?;
        if !xtask::machine::is_root() {
            bail!("mounting a small disk needs root");
        }
        quietly(Command::new("mount").args(["-t", "tmpfs", "-o", &format!("size={bytes}"), "tmpfs"]).arg(folder))?;
        Ok(Self { folder: folder.to_owned() })
    }

    /// Fills the disk.
    ///
    /// # Errors
    ///
    /// Any error of the operating system except a full disk.
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

    /// Frees the filled space.
    ///
    /// # Errors
    ///
    /// An error of the operating system.
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
            eprintln!("cannot unmount {}: {error:#}", self.folder.display());
        }
    }
}
