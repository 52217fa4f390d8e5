//! The sockets of a hub: connections of clients, and requests that travel like them.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use castellan_protocol::{CharacterId, CloseCode, UserId};
use tokio::sync::mpsc::Sender;
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::auth::Session;
use crate::gateway::carried::Carried;
use crate::gateway::outbox::{Outbox, Stay};
use crate::link::Hello;
use crate::shard::{CloseOrder, Mailbox, shard_of};
use crate::storage::ShardId;

/// A client's connection, as it enters the hub.
#[derive(Debug)]
pub(in crate::gateway) struct Client {
    /// Its session.
    pub(in crate::gateway) session: Session,
    /// The client's address.
    pub(in crate::gateway) address: IpAddr,
    /// The client's id, if it has one.
    pub(in crate::gateway) client: Option<Uuid>,
    /// True if frames are JSON.
    pub(in crate::gateway) is_json: bool,
    /// True if states are sent as changes.
    pub(in crate::gateway) wants_changes: bool,
    /// Most characters that it may watch.
    pub(in crate::gateway) watch_max: usize,
    /// The mailbox for an order to close it.
    pub(in crate::gateway) mailbox: Mailbox,
    /// The outbox for its frames.
    pub(in crate::gateway) outbox: Arc<Outbox>,
}

/// A socket.
#[derive(Debug)]
pub(super) struct Socket {
    pub(super) kind: Kind,
    /// The shards that it uses: one, unless it has the role `game`.
    pub(super) legs: Vec<Leg>,
}

/// The kind of a socket.
#[derive(Debug)]
pub(super) enum Kind {
    /// A client's connection.
    Client(Box<Connected>),
    /// A request. Dropped without an answer if its routing closes it.
    Request(oneshot::Sender<Vec<u8>>),
}

/// A client's connection.
#[derive(Debug)]
pub(super) struct Connected {
    pub(super) client: Client,
    /// It waits for its welcome.
    pub(super) is_new: bool,
    /// The characters that it watches, with their owners.
    pub(super) watched: BTreeMap<CharacterId, UserId>,
}

/// A shard that a socket uses.
#[derive(Debug, Clone, Copy)]
pub(super) struct Leg {
    pub(super) shard: ShardId,
    /// The attachment under which it was introduced last. 0 at first.
    pub(super) introduced: u64,
}

impl Socket {
    pub(super) fn new(kind: Kind) -> Self {
        Self { kind, legs: Vec::new() }
    }

    /// The client's connection, if it is one.
    pub(super) fn connected(&mut self) -> Option<&mut Connected> {
        match &mut self.kind {
            Kind::Client(connected) => Some(connected),
            Kind::Request(_) => None,
        }
    }

    pub(super) fn leg(&mut self, shard: ShardId) -> Option<&mut Leg> {
        self.legs.iter_mut().find(|leg| leg.shard == shard)
    }

    /// Orders the client's connection to end. A request ends when it is dropped.
    pub(super) fn order_close(&self, order: CloseOrder) {
        if let Kind::Client(connected) = &self.kind {
            connected.client.mailbox.order_close(order);
        }
    }
}

impl Connected {
    /// The shard of its user, which welcomes it.
    pub(super) fn home(&self) -> ShardId {
        shard_of(self.client.session.user)
    }

    /// True if a shard must know it as soon as it is attached: it waits for its welcome, or watches something there.
    pub(super) fn is_eager(&self, shard: ShardId) -> bool {
        (self.is_new && self.home() == shard) || self.watched.values().any(|owner| shard_of(*owner) == shard)
    }

    /// How it is introduced to a shard.
    pub(super) fn hello(&self, shard: ShardId) -> Hello {
        let Client { session, address, client, is_json, wants_changes, .. } = &self.client;
        let there =
            |(character, owner): (&CharacterId, &UserId)| (shard_of(*owner) == shard).then_some((*character, *owner));
        Hello {
            session: session.id,
            user: session.user,
            role: session.role.as_str().to_owned(),
            expires_at_ms: session.expires_at_ms,
            address: *address,
            client: *client,
            is_json: *is_json,
            wants_changes: *wants_changes,
            is_new: self.is_new && self.home() == shard,
            watched: self.watched.iter().filter_map(there).collect(),
        }
    }
}

/// What becomes of the sockets of a hub that is left.
pub(super) struct Leaving {
    pub(super) given: Sender<Carried>,
    pub(super) stay: Stay,
}

/// The order for a close code that a node has said. Its reason must be one of ours.
pub(super) fn order_of(code: u16) -> CloseOrder {
    let (code, reason) = match CloseCode::from_number(code) {
        Some(CloseCode::ShardMoved) => return CloseOrder::SHARD_MOVED,
        Some(CloseCode::Normal) => (CloseCode::Normal, "a newer connection of this client took over"),
        Some(CloseCode::SessionRevoked) => (CloseCode::SessionRevoked, "the session was ended"),
        Some(CloseCode::TokenExpired) => (CloseCode::TokenExpired, "the token has expired"),
        Some(CloseCode::RateLimit) => (CloseCode::RateLimit, "too many frames were above the rate"),
        Some(CloseCode::ProtocolError) => (CloseCode::ProtocolError, "the message is not a frame"),
        _ => (CloseCode::GoingAway, "your characters cannot be loaded right now"),
    };
    CloseOrder::new(code, reason)
}
