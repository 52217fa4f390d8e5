//! Bugs that the torture plants to prove that it catches them. Without the feature `planted` there are none.

/// A rule of the promise that is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// A flush reads its lease without locking it: a takeover can slip in between.
    FenceWithoutLock,
    /// `durable` is sent before the commit.
    DurableBeforeCommit,
    /// Rows do not store the applied request ids.
    IdsNotStored,
    /// A load after a crash continues with the row's version.
    NoJump,
    /// A commit with a lost answer is assumed to have succeeded.
    LostCommitAssumed,
    /// Dirty characters may leave memory.
    DirtyEvicted,
    /// A stop releases the leases while characters are dirty.
    ReleaseWhileDirty,
    /// A row that is visible counts as stored, although no synchronous standby has it yet.
    BelieveTheVisibleRow,
    /// A commit whose wait for the standby was cancelled counts as stored.
    IgnoreTheWarning,
    /// A node drops the frames that arrive for a shard that leaves, instead of handing them back.
    DroppedWhileLeaving,
    /// A node that got no answer to a transfer goes on as the owner.
    OwnerAfterLostTransfer,
    /// If a link breaks, only sockets with unanswered frames are closed.
    OnlyTheUnansweredClosed,
    /// A node that was frozen answers: neither its validity nor the silence of links counts.
    FrozenNodeAnswers,
    /// A shard is handed over although gateways may still have sent frames for it. For simulations.
    TransferBeforeMarkers,
    /// A shard is handed over although not everything is stored. For simulations.
    TransferBeforeStored,
    /// A parcel is taken before it is stored.
    ParcelTakenUnstored,
    /// A receipt is forgotten before the sender has settled the parcel.
    ReceiptForgottenEarly,
    /// Who accepts an offer takes its goods at once.
    BothSidesDecide,
    /// Copies that were made before a shard left are installed whatever has changed since. For simulations.
    OldCopiesInstalled,
}

impl Bug {
    /// All bugs that the torture plants.
    pub const ALL: [Self; 16] = [
        Self::FenceWithoutLock,
        Self::DurableBeforeCommit,
        Self::IdsNotStored,
        Self::NoJump,
        Self::LostCommitAssumed,
        Self::DirtyEvicted,
        Self::ReleaseWhileDirty,
        Self::BelieveTheVisibleRow,
        Self::IgnoreTheWarning,
        Self::ParcelTakenUnstored,
        Self::ReceiptForgottenEarly,
        Self::BothSidesDecide,
        Self::DroppedWhileLeaving,
        Self::OwnerAfterLostTransfer,
        Self::OnlyTheUnansweredClosed,
        Self::FrozenNodeAnswers,
    ];

    /// The bug's name in `CASTELLAN_PLANTED` and on the torture's command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::FenceWithoutLock => "fence-without-lock",
            Self::DurableBeforeCommit => "durable-before-commit",
            Self::IdsNotStored => "ids-not-stored",
            Self::NoJump => "no-jump",
            Self::LostCommitAssumed => "lost-commit-assumed",
            Self::DirtyEvicted => "dirty-evicted",
            Self::ReleaseWhileDirty => "release-while-dirty",
            Self::BelieveTheVisibleRow => "believe-the-visible-row",
            Self::IgnoreTheWarning => "ignore-the-warning",
            Self::ParcelTakenUnstored => "parcel-taken-unstored",
            Self::ReceiptForgottenEarly => "receipt-forgotten-early",
            Self::BothSidesDecide => "both-sides-decide",
            Self::DroppedWhileLeaving => "dropped-while-leaving",
            Self::OwnerAfterLostTransfer => "owner-after-lost-transfer",
            Self::OnlyTheUnansweredClosed => "only-the-unanswered-closed",
            Self::FrozenNodeAnswers => "frozen-node-answers",
            Self::TransferBeforeMarkers => "transfer-before-markers",
            Self::TransferBeforeStored => "transfer-before-stored",
            Self::OldCopiesInstalled => "old-copies-installed",
        }
    }
}

#[cfg(feature = "planted")]
thread_local! {
    static HERE: std::cell::Cell<Option<Bug>> = const { std::cell::Cell::new(None) };
}

/// Plants a bug in this thread, for simulations that run whole in one; `None` takes it out.
#[cfg(feature = "planted")]
pub fn plant(bug: Option<Bug>) {
    HERE.set(bug);
}

/// Returns true if `CASTELLAN_PLANTED` names this bug, or it was planted in this thread.
#[cfg(feature = "planted")]
pub fn is(bug: Bug) -> bool {
    static PLANTED: std::sync::LazyLock<String> = std::sync::LazyLock::new(|| {
        #[expect(clippy::disallowed_methods, reason = "no setting: nobody but the torture may find it")]
        std::env::var("CASTELLAN_PLANTED").unwrap_or_default()
    });
    HERE.get() == Some(bug) || *PLANTED == bug.name()
}

/// Nothing is planted.
#[cfg(not(feature = "planted"))]
pub const fn is(_: Bug) -> bool {
    false
}

/// Crashes that a version jumps for, unless [`Bug::NoJump`] is planted.
pub(crate) fn crashes(counted: u64) -> u64 {
    if is(Bug::NoJump) { 0 } else { counted }
}

/// Whether a character may leave memory, which it always may with [`Bug::DirtyEvicted`].
pub(crate) fn may_leave(is_stored: bool) -> bool {
    is_stored || is(Bug::DirtyEvicted)
}

/// The request ids that a row stores, none with [`Bug::IdsNotStored`].
pub(crate) fn request_ids(applied: Vec<u64>) -> Vec<u64> {
    if is(Bug::IdsNotStored) { Vec::new() } else { applied }
}
