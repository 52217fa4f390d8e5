//! How one server becomes several: plain state machines that know no socket, no clock and no database.
//!
//! `docs/cluster.md` tells how they work together; `model/` drives exactly this code through every order of events that
//! it has room for.
//!
//! - [`targets`]: which node should own each shard.
//! - [`membership`]: who is alive, as others see it and as a node may believe of itself.
//! - [`lease`]: the row that says which process owns a shard, and the statements that change it.
//! - [`node`]: the life of a shard in a node.
//! - [`gateway`]: where a gateway sends the frames of a shard.
//! - [`word`]: the words between the two.
//!
//! The state machines are generic: `P` is the id of a process, `L` a link, `S` a socket, `F` a frame.

pub mod gateway;
pub mod lease;
pub mod membership;
pub mod node;
pub mod targets;
pub mod word;
