//! Prometheus' programs, for tests of the alerts.

use std::path::PathBuf;

use anyhow::Result;

use crate::debian::unpacked;
use crate::machine::on_path;

/// The program `promtool`.
///
/// # Errors
///
/// Says what to install.
pub fn promtool() -> Result<PathBuf> {
    match on_path("promtool") {
        Some(program) => Ok(program),
        None => {
            Ok(unpacked("The tests need promtool, a part of Prometheus", &["prometheus"])?.join("usr/bin/promtool"))
        }
    }
}
