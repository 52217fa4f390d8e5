//! A gateway of a cluster: it holds the connections of clients, and carries their frames to the nodes.
//!
//! Each socket thread has one [`Hub`]: the routings of all shards (`castellan_cluster::gateway::Routing`), a link to
//! each node that it needs, and the thread's sockets. A connection ([`serve`]) judges everything that needs no
//! character, and gives the rest to its hub. [`Owners`] reads from the database which node owns which shard.
//! `docs/cluster.md` has the states and the rules.

mod carried;
mod connection;
mod context;
mod hub;
mod outbox;
mod owners;
mod replacement;

pub use self::carried::{Carried, CarriedState};
pub use self::connection::{resume, serve, serve_over};
pub use self::context::Context;
pub use self::hub::{Dial, Dialling, Hub};
pub use self::owners::{NodeAddress, Owners, Snapshot};
pub use self::replacement::{Arrival, Door, Listeners, Offer, PARCEL_MAX, Received};

#[cfg(test)]
mod tests;
