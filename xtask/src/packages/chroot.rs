//! A small Debian in a folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::debian::unpacked;
use crate::run::{quietly, target};

/// Packages that ours needs, and that not every Debian has.
const PACKAGES: &str = "systemd-standalone-sysusers";

/// A copy of the Debian, removed when it is dropped.
pub(super) struct Chroot(TempDir);

impl Chroot {
    /// The same release as this machine's, so that the tests' programs find their libraries. It is made once; every
    /// check gets a copy.
    pub(super) fn new() -> Result<Self> {
        let release = fs::read_to_string("/etc/os-release").context("this machine must be a Debian")?;
        let name = release.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
        let name = name.context("/etc/os-release has no VERSION_CODENAME")?;
        let folder = target().join("debian");
        fs::create_dir_all(&folder)?;
        let original = folder.join(format!("{name}.tar"));
        if !original.is_file() {
            bootstrap(name, &original)?;
        }
        let copy = tempfile::Builder::new().prefix("castellan-debian-").tempdir_in(&folder)?;
        quietly(Command::new("tar").arg("--extract").arg("--file").arg(&original).arg("--directory").arg(copy.path()))?;
        Ok(Self(copy))
    }

    pub(super) fn folder(&self) -> &Path {
        self.0.path()
    }

    /// A command in there. It becomes the program without a process in between, so that signals reach it.
    ///
    /// `user` is one of the chroot's users. What it mounts ends with it.
    pub(super) fn command(&self, user: &str, folder: &str, arguments: &[&str]) -> Command {
        let mount = r#"mount -t proc proc "$1/proc" && mount --rbind /dev "$1/dev" && cd "$1" && shift && exec "$@""#;
        let mut command = Command::new("unshare");
        command.args(["--mount", "--", "sh", "-euc", mount, "sh"]).arg(self.folder());
        command.args(["chroot", &format!("--userspec={user}:{user}"), "."]);
        command.args(["sh", "-euc", r#"cd "$1" && shift && exec "$@""#, "sh", folder]).args(arguments);
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("DEBIAN_FRONTEND", "noninteractive");
        command
    }

    /// Runs a command as root, which must succeed.
    pub(super) fn run(&self, arguments: &[&str]) -> Result<String> {
        quietly(&mut self.command("root", "/", arguments)).with_context(|| arguments.join(" "))
    }

    /// Returns true if the file is there.
    pub(super) fn has(&self, path: &str) -> bool {
        fs::symlink_metadata(self.folder().join(path.trim_start_matches('/'))).is_ok()
    }
}

fn bootstrap(release: &str, file: &Path) -> Result<()> {
    eprintln!("Making a small Debian under target/, which takes a minute.");
    let folder = unpacked("The tests of packages need mmdebstrap", &["mmdebstrap"])?;
    let unfinished = PathBuf::from(format!("{}.unfinished", file.display()));
    let mut command = Command::new("perl");
    command.arg(folder.join("usr/bin/mmdebstrap")).args(["--quiet", "--variant=apt", "--format=tar"]);
    command.arg(format!("--include={PACKAGES}")).arg(release).arg(&unfinished);
    quietly(&mut command).context("mmdebstrap cannot make a Debian; it needs perl, root and Debian's mirror")?;
    Ok(fs::rename(unfinished, file)?)
}
