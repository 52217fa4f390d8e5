//! One player's knowledge, against which every answer is checked. Pure: no socket, no clock.
//!
//! No one else acts on the character, so every state must follow from the player's own intents. Only a trader's character
//! also changes when the server delivers goods.

use std::collections::VecDeque;

use castellan_srd::wire::{Action, RequestId, Version};

use super::sheet::Sheet;
use super::transition;

/// Most states that are remembered.
const STATES_MAX: usize = 16;

/// An answer of the server that cannot be true.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Contradiction {
    #[error("version {found} was shown after version {known}")]
    VersionFell { known: Version, found: Version },
    #[error("version {version} names two different states")]
    TwoStates { version: Version },
    #[error("the character is at version {found}, although only {sent} intents were sent since version {first}")]
    VersionRan { first: Version, found: Version, sent: u64 },
    #[error("version {durable} is reported as durable, but the character is at version {version}")]
    DurableAhead { version: Version, durable: Version },
    #[error("durable fell from version {known} to version {found}")]
    DurableFell { known: Version, found: Version },
    #[error("the state comes from intent {last}, which this player never sent")]
    Stranger { last: RequestId },
    #[error("intent {id} ({kind}) produced version {version}: {why}")]
    DoesNotFollow { id: RequestId, kind: &'static str, version: Version, why: String },
    #[error("intents {first} and {second} were both applied, although both were based on version {version}")]
    TwiceOn { version: Version, first: RequestId, second: RequestId },
    #[error("intent {id} was applied and then refused, although nobody else acts on the character")]
    AppliedThenRefused { id: RequestId },
    #[error("intent {id} was rejected, but an intent based on it was applied")]
    RejectedThenApplied { id: RequestId },
    #[error("{what} should be {expected} after all applied intents, but is {found}")]
    Total { what: &'static str, expected: i64, found: i64 },
    #[error("cannot read a frame from the server: {0}")]
    Unreadable(String),
    #[error("the server closed the connection with {0}: a protocol error of this client")]
    Blamed(u16),
}

/// One player's knowledge about one character.
#[derive(Debug)]
pub(crate) struct Checker {
    first_id: RequestId,
    next_id: RequestId,
    /// The intent behind the first state of this run.
    found_last: Option<RequestId>,
    states: VecDeque<Sheet>,
    durable: Version,
    /// The first version on the current connection, and the number of intents sent on it.
    connection_first: Option<Version>,
    connection_sent: u64,
    experience: i64,
    units: i64,
    /// True if the server may change the character by itself.
    is_trader: bool,
}

impl Checker {
    /// A player whose ids start with `first_id`.
    pub(crate) fn new(first_id: RequestId, is_trader: bool) -> Self {
        Self {
            is_trader,
            first_id,
            next_id: first_id,
            found_last: None,
            states: VecDeque::new(),
            durable: Version::new(0),
            connection_first: None,
            connection_sent: 0,
            experience: 0,
            units: 0,
        }
    }

    /// Handles the end of a connection: forgets everything that is valid only for one connection.
    pub(crate) fn disconnected(&mut self) {
        self.durable = Version::new(0);
        self.connection_first = None;
        self.connection_sent = 0;
    }

    /// Records a sent intent.
    pub(crate) fn sent(&mut self, id: RequestId) {
        self.next_id = self.next_id.max(id.next());
        self.connection_sent += 1;
    }

    /// The newest known state.
    pub(crate) fn newest(&self) -> Option<&Sheet> {
        self.states.back()
    }

    /// Checks a state. `late` means that its answer waited for a commit and may have been overtaken.
    pub(crate) fn state(&mut self, state: &Sheet, durable: Version, late: bool) -> Result<(), Contradiction> {
        let version = state.version;
        let first = *self.connection_first.get_or_insert(version);
        if !late {
            if let Some(known) = self.newest().map(|newest| newest.version).filter(|known| *known > version) {
                return Err(Contradiction::VersionFell { known, found: version });
            }
            if durable > version {
                return Err(Contradiction::DurableAhead { version, durable });
            }
        }
        if !self.is_trader && version.get() > first.get() + self.connection_sent {
            return Err(Contradiction::VersionRan { first, found: version, sent: self.connection_sent });
        }
        let found_last = *self.found_last.get_or_insert_with(|| {
            (self.experience, self.units) = (state.experience, state.inventory.units);
            state.last
        });
        let own = self.first_id <= state.last && state.last < self.next_id;
        if !own && state.last != found_last {
            return Err(Contradiction::Stranger { last: state.last });
        }
        match self.states.iter().rev().find(|known| known.version <= version) {
            Some(known) if known.version == version && known != state => {
                return Err(Contradiction::TwoStates { version });
            }
            _ if self.newest().is_none_or(|newest| newest.version < version) => {
                if self.states.len() == STATES_MAX {
                    self.states.pop_front();
                }
                self.states.push_back(state.clone());
            }
            _ => {}
        }
        if late { Ok(()) } else { self.durable(durable) }
    }

    /// Checks a durable version.
    pub(crate) fn durable(&mut self, durable: Version) -> Result<(), Contradiction> {
        if durable < self.durable {
            return Err(Contradiction::DurableFell { known: self.durable, found: durable });
        }
        self.durable = durable;
        match self.connection_first {
            Some(first) if !self.is_trader && durable.get() > first.get() + self.connection_sent => {
                Err(Contradiction::DurableAhead { version: first, durable })
            }
            _ => Ok(()),
        }
    }

    /// Checks the first `applied` of an intent. Its state was checked before.
    pub(crate) fn applied(&mut self, id: RequestId, action: &Action, state: &Sheet) -> Result<(), Contradiction> {
        let effect = transition::counted(action);
        self.experience += effect.experience;
        self.units += effect.units;
        if state.last != id {
            return Ok(());
        }
        let before = Version::new(state.version.get() - 1);
        let Some(before) = self.states.iter().rev().find(|known| known.version == before) else { return Ok(()) };
        if before.last == id {
            // The server has delivered goods since.
            return Ok(());
        }
        transition::check(before, action, state).map_err(|why| {
            let kind = action.kind();
            Contradiction::DoesNotFollow { id, kind, version: state.version, why }
        })
    }

    /// Checks at the end that the newest state contains every applied intent exactly once.
    pub(crate) fn total(&self, state: &Sheet) -> Result<(), Contradiction> {
        // The goods of all traders are added up together.
        let units = if self.is_trader { state.inventory.units } else { self.units };
        let totals = [
            ("experience", self.experience, state.experience),
            ("the number of carried units", units, state.inventory.units),
        ];
        match totals.into_iter().find(|(_, expected, found)| expected != found) {
            Some((what, expected, found)) => Err(Contradiction::Total { what, expected, found }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::sheet::tests::sheet;
    use super::*;
    use castellan_srd::wire::{AddItem, GainExperience, ModifyHitpoints};

    fn version(version: u64) -> Version {
        Version::new(version)
    }

    fn id(id: u64) -> RequestId {
        RequestId::new(id)
    }

    /// A checker that has seen version 5, from before its run, and has sent intents 100 to 109.
    fn checker() -> Checker {
        let mut checker = Checker::new(id(100), false);
        checker.state(&sheet(5, 7), version(5), false).expect("the first state is always accepted");
        (100..110).for_each(|number| checker.sent(id(number)));
        checker
    }

    /// Breaks each rule once.
    #[test]
    fn every_contradiction_is_found() {
        let state = |checker: &mut Checker, v, last, durable| checker.state(&sheet(v, last), version(durable), false);
        assert_eq!(state(&mut checker(), 6, 100, 5), Ok(()));
        assert_eq!(state(&mut checker(), 5, 7, 5), Ok(()));
        let fell = Contradiction::VersionFell { known: version(5), found: version(4) };
        assert_eq!(state(&mut checker(), 4, 7, 4), Err(fell));
        assert_eq!(checker().state(&sheet(4, 7), version(9), true), Ok(()), "overtaken answers may be older");
        assert_eq!(state(&mut checker(), 5, 100, 5), Err(Contradiction::TwoStates { version: version(5) }));
        let ran = Contradiction::VersionRan { first: version(5), found: version(16), sent: 10 };
        assert_eq!(state(&mut checker(), 16, 100, 5), Err(ran));
        let ahead = Contradiction::DurableAhead { version: version(6), durable: version(7) };
        assert_eq!(state(&mut checker(), 6, 100, 7), Err(ahead));
        let fell = Contradiction::DurableFell { known: version(5), found: version(4) };
        assert_eq!(state(&mut checker(), 6, 100, 4), Err(fell.clone()));
        assert_eq!(checker().durable(version(4)), Err(fell));
        assert_eq!(checker().durable(version(15)), Ok(()), "durable may arrive before its answer");
        assert!(checker().durable(version(16)).is_err());
        for stranger in [8, 99, 110] {
            assert_eq!(state(&mut checker(), 6, stranger, 5), Err(Contradiction::Stranger { last: id(stranger) }));
        }
    }

    #[test]
    fn a_new_connection_may_skip_versions_but_never_go_back() {
        let mut jumped = checker();
        jumped.disconnected();
        assert_eq!(jumped.state(&sheet(5 + (1 << 20), 7), version(0), false), Ok(()));
        let mut fallen = checker();
        fallen.disconnected();
        assert!(matches!(fallen.state(&sheet(4, 7), version(4), false), Err(Contradiction::VersionFell { .. })));
    }

    #[test]
    fn a_state_must_follow_from_its_intent() {
        let hurt = Action::ModifyHitpoints(ModifyHitpoints { delta: -3, critical: false });
        let mut after = sheet(6, 100);
        for (hitpoints, good) in [(7, true), (8, false), (10, false)] {
            after.hitpoints = hitpoints;
            let mut checker = checker();
            checker.state(&after, version(5), false).expect("a state");
            assert_eq!(checker.applied(id(100), &hurt, &after).is_ok(), good, "{hitpoints}");
        }
        let mut later = checker();
        later.state(&sheet(7, 101), version(5), false).expect("a state");
        assert_eq!(
            later.applied(id(100), &hurt, &sheet(7, 101)),
            Ok(()),
            "a later state says nothing about one intent"
        );
    }

    #[test]
    fn every_intent_counts_once() {
        let mut checker = checker();
        let gain = Action::GainExperience(GainExperience { amount: 3 });
        let add = Action::AddItem(AddItem { item: "torch".to_owned(), quantity: 2 });
        for (number, action) in [(100, &gain), (101, &gain), (102, &add)] {
            checker.applied(id(number), action, &sheet(9, 109)).expect("version 8 is unknown");
        }
        let mut total = sheet(9, 109);
        (total.experience, total.inventory.units) = (106, 5);
        assert_eq!(checker.total(&total), Ok(()));
        for (experience, units) in [(103, 5), (109, 5), (106, 3), (106, 7)] {
            (total.experience, total.inventory.units) = (experience, units);
            assert!(matches!(checker.total(&total), Err(Contradiction::Total { .. })));
        }
    }
}
