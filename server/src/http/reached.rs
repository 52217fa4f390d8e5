//! The two ends of a client's connection. The listener adds both to each request.

use std::net::SocketAddr;

/// The address of the client.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer(pub(super) SocketAddr);

/// How the client's connection reached this server.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reached {
    /// The address of this machine that the client connected to.
    pub(super) local: SocketAddr,
}

impl Reached {
    /// The address, in the form that the client used.
    pub(super) fn at(self) -> SocketAddr {
        SocketAddr::new(self.local.ip().to_canonical(), self.local.port())
    }
}
