//! Copies of rosters, sent ahead of a move, so that the new owner need not load them during the pause.
//!
//! The owner sends each user's characters while it still serves them, and again what has changed since, once the shard
//! leaves. After the transfer it says which versions the database has of each roster ([`Said::Given`]). The new owner
//! installs a copy only if it is whole and exactly that, and only in the moment in which that message makes it the owner.
//!
//! Everything here may be lost, late or repeated. A roster that is not installed is loaded when somebody asks for it.

mod arrived;
mod courier;
mod received;
mod wire;

use std::io;
use std::sync::Arc;

use futures_util::future::BoxFuture;

pub(super) use self::arrived::{FromPeer, FromPeers};
pub(super) use self::courier::{Order, carry};
pub(super) use self::received::{Gift, Received};
pub(super) use self::wire::Given;
#[cfg(doc)]
use crate::link::Said;
use crate::link::{LinkStream, Wire};
use crate::storage::Node;

/// Most bytes of copies of one shard.
const SHARD_BYTES_MAX: usize = 32 * 1_024 * 1_024;

/// Most bytes of copies that a node keeps. Copies beyond that are dropped.
const PROCESS_BYTES_MAX: usize = 64 * 1_024 * 1_024;

const _: () = assert!(SHARD_BYTES_MAX <= PROCESS_BYTES_MAX);

/// Opens a link to the process of another node.
pub type Dial = Arc<dyn Fn(&Node) -> BoxFuture<'static, io::Result<LinkStream<Box<dyn Wire>>>> + Send + Sync>;
