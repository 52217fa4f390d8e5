//! Load generator and checker for Castellan, and a player for the terminal; speaks to the server only as a client does.

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
