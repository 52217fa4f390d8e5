//! The shards: locks around the authority, which perform its effects.
//!
//! [`Shards::change`] carries out an intent: lock, decide, write the answer, unlock. Loads bring characters in from the
//! database, and the flusher writes the dirty ones back.

mod burial;
mod counting;
mod dealing;
mod departed;
mod dirty;
mod leases;
mod loading;
mod looks;
mod mailbox;
mod moving;
mod receivers;
mod store;
mod visits;
mod waits;

pub use castellan_authority::{
    Answer, Answered, Base, Change, Command, Creation, Packed, Reader, Refusal, Shape, Shown, Unstored, Versions,
    encode_packed, restore, shard_of,
};
pub use castellan_protocol::pack::merge_patch;

pub use self::counting::{count_intent, outcome_of, trace_outcome};
pub use self::mailbox::{CloseOrder, Mail, Mailbox};
pub use self::moving::Restored;
pub use self::receivers::Missing;
pub use self::store::{Capacity, Shards};
pub use self::waits::{Wait, Waiter, Waits};

#[cfg(test)]
pub(crate) mod tests;
