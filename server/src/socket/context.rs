//! What all connections share.

use std::sync::Arc;
use std::time::Duration;

use crate::auth::{Auth, Policy};
use crate::clock::Clock;
use crate::shard::Shards;

/// How connections are served.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Between two pings; a connection that is not heard of for twice this long is closed.
    pub ping_interval: Duration,
    /// Characters that one connection may watch.
    pub watch_max: usize,
    /// Intents a second that one connection may send in the long run.
    pub rate_per_second: u32,
    /// Intents that it may send at once.
    pub rate_burst: u32,
    /// How long a client may leave its answers unread.
    pub slow_consumer: Duration,
    /// How long an intent with `ack: "durable"` waits for the commit.
    pub durable_timeout: Duration,
    /// Bytes read of a connection at a time.
    pub read_buffer_bytes: usize,
}

/// What all connections share.
pub struct Context {
    /// The authority over characters.
    pub shards: Arc<Shards>,
    /// The authority over sessions.
    pub auth: Arc<Auth>,
    /// Which role may send what.
    pub policy: Arc<Policy>,
    /// How connections are served.
    pub settings: Settings,
    /// The time of day.
    pub clock: Clock,
}
