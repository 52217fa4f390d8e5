//! Measurements that failed.

use anyhow::Result;
use serde::Serialize;

/// Failed measurements with their reasons.
#[derive(Debug, Default, Serialize)]
#[serde(transparent)]
pub struct Failures(Vec<String>);

impl Failures {
    /// Returns a measurement, or records why it failed.
    pub fn keep<T>(&mut self, what: &str, measured: Result<T>) -> Option<T> {
        measured
            .inspect_err(|error| {
                eprintln!("{what}: failed: {error:#}");
                self.0.push(format!("{what}: {error:#}"));
            })
            .ok()
    }

    /// The failures, one line each.
    pub fn lines(&self) -> &[String] {
        &self.0
    }
}
