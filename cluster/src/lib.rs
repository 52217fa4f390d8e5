//! How one server becomes several: plain state machines that know no socket, no clock and no database.
//!
//! - [`targets`]: which node should own each shard.

pub mod targets;

pub use crate::targets::{Member, targets};
