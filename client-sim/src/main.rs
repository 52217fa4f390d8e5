//! Load generator and checker for Castellan, and a player for the terminal. It uses only the client's protocol.

mod load;
mod play;
mod settings;

use std::process::ExitCode;

use clap::Parser;

use settings::{Command, Settings};

fn main() -> ExitCode {
    let settings = Settings::parse();
    let result = match settings.command {
        Some(Command::Play(play)) => play::run(&play),
        None => load::run(&settings.load),
    };
    result.unwrap_or_else(|error| {
        eprintln!("client-sim: {error:#}");
        ExitCode::FAILURE
    })
}
