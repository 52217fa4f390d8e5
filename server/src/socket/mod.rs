//! The WebSocket: from an upgraded connection to frames in and frames out.
//!
//! A connection lives as one task on one of the socket threads. It reads what is there, answers all of it, and flushes
//! once; between reading an intent and writing its answer there is no other task and no await but for a load.

mod context;
mod inbound;
mod outbound;
mod registry;
mod replies;
mod session;
mod transport;
mod waits;
mod workers;

pub use self::context::{Context, Settings};
pub use self::registry::{Registry, Seat, TooManySockets};
pub use self::replies::Replies;
pub use self::workers::{Accepted, Workers};

/// What a handshake's key is answered with, by RFC 6455, section 4.2.2.
pub fn accept_key(key: &[u8]) -> String {
    tokio_tungstenite::tungstenite::handshake::derive_accept_key(key)
}
