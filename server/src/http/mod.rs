//! The only room that knows axum: routes, errors, health, and the upgrade to WebSocket.
//!
//! Each request is answered in the shape of `docs/protocol.md#http`, errors too. What a request may take is
//! bounded before the work: heads and bodies in time and size, connections in number, sessions by their rate, passwords
//! by the hashing pool.

mod base;
mod bearer;
mod body;
mod characters;
mod connection;
mod context;
mod cors;
mod etag;
mod listener;
mod observe;
mod operations;
mod problem;
mod rates;
mod routes;
mod session;
mod upgrade;
mod write;

pub use context::{Context, Health, Published, Standing};
pub use listener::{Limits, serve};
pub use problem::status_of;
pub use rates::Rates;
pub use routes::{Reach, Route, Routes, all_routes, for_operators, for_players};

#[cfg(test)]
mod tests;
