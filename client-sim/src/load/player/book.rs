//! The shared knowledge of a party, against which every answer to a member is checked. Pure.
//!
//! The members act on one character, each based on the version that it last saw. So every state comes from a member's
//! intent, and at most one of the intents based on a version is applied; it produces the next version.

use std::collections::BTreeMap;

use castellan_srd::wire::{Action, RequestId, Version};

use super::super::checker::Contradiction;
use super::super::sheet::Sheet;
use super::super::transition;

/// Most versions that are remembered.
///
/// Bounds a party's memory. Answers to intents based on the same version arrive close together.
const VERSIONS_MAX: usize = 64;

/// A party's knowledge about its character.
#[derive(Debug, Default)]
pub(in crate::load) struct PartyBook {
    /// For each member the first id of its run, and the id after its last sent one.
    ids: Vec<(RequestId, RequestId)>,
    /// The intent behind the first state of this run.
    found_last: Option<RequestId>,
    states: BTreeMap<Version, Sheet>,
    /// The applied intent for each base version.
    applied_on: BTreeMap<Version, RequestId>,
    experience: i64,
    units: i64,
    /// True once an answer was lost: the totals are then unknown.
    uncertain: bool,
    /// Members that have received all their answers.
    finished: usize,
}

impl PartyBook {
    /// Adds a member whose ids start with `first`; returns its place.
    pub(in crate::load) fn join(&mut self, first: RequestId) -> usize {
        self.ids.push((first, first));
        self.ids.len() - 1
    }

    /// Records a sent intent.
    pub(super) fn sent(&mut self, place: usize, id: RequestId) {
        self.ids[place].1 = id.next();
    }

    /// Records that the outcome of an intent will never be known.
    pub(super) fn lost_an_answer(&mut self) {
        self.uncertain = true;
    }

    /// Records that a member has received all its answers.
    pub(super) fn finish(&mut self) {
        self.finished += 1;
    }

    /// Returns true once all members have received all their answers.
    pub(super) fn is_finished(&self) -> bool {
        self.finished == self.ids.len()
    }

    /// Checks a state, in any order.
    pub(super) fn state(&mut self, state: &Sheet) -> Result<(), Contradiction> {
        let (version, last) = (state.version, state.last);
        let found_last = *self.found_last.get_or_insert_with(|| {
            (self.experience, self.units) = (state.experience, state.inventory.units);
            last
        });
        if last != found_last && !self.ids.iter().any(|(first, next)| (*first..*next).contains(&last)) {
            return Err(Contradiction::Stranger { last });
        }
        match self.states.get(&version) {
            Some(known) if known != state => return Err(Contradiction::TwoStates { version }),
            Some(_) => {}
            None => {
                self.states.insert(version, state.clone());
                if self.states.len() > VERSIONS_MAX {
                    self.states.pop_first();
                }
            }
        }
        Ok(())
    }

    /// Checks that an intent based on version `on` was applied and answered with `state`.
    pub(super) fn applied(
        &mut self,
        id: RequestId,
        on: Version,
        action: &Action,
        state: &Sheet,
    ) -> Result<(), Contradiction> {
        let effect = transition::counted(action);
        self.experience += effect.experience;
        self.units += effect.units;
        let makes = Version::new(on.get() + 1);
        if let Some(other) = self.applied_on.insert(on, id) {
            return Err(Contradiction::TwiceOn { version: on, first: other, second: id });
        }
        if self.applied_on.len() > VERSIONS_MAX {
            self.applied_on.pop_first();
        }
        let kind = action.kind();
        let contradiction = |why| Contradiction::DoesNotFollow { id, kind, version: state.version, why };
        if state.version < makes || (state.last == id && state.version != makes) {
            return Err(contradiction(format!("it was based on version {on}")));
        }
        match self.states.get(&on) {
            Some(before) if state.last == id => transition::check(before, action, state).map_err(contradiction),
            _ => Ok(()),
        }
    }

    /// Checks at the end that the newest state contains every applied intent exactly once.
    pub(super) fn total(&self, state: &Sheet) -> Result<(), Contradiction> {
        let totals = [
            ("experience", self.experience, state.experience),
            ("the number of carried units", self.units, state.inventory.units),
        ];
        match totals.into_iter().find(|(_, expected, found)| expected != found && !self.uncertain) {
            Some((what, expected, found)) => Err(Contradiction::Total { what, expected, found }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::sheet::tests::sheet;
    use super::*;
    use castellan_srd::wire::{GainExperience, ModifyHitpoints};

    fn id(id: u64) -> RequestId {
        RequestId::new(id)
    }

    fn version(version: u64) -> Version {
        Version::new(version)
    }

    /// Two members with ids from 100 and from 200 on, which have seen version 5 and sent two intents each.
    fn book() -> PartyBook {
        let mut book = PartyBook::default();
        for first in [100, 200] {
            let place = book.join(id(first));
            book.sent(place, id(first + 1));
        }
        book.state(&sheet(5, 7)).expect("the first state is always accepted");
        book
    }

    fn gain(amount: i64) -> Action {
        Action::GainExperience(GainExperience { amount })
    }

    #[test]
    fn every_state_comes_from_a_member_and_every_version_is_one_state() {
        assert_eq!(book().state(&sheet(6, 101)), Ok(()));
        assert_eq!(book().state(&sheet(9, 200)), Ok(()));
        for stranger in [8, 99, 102, 202] {
            assert_eq!(book().state(&sheet(6, stranger)), Err(Contradiction::Stranger { last: id(stranger) }));
        }
        let mut other = sheet(5, 7);
        other.hitpoints = 3;
        assert_eq!(book().state(&other), Err(Contradiction::TwoStates { version: version(5) }));
    }

    #[test]
    fn at_most_one_intent_based_on_a_version_is_applied_and_produces_the_next() {
        let hurt = Action::ModifyHitpoints(ModifyHitpoints { delta: -3, critical: false });
        let mut after = sheet(6, 100);
        after.hitpoints = 7;
        let mut book = book();
        assert_eq!(book.applied(id(100), version(5), &hurt, &after), Ok(()));
        let twice = Contradiction::TwiceOn { version: version(5), first: id(100), second: id(200) };
        assert_eq!(book.applied(id(200), version(5), &hurt, &sheet(7, 200)), Err(twice));
        let fails = |on: u64, state: &Sheet| self::book().applied(id(100), version(on), &hurt, state).is_err();
        assert!(fails(5, &sheet(6, 100)), "three hit points are missing");
        assert!(fails(5, &sheet(7, 100)), "it must produce version 6");
        assert!(fails(5, &sheet(5, 7)), "the state is older than the intent");
        assert!(!fails(5, &sheet(8, 200)), "a later state says nothing about one intent");
    }

    #[test]
    fn every_intent_of_every_member_counts_once() {
        let mut book = book();
        book.applied(id(100), version(5), &gain(3), &sheet(9, 201)).expect("version 8 is unknown");
        book.applied(id(200), version(6), &gain(4), &sheet(9, 201)).expect("version 8 is unknown");
        let mut total = sheet(9, 201);
        for (experience, good) in [(107, true), (103, false), (104, false), (110, false)] {
            total.experience = experience;
            assert_eq!(book.total(&total).is_ok(), good, "{experience}");
        }
        book.lost_an_answer();
        assert_eq!(book.total(&total), Ok(()), "the totals are unknown");
        assert!(!book.is_finished());
        book.finish();
        book.finish();
        assert!(book.is_finished());
    }
}
