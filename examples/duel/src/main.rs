//! Castellan, serving the duel in place of the 5e game.

use std::process::ExitCode;

fn main() -> ExitCode {
    castellan::program::run::<castellan_duel::Duel>()
}
