//! The program `castellan`: the server of the 5e game.

use std::process::ExitCode;

fn main() -> ExitCode {
    castellan::program::run::<castellan_srd::Srd>()
}
