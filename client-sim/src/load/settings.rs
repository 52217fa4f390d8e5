//! The settings of a load, from the command line.

use std::path::PathBuf;
use std::time::Duration;

use castellan_client::BaseUrl;
use clap::Args;

use super::limits::Limits;
use super::scenario::Scenario;
use crate::codec::CodecName;
use crate::duration::parse_duration;
use crate::trust::TrustSettings;

#[derive(Debug, Args)]
pub(crate) struct LoadSettings {
    /// URL of the server.
    #[arg(long, default_value = "http://127.0.0.1:8080", value_parser = parse_url)]
    pub(crate) server: String,
    #[command(flatten)]
    pub(crate) trust: TrustSettings,
    /// URL of the server's metrics, by plain http. Default: `/metrics` of the server. Needed for an https server, and if
    /// operators have an address of their own.
    #[arg(long, value_name = "URL", value_parser = parse_url)]
    pub(crate) metrics: Option<String>,
    /// Scenario: casual, raid, trader, lurker, reconnecting, mixed, or a TOML file.
    #[arg(long, value_name = "NAME|FILE", default_value = "casual", value_parser = parse_scenario)]
    pub(crate) scenario: Scenario,
    /// Number of players, each with its own socket; 1 to 100,000.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) players: u32,
    /// Intents per second of each player. Overrides the scenario.
    #[arg(long, value_parser = parse_rate)]
    pub(crate) rate: Option<f64>,
    /// Duration of the load.
    #[arg(long, default_value = "10s", value_parser = parse_duration)]
    pub(crate) duration: Duration,
    /// Time over which the players start, one after another.
    #[arg(long, default_value = "0s", value_parser = parse_duration)]
    pub(crate) ramp: Duration,
    /// How long to wait at the end until every intent is durable or refused.
    #[arg(long, default_value = "15s", value_parser = parse_duration)]
    pub(crate) settle: Duration,
    /// Encoding of frames.
    #[arg(long, value_enum, default_value_t = CodecName::Msgpack)]
    pub(crate) codec: CodecName,
    /// Share of intents that ask for their answer after the commit, 0 to 1. Overrides the scenario.
    #[arg(long, value_parser = parse_share)]
    pub(crate) durable_share: Option<f64>,
    /// Seed of accounts, characters, due times and actions. The same seed uses the same accounts and
    /// characters again.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Threads for the players; 1 to 64.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) threads: u16,
    /// Concurrent logins; each costs the server a password hash.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) logins: u16,
    /// Also write the report to this JSON file.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Also write the report to this HTML file, a self-contained page with charts.
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    /// Limits of the run.
    #[command(flatten)]
    pub(crate) limits: Limits,
}

/// A built-in scenario by its name, or a scenario from a file.
fn parse_scenario(text: &str) -> Result<Scenario, String> {
    if let Some(delivered) = Scenario::delivered(text) {
        return delivered;
    }
    let file = std::fs::read_to_string(text).map_err(|error| {
        format!("no built-in scenario has this name ({}), and it cannot be read as a file: {error}", Scenario::names())
    })?;
    Scenario::parse(text, &file)
}

/// An HTTP URL.
fn parse_url(text: &str) -> Result<String, String> {
    text.parse::<BaseUrl>().map(|_| text.to_owned()).map_err(|error| error.to_string())
}

fn parse_rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| format!("`{text}` is not a number"))?;
    if (0.001..=10_000.0).contains(&rate) {
        Ok(rate)
    } else {
        Err("the rate must be 0.001 to 10,000 intents per second".to_owned())
    }
}

fn parse_share(text: &str) -> Result<f64, String> {
    let share: f64 = text.parse().map_err(|_| format!("`{text}` is not a number"))?;
    if (0.0..=1.0).contains(&share) { Ok(share) } else { Err("the share must be 0 to 1".to_owned()) }
}
