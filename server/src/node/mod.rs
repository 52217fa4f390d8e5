//! A node of a cluster: owns some of the shards, and hands them over without anybody noticing.
//!
//! One task ([`Moves`]) holds the life of each shard (`castellan_cluster::node::ShardLife`) and performs its effects. Each
//! second the heartbeat tells it which processes there are, and it plans which shards to take and to give (`plan`). Before
//! a shard leaves, its characters are copied to the next owner (`copies`).
//! `docs/cluster.md` has the states and the rules.

mod copies;
mod links;
mod moves;
mod plan;

pub use self::copies::Dial;
#[cfg(test)]
pub(crate) use self::links::FromLink;
pub use self::links::{DatabaseSeen, LinkEnd, Links, ToLink};
pub use self::moves::{Moves, Renewed};
pub use self::plan::View;
