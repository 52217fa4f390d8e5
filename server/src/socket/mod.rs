//! The WebSocket: from an upgraded connection to frames in and frames out.
//!
//! Each connection is one task on one of the socket threads. It reads all available bytes, answers every frame in them,
//! and flushes once. Between reading an intent and writing its answer it runs no other task and awaits only loads.

mod context;
mod end;
mod inbound;
mod line;
mod meter;
mod outbound;
mod registry;
mod relayed;
mod renewal;
mod replies;
mod session;
mod transport;
mod workers;

pub use self::context::{Context, SocketSettings};
pub use self::line::{Line, Movable, TlsStream};
pub use self::registry::{NoSeat, Opener, Registry, Seat, SocketLimits};
pub use self::relayed::{AcceptedLink, House, RequestHandler, serve_link, serve_link_over};
pub use self::replies::Replies;
pub use self::session::{Accepted, serve};
pub use self::workers::Workers;

pub(crate) use self::end::End;
pub(crate) use self::line::settle;
pub(crate) use self::meter::{Excess, over_rate, unreadable};
pub(crate) use self::outbound::Outbound;
pub(crate) use self::renewal::{renewed, seconds_until, until};
pub(crate) use self::session::{FRAMES_IN_A_TURN_MAX, GOODBYE, TURNS_IN_A_ROW_MAX, say_goodbye};
pub(crate) use self::transport::{Heard, Io, Paused, Transport};

/// The answer to a handshake's key. Source: RFC 6455, section 4.2.2.
pub fn accept_key(key: &[u8]) -> String {
    tokio_tungstenite::tungstenite::handshake::derive_accept_key(key)
}
