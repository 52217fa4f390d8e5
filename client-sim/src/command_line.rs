//! The command line.

use clap::{Parser, Subcommand};

use crate::load::LoadSettings;
use crate::play::PlaySettings;

/// Simulates many players at a given rate and checks every answer, or lets you play as one player from
/// the terminal.
///
/// Exits with 1 if an answer contradicts what a player knows, an intent never got a final answer, or a limit was
/// exceeded; with 2 if the arguments are invalid.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
pub(crate) struct CommandLine {
    /// Plays as one player instead of many.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        CommandLine::command().debug_assert();
    }
}
