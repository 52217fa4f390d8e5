//! What the server tells about itself.

use super::setting::settings;
use super::text::{FromText, choices};

settings! {
    /// What the server tells about itself.
    Telemetry under "Logs and traces" {
        /// Which log lines are written: a level, or levels by target such as info,castellan::flush=debug.
        "log.filter" log_filter: LogFilter = "info";
        /// How they look.
        "log.format" log_format: LogFormat = "text";
    }
}

/// Directives of a log filter, known to be well-formed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFilter(String);

impl LogFilter {
    /// The directives.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromText for LogFilter {
    const KIND: &'static str = "FILTER";

    fn from_text(text: &str) -> Result<Self, String> {
        match tracing_subscriber::EnvFilter::builder().parse(text) {
            Ok(_) if !text.is_empty() => Ok(Self(text.to_owned())),
            _ => Err("must be a level, or a list such as info,castellan::flush=debug".to_owned()),
        }
    }
}

choices! {
    /// How log lines look.
    LogFormat {
        /// For people.
        "text" => Text,
        /// One JSON object a line.
        "json" => Json,
    }
}
