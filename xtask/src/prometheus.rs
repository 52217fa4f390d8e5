//! Prometheus' programs, for tests of the alerts and the dashboards.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::debian::unpacked;
use crate::machine::on_path;

/// The program `promtool`.
///
/// # Errors
///
/// Says what to install.
pub fn promtool() -> Result<PathBuf> {
    find("promtool", "prometheus", "The tests need promtool, a part of Prometheus")
}

/// The server `prometheus`.
///
/// # Errors
///
/// Says what to install.
pub fn prometheus() -> Result<PathBuf> {
    find("prometheus", "prometheus", "The tests need Prometheus")
}

/// A command that runs the server that sends alerts to people.
///
/// # Errors
///
/// Says what to install.
pub fn alertmanager() -> Result<Command> {
    if let Some(program) = ["alertmanager", "prometheus-alertmanager"].into_iter().find_map(on_path) {
        return Ok(Command::new(program));
    }
    let folder = unpacked("The tests need Prometheus' Alertmanager", &["prometheus-alertmanager"])?;
    // Debian's reads templates in `/usr/share`: this one sees the package's files there.
    let mut command = Command::new("unshare");
    command.args(["--map-root-user", "--mount", "sh", "-c"]);
    command.arg("mount --bind \"$0/usr/share\" /usr/share && exec \"$0/usr/bin/prometheus-alertmanager\" \"$@\"");
    command.arg(folder);
    Ok(command)
}

fn find(program: &str, package: &str, wanted: &str) -> Result<PathBuf> {
    match on_path(program) {
        Some(program) => Ok(program),
        None => Ok(unpacked(wanted, &[package])?.join("usr/bin").join(program)),
    }
}
