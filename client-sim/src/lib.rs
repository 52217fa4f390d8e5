//! Players made by a program: load, and players that keep a record of all they asked for.
//!
//! They speak to the server only as `docs/protocol.md` says, and check that the server does.

pub mod recorded;
