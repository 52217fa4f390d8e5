//! The context that all connections of a gateway share.

use std::sync::Arc;

use crate::auth::Auth;
use crate::clock::Clock;
use crate::socket::SocketSettings;

/// The context that all connections of a gateway share.
pub struct Context {
    /// The authority over sessions.
    pub auth: Arc<Auth>,
    /// The settings of all connections.
    pub settings: SocketSettings,
    /// The time of day.
    pub clock: Clock,
}
