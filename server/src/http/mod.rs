//! The only room that knows axum: routes, errors, health, and the upgrade to WebSocket.
//!
//! Answers, errors too, have the shape of `docs/protocol.md#http`. Limits are checked before the work: time and size of
//! heads and bodies, the number of connections, the rate of each session, the hashing pool for passwords.

mod base;
mod bearer;
mod body;
mod characters;
mod client_address;
mod connection;
mod context;
mod cors;
mod etag;
mod exposure;
mod forward;
mod forwarded;
mod forwarding;
mod guard;
mod guests;
mod linking;
mod listener;
mod logins;
mod observe;
mod operations;
mod packed;
mod places;
mod problem;
mod proxied;
mod rates;
mod reached;
mod routes;
mod session;
mod slowing;
mod tls;
mod upgrade;
mod write;

pub use context::{Context, Health, Published, Standing};
pub use forward::Forward;
pub use forwarded::answer_forwarded;
pub use linking::Linking;
pub use listener::{Limits, serve};
pub use problem::status_of;
pub use rates::Rates;
pub use routes::{Reach, Route, Routes, all_routes, for_gateways, for_nodes, for_operators, for_players};
pub use tls::{Tls, TlsError};

#[cfg(test)]
mod tests;
