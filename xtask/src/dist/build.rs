//! Builds the programs so that they run on every Linux, and so that two builds of one commit are the same.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::PROGRAMS;
use super::source::Source;
use crate::run::{cargo, foreground, quietly};

/// The profile in `Cargo.toml`.
const PROFILE: &str = "dist";

/// This machine's triple, such as `x86_64-unknown-linux-gnu`.
///
/// # Errors
///
/// If it is not one of Linux with glibc: only there a static program can be linked with what is installed.
pub(super) fn triple() -> Result<String> {
    let said = quietly(Command::new("rustc").arg("-vV"))?;
    let triple = said.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc -vV names no host")?;
    if !triple.ends_with("-linux-gnu") {
        bail!("packages are made on Linux with glibc; this machine is {triple}");
    }
    Ok(triple.to_owned())
}

/// Builds the programs in the folder `target`, and returns the folder that has them.
///
/// They are linked statically. With glibc 2.34 or newer a static program looks names up in `/etc/hosts` and in DNS by
/// itself; only other sources of `/etc/nsswitch.conf` are not asked. The linker warns of `getaddrinfo` all the same.
pub(super) fn programs(source: &Source, target: &Path, triple: &str) -> Result<PathBuf> {
    fs::create_dir_all(target)?;
    let target = target.canonicalize()?;
    let sysroot = quietly(Command::new("rustc").args(["--print", "sysroot"]))?;
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(std::env::home_dir()?.join(".cargo"))).context("where are cargo's files?")?;
    // No path of this machine may be in the programs.
    let renamed = [
        (source.folder.as_path(), "/castellan"),
        (target.as_path(), "/castellan/target"),
        (home.as_path(), "/cargo"),
        (Path::new(sysroot.trim()), "/rust"),
    ];
    let renames = |flag: &str| renamed.map(|(from, to)| format!("{flag}={}={to}", from.display())).join(" ");
    let mut command = cargo();
    command.current_dir(&source.folder).args(["build", "--locked", "--profile", PROFILE, "--target", triple]);
    command.args(PROGRAMS.iter().flat_map(|program| ["--package", program]));
    command.env("CARGO_TARGET_DIR", &target);
    command.env("RUSTFLAGS", format!("-C target-feature=+crt-static {}", renames("--remap-path-prefix")));
    command.env("CFLAGS", renames("-ffile-prefix-map"));
    command.env("CASTELLAN_COMMIT", &source.commit);
    command.env("SOURCE_DATE_EPOCH", source.time.to_string());
    command.env_remove("CARGO_ENCODED_RUSTFLAGS");
    if !foreground(&mut command)?.success() {
        bail!("the programs cannot be built");
    }
    Ok(target.join(triple).join(PROFILE))
}
