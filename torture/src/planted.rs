//! Bugs that are planted into the server, to see that a run catches them.

// The server's own list: the torture knows the server only as a program, and a second list could differ.
#[path = "../../server/src/planted/bug.rs"]
mod bug;

use clap::ValueEnum;
use clap::builder::PossibleValue;

use crate::schedule::Fault;

pub use bug::Bug;

/// Faults that reveal a bug.
pub const fn revealing_faults(bug: Bug) -> &'static [Fault] {
    match bug {
        Bug::FenceWithoutLock => &[Fault::HeldWrite],
        Bug::DurableBeforeCommit => &[Fault::CrashBeforeTransaction, Fault::Kill],
        Bug::IdsNotStored => &[Fault::CrashAfterCommit, Fault::Kill],
        Bug::NoJump => &[Fault::Kill],
        Bug::LostCommitAssumed => &[Fault::CommitLost],
        // A server that has just started loads its players one by one and has no room for all of them.
        Bug::DirtyEvicted => &[Fault::Restart, Fault::SocketsCut],
        Bug::ReleaseWhileDirty => &[Fault::Restart],
    }
}

impl ValueEnum for Bug {
    fn value_variants<'a>() -> &'a [Self] {
        &Self::ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.name()))
    }
}
