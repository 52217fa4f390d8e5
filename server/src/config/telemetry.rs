//! What the server tells about itself.

use super::listen::is_authority;
use super::setting::settings;
use super::text::{FromText, choices};

settings! {
    /// What the server tells about itself.
    Telemetry under "Logs and traces" {
        /// Which log lines are written: a level, or levels by target such as info,castellan::flush=debug.
        "log.filter" log_filter: LogFilter = "info";
        /// How they look.
        "log.format" log_format: LogFormat = "text";
        /// OpenTelemetry collector that takes OTLP over plain HTTP, such as http://127.0.0.1:4318. Without it nothing
        /// is traced.
        "otlp_endpoint" otlp_endpoint: Option<OtlpEndpoint>;
        /// Of a hundred requests that bring no trace of their own, how many begin one.
        "otlp_sample_percent" otlp_sample_percent: u32 = "10", "0" to "100";
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

/// Where a collector is: `http`, host and port, maybe a path that `/v1/traces` is put behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtlpEndpoint(String);

impl OtlpEndpoint {
    /// Where traces are sent.
    pub fn traces_url(&self) -> String {
        format!("{}/v1/traces", self.0)
    }
}

impl FromText for OtlpEndpoint {
    const KIND: &'static str = "URL";

    fn from_text(text: &str) -> Result<Self, String> {
        let rest = text.strip_prefix("http://").unwrap_or_default();
        if is_authority(rest.split('/').next().unwrap_or_default()) && !rest.contains(['?', '#']) {
            return Ok(Self(text.trim_end_matches('/').to_owned()));
        }
        Err("must be an address such as http://127.0.0.1:4318; https is a collector's own matter".to_owned())
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
