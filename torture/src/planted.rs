//! Bugs that can be planted into the server, to see that a run catches them: each breaks one of the rules that the
//! promise stands on.

use clap::ValueEnum;

use crate::schedule::Fault;

/// A bug that the server has a hook for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Bug {
    /// A flush looks at its lease without locking it: a takeover slips between.
    FenceWithoutLock,
    /// `durable` is said before the commit.
    DurableBeforeCommit,
    /// The rows do not name the request ids applied.
    IdsNotStored,
    /// A load after a crash goes on with the row's version.
    NoJump,
    /// A commit without an answer is taken for done.
    LostCommitAssumed,
    /// What is not stored yet may leave memory.
    DirtyEvicted,
    /// A stop gives the leases back with changes that are not stored.
    ReleaseWhileDirty,
}

impl Bug {
    /// Its name, as the server knows it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::FenceWithoutLock => "fence-without-lock",
            Self::DurableBeforeCommit => "durable-before-commit",
            Self::IdsNotStored => "ids-not-stored",
            Self::NoJump => "no-jump",
            Self::LostCommitAssumed => "lost-commit-assumed",
            Self::DirtyEvicted => "dirty-evicted",
            Self::ReleaseWhileDirty => "release-while-dirty",
        }
    }

    /// The faults that bring it out.
    pub const fn faults(self) -> &'static [Fault] {
        match self {
            Self::FenceWithoutLock => &[Fault::HeldWrite],
            Self::DurableBeforeCommit => &[Fault::CrashBeforeTransaction, Fault::Kill],
            Self::IdsNotStored => &[Fault::CrashAfterCommit, Fault::Kill],
            Self::NoJump => &[Fault::Kill],
            Self::LostCommitAssumed => &[Fault::CommitLost],
            // A server that has just begun loads its players one by one, and has not room for all of them.
            Self::DirtyEvicted => &[Fault::Restart, Fault::SocketsCut],
            Self::ReleaseWhileDirty => &[Fault::Restart],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_command_line() {
        for bug in Bug::value_variants() {
            assert_eq!(bug.to_possible_value().expect("none is hidden").get_name(), bug.name());
        }
    }
}
