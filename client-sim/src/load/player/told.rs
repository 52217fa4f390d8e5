//! Checks answers against what a member of a party was told earlier on the same connection. Pure.

use std::collections::VecDeque;

use castellan_srd::wire::Version;

use super::super::checker::Contradiction;

/// The knowledge of one connection.
#[derive(Debug)]
pub(super) struct Told {
    /// The newest version in an answer, and the newest durable version.
    answered: Version,
    durable: Version,
    /// Versions produced by this member's intents that are not durable yet, oldest first.
    unstored: VecDeque<Version>,
}

impl Default for Told {
    fn default() -> Self {
        Self { answered: Version::new(0), durable: Version::new(0), unstored: VecDeque::new() }
    }
}

impl Told {
    /// Checks an answer that did not wait for a commit: such answers arrive in order.
    pub(super) fn answer(&mut self, version: Version, durable: Version) -> Result<(), Contradiction> {
        let known = std::mem::replace(&mut self.answered, version);
        if version < known {
            return Err(Contradiction::VersionFell { known, found: version });
        }
        if durable > version {
            return Err(Contradiction::DurableAhead { version, durable });
        }
        self.durable(durable)
    }

    /// Checks a durable version.
    pub(super) fn durable(&mut self, durable: Version) -> Result<(), Contradiction> {
        let known = std::mem::replace(&mut self.durable, durable);
        if durable < known { Err(Contradiction::DurableFell { known, found: durable }) } else { Ok(()) }
    }

    /// Records the version that an intent of this member produced, and the durable version of its answer.
    pub(super) fn made(&mut self, version: Version, durable: Version) {
        self.unstored.push_back(version);
        self.durable = self.durable.max(durable);
    }

    /// Removes the produced versions that are durable now; returns their number.
    pub(super) fn take_stored(&mut self) -> u64 {
        let stored = self.unstored.partition_point(|version| *version <= self.durable);
        self.unstored.drain(..stored);
        stored as u64
    }

    /// Number of produced versions that are not durable yet.
    pub(super) fn unstored(&self) -> usize {
        self.unstored.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(version: u64) -> Version {
        Version::new(version)
    }

    #[test]
    fn answers_arrive_in_order_and_durable_never_falls() {
        let mut told = Told::default();
        assert_eq!(told.answer(version(5), version(4)), Ok(()));
        let ahead = Contradiction::DurableAhead { version: version(6), durable: version(7) };
        assert_eq!(told.answer(version(6), version(7)), Err(ahead));
        let fell = Contradiction::VersionFell { known: version(6), found: version(5) };
        assert_eq!(told.answer(version(5), version(5)), Err(fell));
        let fell = Contradiction::DurableFell { known: version(4), found: version(3) };
        assert_eq!(told.durable(version(3)), Err(fell));
    }

    #[test]
    fn a_produced_version_is_counted_once_it_is_durable() {
        let mut told = Told::default();
        told.made(version(5), version(4));
        told.made(version(6), version(4));
        assert_eq!((told.take_stored(), told.unstored()), (0, 2));
        told.durable(version(5)).expect("it rises");
        assert_eq!((told.take_stored(), told.unstored()), (1, 1));
        told.made(version(7), version(9));
        assert_eq!((told.take_stored(), told.unstored()), (2, 0));
    }
}
