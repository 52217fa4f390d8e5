//! The context that all requests share.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use castellan_game::Game;
use serde::Serialize;

use super::forward::Forward;
use super::rates::Rates;
use crate::audit::Audit;
use crate::auth::{Auth, Exposure, Issuers, Policy};
use crate::clock::{Clock, Entropy};
use crate::config;
use crate::shard::Shards;
use crate::socket::{Accepted, Registry};

/// The context that all requests share: the other rooms, and what the application hands in.
pub struct Context<G: Game> {
    /// The authority over sessions.
    pub auth: Arc<Auth>,
    /// The outside issuers whose tokens are exchanged for sessions.
    pub issuers: Arc<Issuers>,
    /// Which role may send which action.
    pub policy: Arc<Policy>,
    /// Whether strangers can reach this server.
    pub exposure: Arc<Exposure>,
    /// Records who did what.
    pub audit: Audit,
    /// The authority over characters.
    pub shards: Arc<Shards<G>>,
    /// The way to the nodes that have the characters; `None` if they are here.
    pub forward: Option<Forward>,
    /// The open sockets.
    pub registry: Arc<Registry>,
    /// Takes an upgraded connection; returns false if none can be taken right now.
    pub hand_over: Box<dyn Fn(Accepted) -> bool + Send + Sync>,
    /// The catalogue that is currently served.
    pub catalogue: Box<dyn Fn() -> Arc<Published> + Send + Sync>,
    /// The server's health.
    pub health: Box<dyn Fn() -> Health + Send + Sync>,
    /// The metrics in Prometheus' text format.
    pub metrics: Box<dyn Fn() -> String + Send + Sync>,
    /// Origins, public address, limits.
    pub settings: config::Listen,
    /// What each session, address and user may still ask for.
    pub rates: Rates,
    /// How long a write with `ack: "durable"` waits for the commit.
    pub durable_timeout: Duration,
    /// The wall clock.
    pub clock: Clock,
    /// Randomness, for the ids of requests that have none.
    pub entropy: Entropy,
}

/// A catalogue as it is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// JSON.
    pub body: Bytes,
    /// Changes with the content. ASCII letters, digits and hyphens.
    pub revision: String,
}

/// The server's health.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Health {
    /// The health in one word.
    pub status: Standing,
    /// All problems, one sentence each.
    pub problems: Vec<String>,
}

/// The server's health in one word. All but `Ready` answer 503 to a readiness probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// The server works.
    Ready,
    /// The server works, but something that it needs is unavailable.
    Degraded,
    /// The server is starting or stopping.
    Unready,
}
