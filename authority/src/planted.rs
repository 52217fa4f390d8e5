//! Bugs that the torture plants, to see that it catches them. Without the feature `planted` there are none.

/// One of the rules that the promise stands on, left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// A flush looks at its lease without locking it.
    FenceWithoutLock,
    /// `durable` is said before the commit.
    DurableBeforeCommit,
    /// Rows do not name the request ids applied.
    IdsNotStored,
    /// A load after a crash goes on with the row's version.
    NoJump,
    /// A commit without an answer is taken for done.
    LostCommitAssumed,
    /// What is not stored may leave memory.
    DirtyEvicted,
    /// A stop gives the leases back with changes that are not stored.
    ReleaseWhileDirty,
}

/// Whether `CASTELLAN_PLANTED` names this bug.
#[cfg(feature = "planted")]
pub fn is(bug: Bug) -> bool {
    static PLANTED: std::sync::LazyLock<String> = std::sync::LazyLock::new(|| {
        #[expect(clippy::disallowed_methods, reason = "no setting: nobody but the torture may find it")]
        std::env::var("CASTELLAN_PLANTED").unwrap_or_default()
    });
    let name = match bug {
        Bug::FenceWithoutLock => "fence-without-lock",
        Bug::DurableBeforeCommit => "durable-before-commit",
        Bug::IdsNotStored => "ids-not-stored",
        Bug::NoJump => "no-jump",
        Bug::LostCommitAssumed => "lost-commit-assumed",
        Bug::DirtyEvicted => "dirty-evicted",
        Bug::ReleaseWhileDirty => "release-while-dirty",
    };
    *PLANTED == name
}

/// Nothing is planted.
#[cfg(not(feature = "planted"))]
pub const fn is(_: Bug) -> bool {
    false
}
