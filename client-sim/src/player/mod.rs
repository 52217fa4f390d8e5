//! Players that keep a ledger: each acts on its character, notes on disk what it asks for before it asks, and what it
//! is told. What is in the database afterwards must be what the ledgers say; `torture/` compares them.

mod book;
pub mod ledger_file;
mod play;
pub mod trace;

pub use play::{READY, Settings, play};
