//! The link between a thread of a gateway and a node: one byte stream that carries the frames of many sockets.
//!
//! What travels on it, and when, is decided by the state machines of `castellan_cluster`; see `docs/cluster.md`. This
//! room knows only how it is written ([`Message`]) and how the two ends find out that they are who they say they are.

mod dial;
mod handshake;
mod message;
mod stream;
mod trust;

pub use self::dial::{Wire, dial};
pub use self::handshake::{
    HANDSHAKE_TIMEOUT, NONCE_BYTES, NoLink, Nonce, Request, Secret, Terms, UPGRADE, Unproven, confirm, header, range,
};
pub use self::message::{Address, Hello, InPlace, Malformed, Message, Said, TRACEPARENT_BYTES};
pub use self::stream::LinkStream;
pub use self::trust::{Binding, Trust, TrustError, binding};

/// The versions of this protocol that we speak, oldest and newest.
pub const VERSIONS: (u16, u16) = (1, TRACES_VERSION);

/// From this version on a gateway may send [`Said::TracedFrame`].
pub const TRACES_VERSION: u16 = 2;

/// During an update, the processes of two releases speak the older one's version.
const _: () =
    assert!(VERSIONS.0 == VERSIONS.1 || VERSIONS.0 + 1 == VERSIONS.1, "the present version and the one before");

/// Names a link within a process. Never used again.
pub type LinkId = u64;

/// Names a socket within a thread of a gateway, or a request that travels like one. Never used again.
pub type SocketId = u64;
