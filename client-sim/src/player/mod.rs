//! Players with a ledger: each records on disk every intent before it is sent, and every answer. Afterwards the
//! database must match the ledgers; `torture/` compares them.

mod book;
pub mod ledger_file;
mod play;
pub mod trace;

pub use play::{READY, Settings, play};
