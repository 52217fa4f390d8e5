//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use castellan_client::BaseUrl;
use castellan_srd::wire::Codec;
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::load::{Limits, Scenario};

/// Simulates many players at a given rate and checks every answer, or plays one player from the terminal.
///
/// Exits with 1 if an answer contradicts what a player knows, an intent never got a final answer, or a limit was
/// exceeded; with 2 if the arguments are invalid.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
pub(crate) struct Settings {
    /// Plays one player instead of many.
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    /// The settings of the load.
    #[command(flatten)]
    pub(crate) load: LoadSettings,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Log in as one player and read commands from standard input.
    Play(PlaySettings),
}

#[derive(Debug, Args)]
pub(crate) struct LoadSettings {
    /// URL of the server.
    #[arg(long, default_value = "http://127.0.0.1:8080", value_parser = parse_url)]
    pub(crate) server: String,
    /// URL of the server's metrics. Default: `/metrics` of the server. Needed for a server with `--admin-listen`.
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
    /// Time limit at the end for every intent to become durable or refused.
    #[arg(long, default_value = "15s", value_parser = parse_duration)]
    pub(crate) settle: Duration,
    /// Encoding of frames.
    #[arg(long, value_enum, default_value_t = CodecName::Msgpack)]
    pub(crate) codec: CodecName,
    /// Share of intents that ask for their answer after the commit, 0 to 1. Overrides the scenario.
    #[arg(long, value_parser = parse_share)]
    pub(crate) durable_share: Option<f64>,
    /// Seed of accounts, characters, due times and actions. The same seed plays the same characters again.
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

#[derive(Debug, Args)]
pub(crate) struct PlaySettings {
    /// URL of the server.
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    pub(crate) server: BaseUrl,
    /// Name of the account. A missing account is created if the server allows it.
    #[arg(long, default_value = "player")]
    pub(crate) name: String,
    /// Password of the account.
    #[arg(long, env = "CASTELLAN_PASSWORD", hide_env_values = true, default_value = "correct horse battery")]
    pub(crate) password: String,
    /// Name of the character to play. A missing character is created. Default: the account's first character.
    #[arg(long)]
    pub(crate) character: Option<String>,
    /// Encoding of frames.
    #[arg(long, value_enum, default_value_t = CodecName::Msgpack)]
    pub(crate) codec: CodecName,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum CodecName {
    /// MessagePack in binary messages.
    Msgpack,
    /// JSON in text messages.
    Json,
}

impl CodecName {
    pub(crate) fn codec(self) -> Codec {
        match self {
            Self::Msgpack => Codec::MessagePack,
            Self::Json => Codec::Json,
        }
    }
}

/// Longest duration that an option accepts.
const DURATION_MAX: Duration = Duration::from_secs(24 * 60 * 60);

pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(duration) if duration <= DURATION_MAX => Ok(duration),
        Ok(_) => Err(format!("`{text}` is longer than a day")),
        Err(_) => Err(format!("`{text}` is not a duration such as 500ms, 30s or 2m")),
    }
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

/// A plain HTTP URL.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Settings::command().debug_assert();
    }

    #[test]
    fn a_duration_is_a_number_with_a_unit() {
        let ms = |text| parse_duration(text).map(|duration| duration.as_millis()).ok();
        assert_eq!(
            [ms("500ms"), ms("30s"), ms("1.5s"), ms("2m"), ms("1h"), ms("1d")].map(|t| t.unwrap_or(0)),
            [500, 30_000, 1_500, 120_000, 3_600_000, 86_400_000]
        );
        assert_eq!([ms("30"), ms("s"), ms("-1s"), ms("25h"), ms("")], [None; 5]);
    }
}
