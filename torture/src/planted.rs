//! Bugs that are planted into the server, to see that a run catches them.

pub use castellan_authority::planted::Bug;
use clap::builder::{PossibleValuesParser, TypedValueParser};

use crate::schedule::Fault;

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
        Bug::BelieveTheVisibleRow => &[Fault::VisibleThenLost],
        Bug::IgnoreTheWarning => &[Fault::CommitCancelled],
        Bug::ParcelTakenUnstored | Bug::ReceiptForgottenEarly | Bug::BothSidesDecide => &[Fault::Kill],
        // Only the simulation plants these.
        Bug::TransferBeforeMarkers | Bug::TransferBeforeStored | Bug::OldCopiesInstalled => &[],
        Bug::DroppedWhileLeaving => &[Fault::TargetsChange, Fault::NodeDrained],
        Bug::OwnerAfterLostTransfer => &[Fault::TransferAnswerLost],
        Bug::OnlyTheUnansweredClosed => &[Fault::NodeKilled],
        Bug::FrozenNodeAnswers => &[Fault::NodeFrozen],
    }
}

/// Returns true if a bug shows only on a database with a standby.
pub fn needs_standby(bug: Bug) -> bool {
    revealing_faults(bug).iter().any(|fault| fault.needs_standby())
}

/// Returns true if a bug shows only with nodes and gateways.
pub fn needs_cluster(bug: Bug) -> bool {
    revealing_faults(bug).iter().any(|fault| fault.needs_cluster())
}

/// Reads a bug's name from the command line.
pub fn parser() -> impl TypedValueParser<Value = Bug> {
    let named = |name: String| Bug::ALL.into_iter().find(|bug| bug.name() == name).ok_or("no such bug");
    PossibleValuesParser::new(Bug::ALL.map(Bug::name)).try_map(named)
}
