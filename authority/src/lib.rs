//! The authority over characters: a plain state machine. It knows no socket, no clock, no database, and no game beyond
//! what [`castellan_game::Game`] says.
//!
//! Inputs and the time go in; decisions and [`Effects`] come out. A [`Core`] is one shard. Its caller holds a lock
//! around it, performs its effects before it releases the lock, and writes the states that the flusher collects.

mod answer;
mod books;
mod burial;
mod buried;
mod copying;
mod core;
mod dealing;
mod effect;
mod entry;
mod flushing;
mod following;
mod frame;
mod header;
mod leaving;
mod memory;
pub mod planted;
mod refusal;
mod ring;
mod roster;
mod router;
mod row;
mod steps;
mod timestamp;

pub use crate::answer::{Answer, Answered, Shape, Shown, Writer};
pub use crate::copying::Versions;
pub use crate::core::{Base, Change, Command, Core, Creation, Decision, Reader};
pub use crate::effect::{Effect, Effects, Subscriber};
pub use crate::entry::Entry;
pub use crate::flushing::{Queue, Snapshot};
pub use crate::frame::{Packed, encode_packed};
pub use crate::header::Header;
pub use crate::leaving::Unstored;
pub use crate::memory::LoadPermit;
pub use crate::refusal::Refusal;
pub use crate::roster::Roster;
pub use crate::router::shard_of;
#[cfg(test)]
mod tests;

pub use crate::books::{BooksOf, Loaded, Receiver, restore, restore_books};
pub use crate::row::{CharacterRow, Lease, SHARDS, ShardId, VERSION_JUMP, WITH_BOOKS};
pub use crate::steps::{StepPermit, Turn};
