//! The authority over characters in memory: 256 shards, each a pure core behind its own lock.
//!
//! [`Shards::change`] is the way of an intent: lock, decide, write the answer, unlock. What the database has is
//! brought in by loads and kept up by the flusher.

mod answer;
mod burial;
mod core;
mod dirty;
mod effect;
mod entry;
mod flushing;
mod loading;
mod mailbox;
mod refusal;
mod ring;
mod router;
mod store;
mod view;

pub use self::answer::{Answer, Outcome, Shape, Shown};
pub use self::core::{Base, Change, Command, Creation, Reader};
pub use self::entry::VERSION_JUMP;
pub use self::mailbox::{CloseOrder, Mail, Mailbox};
pub use self::refusal::Refusal;
pub use self::router::shard_of;
pub use self::store::{Capacity, Shards};
pub use self::view::{CharacterView, Header, Packed, StoredView, encode_packed, merge_patch};

#[cfg(test)]
mod tests;
