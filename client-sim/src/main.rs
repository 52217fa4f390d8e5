//! Load generator and checker for Castellan, and a player for the terminal. It uses only the client's protocol.

mod codec;
mod command_line;
mod duration;
mod load;
mod play;
mod trust;

use std::process::ExitCode;

use clap::Parser;

use command_line::{Command, CommandLine};

fn main() -> ExitCode {
    let arguments = CommandLine::parse();
    let result = match arguments.command {
        Some(Command::Play(play)) => play::run(&play),
        None => load::run(&arguments.load),
    };
    result.unwrap_or_else(|error| {
        eprintln!("client-sim: {error:#}");
        ExitCode::FAILURE
    })
}
