//! Our end of a client's connection. The listener adds it to each request.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::link::Binding;

/// How the client's connection reached this server.
#[derive(Debug, Clone)]
pub(super) struct Reached {
    /// The address of this machine that the client connected to.
    pub(super) local: SocketAddr,
    /// Names the TLS connection, if it is one.
    pub(super) tls: Option<Binding>,
    /// The name that the client looked for in the certificate, if it is not an address.
    pub(super) server_name: Option<Arc<str>>,
}

impl Reached {
    /// The address, in the form that the client used.
    pub(super) fn at(&self) -> SocketAddr {
        SocketAddr::new(self.local.ip().to_canonical(), self.local.port())
    }
}
