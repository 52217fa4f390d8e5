//! The few lines that the program says outside of the log: where it listens, and why it ends.
//!
//! As text they are for whoever typed the command. In JSON they are lines of the log, so that everything that is printed
//! has one format. Only settings that cannot be read are reported as text in any case.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::config::LogFormat;

/// The target of these lines in JSON.
pub(super) const SAID: &str = "castellan::said";

/// The log is JSON.
static IS_JSON: AtomicBool = AtomicBool::new(false);

/// Everything that is printed from here on has this format, also what a panic says. Call it once there is a log.
pub(super) fn use_format(format: LogFormat) {
    if format == LogFormat::Json {
        IS_JSON.store(true, Ordering::Relaxed);
        std::panic::set_hook(Box::new(|panic| {
            // Empty unless RUST_BACKTRACE asks for it.
            let trace = Backtrace::capture();
            let trace = (trace.status() == BacktraceStatus::Captured).then(|| trace.to_string());
            let thread = std::thread::current();
            tracing::error!(target: SAID, thread = thread.name(), trace, "{panic}");
        }));
    }
}

/// Prints a line for whoever started the program. A full disk or a closed pipe behind the output is no reason to stop.
pub fn print(line: &str) {
    if IS_JSON.load(Ordering::Relaxed) {
        return tracing::info!(target: SAID, "{line}");
    }
    let mut out = io::stdout().lock();
    if let Err(error) = writeln!(out, "{line}").and_then(|()| out.flush()) {
        tracing::warn!(%error, line, "cannot print a line");
    }
}

/// Prints what went wrong, if there is still anywhere to print it.
pub fn complain(error: &dyn std::fmt::Display) {
    if IS_JSON.load(Ordering::Relaxed) {
        return tracing::error!(target: SAID, "{error}");
    }
    let _ = writeln!(io::stderr(), "castellan: {error}");
}
