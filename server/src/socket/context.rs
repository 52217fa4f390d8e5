//! The context that all connections share.

use std::sync::Arc;
use std::time::Duration;

use castellan_game::Game;

use crate::audit::Audit;
use crate::auth::{Auth, Policy};
use crate::clock::Clock;
use crate::rate::Rate;
use crate::shard::Shards;

/// The settings of all connections.
#[derive(Debug, Clone, Copy)]
pub struct SocketSettings {
    /// Time between two pings. A connection that stays silent for twice as long is closed.
    pub ping_interval: Duration,
    /// Most characters that one connection may watch.
    pub watch_max: usize,
    /// The frames that one connection may send.
    pub rate: Rate,
    /// How long a client may leave answers unread.
    pub slow_consumer: Duration,
    /// How long an intent with `ack: "durable"` waits for the commit.
    pub durable_timeout: Duration,
    /// Bytes read from a connection at a time.
    pub read_buffer_bytes: usize,
}

/// The context that all connections share.
pub struct Context<G: Game> {
    /// The authority over characters.
    pub shards: Arc<Shards<G>>,
    /// The authority over sessions.
    pub auth: Arc<Auth>,
    /// The actions that each role may send.
    pub policy: Arc<Policy>,
    /// Records who did what.
    pub audit: Audit,
    /// The settings of all connections.
    pub settings: SocketSettings,
    /// The time of day.
    pub clock: Clock,
}
