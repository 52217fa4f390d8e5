//! Players made by a program: load, and players that keep a ledger of all they asked for.

pub mod player;
