//! Looks for programs on this machine and installs missing ones.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::run::{foreground, quietly};

/// Returns true if this process is root.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// The file of the program `name` on the PATH.
pub fn on_path(name: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?).map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// Installs packages with apt-get, if this machine has it and this process is root.
///
/// # Errors
///
/// Otherwise a message that starts with `wanted` and says what to install.
pub fn install(wanted: &str, debian: &[&str], elsewhere: &str) -> Result<()> {
    let packages = debian.join(" ");
    if !Path::new("/etc/debian_version").exists() {
        bail!("{wanted}: please install {elsewhere}.");
    }
    if !is_root() || on_path("apt-get").is_none() {
        bail!("{wanted}: please run `sudo apt-get install {packages}`.");
    }
    eprintln!("{wanted}: installing {packages} with apt-get.");
    let apt = |arguments: &[&str]| -> Result<()> {
        let status = foreground(Command::new("apt-get").env("DEBIAN_FRONTEND", "noninteractive").args(arguments))?;
        if !status.success() {
            bail!("apt-get {} failed ({status})", arguments.join(" "));
        }
        Ok(())
    };
    apt(&["update", "-qq"])?;
    apt(&[&["install", "-qq", "-y", "--no-install-recommends"], debian].concat())
}

/// User id and group id of an unprivileged user, for programs that refuse to run as root.
pub fn unprivileged_user() -> Result<(u32, u32)> {
    let number = |flag: &str, user: &str| -> Result<u32> {
        quietly(Command::new("id").arg(flag).arg(user))?.trim().parse().context("`id` did not print a number")
    };
    ["postgres", "nobody"]
        .into_iter()
        .find_map(|user| Some((number("-u", user).ok()?, number("-g", user).ok()?)))
        .context("neither the user postgres nor the user nobody exists; do not run this as root")
}
