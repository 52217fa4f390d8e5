//! The two ends of a client's connection. The listener adds both to each request.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::http::Extensions;

/// The address of the client.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer(pub(super) SocketAddr);

/// The address of a request's client, without its port.
pub(super) fn address_of(extensions: &Extensions) -> IpAddr {
    extensions.get::<Peer>().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |Peer(peer)| peer.ip())
}

/// How the client's connection reached this server.
#[derive(Debug, Clone)]
pub(super) struct Reached {
    /// The address of this machine that the client connected to.
    pub(super) local: SocketAddr,
    /// The connection is under TLS.
    pub(super) is_tls: bool,
    /// The name that the client looked for in the certificate, if it is not an address.
    pub(super) server_name: Option<Arc<str>>,
}

impl Reached {
    /// The address, in the form that the client used.
    pub(super) fn at(&self) -> SocketAddr {
        SocketAddr::new(self.local.ip().to_canonical(), self.local.port())
    }
}
