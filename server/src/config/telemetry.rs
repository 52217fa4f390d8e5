//! Logs and traces.

use crate::storage::NOTICES;

use super::listen::is_authority;
use super::setting::settings;
use super::text::{FromText, choices};

settings! {
    /// Logs and traces.
    Telemetry under "Logs and traces" {
        /// Log lines to write: a level such as info, or a list by target such as info,castellan::flush=debug.
        "log.filter" log_filter: LogFilter = "info";
        /// Format of log lines: text for people, json for machines.
        "log.format" log_format: LogFormat = "text";
        /// OpenTelemetry collector that accepts OTLP over plain HTTP, such as http://127.0.0.1:4318. Default: no
        /// traces.
        "otlp_endpoint" otlp_endpoint: Option<OtlpEndpoint>;
        /// Percentage of requests that are traced, including those with a trace context of their own.
        "otlp_sample_percent" otlp_sample_percent: u32 = "10", "0" to "100";
    }
}

/// Directives of a log filter, already validated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFilter(String);

impl LogFilter {
    /// The directives. PostgreSQL's notices are wanted only if the setting names the database driver.
    pub fn directives(&self) -> String {
        let driver = NOTICES.split("::").next().unwrap_or(NOTICES);
        let is_quiet = ["off", "error", "warn"].contains(&self.0.as_str());
        if is_quiet || self.0.contains(driver) { self.0.clone() } else { format!("{},{NOTICES}=warn", self.0) }
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

/// A collector's URL: `http`, host and port, and an optional path to which `/v1/traces` is appended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtlpEndpoint(String);

impl OtlpEndpoint {
    /// The URL that receives the traces.
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
        Err("must be a plain http URL such as http://127.0.0.1:4318; for https, run a collector on this machine"
            .to_owned())
    }
}

choices! {
    /// Format of log lines.
    LogFormat {
        /// For people.
        "text" => Text,
        /// One JSON object per line.
        "json" => Json,
    }
}
