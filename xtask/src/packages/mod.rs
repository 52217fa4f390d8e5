//! The Debian package and the image, and checks of them and of what `deploy/` says: the package in a Debian, the image in a
//! container, the manifests by their schemas. The tests run them on the tests' programs.

mod chroot;
mod client;
mod debian;
mod image;
mod installed;
mod manifests;
mod podman;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use crate::machine::is_root;
use crate::run::{quietly, workspace};

pub use debian::{Contents, package};
pub(crate) use image::deployment;
pub use image::{check as check_image, stage as stage_image};
pub use installed::check as check_package;
pub use manifests::check as check_manifests;

/// Makes the package of a program, without the licences of what it is made of, in the folder `folder`.
///
/// # Errors
///
/// If cargo-deb cannot be had, or a file of the package is missing.
pub fn package_of(program: &Path, folder: &Path) -> Result<PathBuf> {
    let program = &stripped(program, &folder.join("stripped"))?;
    let licences = "Left out: this package is for tests only.\n";
    let contents = Contents { program, licences, is_hasty: true };
    package(&workspace(), 0, &contents, &folder.join("stage"), folder)
}

/// Copies a program without what only debuggers need: four fifths of the tests' programs.
fn stripped(program: &Path, to: &Path) -> Result<PathBuf> {
    quietly(Command::new("strip").arg("--strip-debug").arg("-o").arg(to).arg(program))?;
    Ok(to.to_owned())
}

/// Fails on machines that cannot do what `what` says, and says why.
fn needs_root(what: &str) -> Result<()> {
    let elsewhere = "leave these tests out: cargo xtask test -- -- --skip packages::";
    if !cfg!(target_os = "linux") {
        bail!("{what} needs Linux; {elsewhere}");
    }
    if !is_root() {
        bail!("{what} needs root; run it as root, or {elsewhere}");
    }
    if let Err(error) = quietly(Command::new("unshare").args(["--mount", "--", "mount", "-t", "tmpfs", "none", "/mnt"]))
    {
        bail!("{what} needs a root who may mount, as in a container with --privileged; or {elsewhere}\n{error:#}");
    }
    Ok(())
}

/// An address of this machine that nobody listens on.
fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}
