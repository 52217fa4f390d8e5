//! What all requests share.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;

use super::rates::Rates;
use crate::auth::{Auth, Policy};
use crate::clock::{Clock, Entropy};
use crate::config;
use crate::shard::Shards;
use crate::socket::{Accepted, Registry};

/// What all requests share: the rooms behind this one, and what the application hands in.
pub struct Context {
    /// The authority over sessions.
    pub auth: Arc<Auth>,
    /// Which role may send what.
    pub policy: Arc<Policy>,
    /// The authority over characters.
    pub shards: Arc<Shards>,
    /// Who is connected.
    pub registry: Arc<Registry>,
    /// Takes an upgraded connection; false where none can be taken at present.
    pub hand_over: Box<dyn Fn(Accepted) -> bool + Send + Sync>,
    /// The catalogue as it is served at present.
    pub catalogue: Box<dyn Fn() -> Arc<Published> + Send + Sync>,
    /// How the server is.
    pub health: Box<dyn Fn() -> Health + Send + Sync>,
    /// The metrics, as Prometheus reads them.
    pub metrics: Box<dyn Fn() -> String + Send + Sync>,
    /// Origins, public address, limits.
    pub settings: config::Listen,
    /// Where players reach this server, port included.
    pub local: SocketAddr,
    /// What each session may still send.
    pub rates: Rates,
    /// Sockets of all players together.
    pub sockets_max: usize,
    /// How long a write with `ack: "durable"` waits for the commit.
    pub durable_timeout: Duration,
    /// The time of day.
    pub clock: Clock,
    /// Chance, for the ids of requests that come without one.
    pub entropy: Entropy,
}

/// A catalogue as it is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// JSON.
    pub body: Bytes,
    /// Another one for each other content: ASCII letters, digits and hyphens.
    pub revision: String,
}

/// How the server is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Health {
    /// In a word.
    pub status: Standing,
    /// What is wrong, a sentence each.
    pub problems: Vec<String>,
}

/// How the server is, in a word. All but `Ready` answer 503 to a readiness probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It does its work.
    Ready,
    /// It does its work, and something that it needs is away.
    Degraded,
    /// It does not do its work: it starts, or stops.
    Unready,
}
