//! Proxies, for tests of the samples in `deploy/proxies`.

use std::process::Command;

use anyhow::Result;

use crate::debian::{program, unpacked};
use crate::machine::on_path;

/// nginx.
///
/// # Errors
///
/// Says what to install.
pub fn nginx() -> Result<Command> {
    find("nginx", "usr/sbin/nginx", &["nginx", "libpcre2-8-0"])
}

/// HAProxy.
///
/// # Errors
///
/// Says what to install.
pub fn haproxy() -> Result<Command> {
    let libraries = ["liblua5.3-0", "libopentracing-c-wrapper0", "libopentracing1", "libpcre2-8-0"];
    find("haproxy", "usr/sbin/haproxy", &[&["haproxy"], &libraries[..]].concat())
}

/// Caddy.
///
/// # Errors
///
/// Says what to install.
pub fn caddy() -> Result<Command> {
    find("caddy", "usr/bin/caddy", &["caddy"])
}

fn find(name: &str, path: &str, packages: &[&str]) -> Result<Command> {
    match on_path(name) {
        Some(file) => Ok(Command::new(file)),
        None => Ok(program(&unpacked(&format!("The tests need {name}"), packages)?, path)),
    }
}
