//! What the members of a party know together, and what the server may therefore not tell any of them. Pure.
//!
//! They act on one character, each on the version that it last saw. So every state was made by one of them, of the
//! intents made on one version at most one is applied, and it makes the next version.

use std::collections::BTreeMap;

use castellan_client::protocol::{Action, RequestId, Version};

use super::super::checker::Contradiction;
use super::super::sheet::Sheet;
use super::super::transition;

/// Versions of which the meaning is remembered.
///
/// Bounds what a party costs; of intents made on the same version the answers come close together.
const VERSIONS_MAX: usize = 64;

/// The knowledge of a party about its character.
#[derive(Debug, Default)]
pub(in crate::load) struct PartyBook {
    /// Of each member the first id of its run, and the one after the last it has sent.
    ids: Vec<(RequestId, RequestId)>,
    /// Made the state that this run found.
    found_last: Option<RequestId>,
    states: BTreeMap<Version, Sheet>,
    /// Which intent was applied on which version.
    applied_on: BTreeMap<Version, RequestId>,
    experience: i64,
    units: i64,
    /// An answer was lost, so nobody can say what the totals have to be.
    uncertain: bool,
    /// Members who have had all their answers.
    finished: usize,
}

impl PartyBook {
    /// A member whose run counts its ids from `first` on joins; gives its place.
    pub(in crate::load) fn join(&mut self, first: RequestId) -> usize {
        self.ids.push((first, first));
        self.ids.len() - 1
    }

    /// A member sends an intent.
    pub(super) fn sent(&mut self, place: usize, id: RequestId) {
        self.ids[place].1 = id.next();
    }

    /// It will never be known whether an intent was applied.
    pub(super) fn lost_an_answer(&mut self) {
        self.uncertain = true;
    }

    /// A member has had all its answers.
    pub(super) fn finish(&mut self) {
        self.finished += 1;
    }

    /// All members have had all their answers.
    pub(super) fn is_finished(&self) -> bool {
        self.finished == self.ids.len()
    }

    /// A state was told, in whatever order.
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

    /// An intent made on version `on` was applied; `state` was told with it.
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
            return Err(contradiction(format!("it was made on version {on}")));
        }
        match self.states.get(&on) {
            Some(before) if state.last == id => transition::check(before, action, state).map_err(contradiction),
            _ => Ok(()),
        }
    }

    /// All has ended: the newest state must hold every applied intent exactly once.
    pub(super) fn total(&self, state: &Sheet) -> Result<(), Contradiction> {
        let totals = [
            ("experience", self.experience, state.experience),
            ("the number of units carried", self.units, state.inventory.units),
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
    use castellan_client::protocol::{GainExperience, ModifyHitpoints};

    fn id(id: u64) -> RequestId {
        RequestId::new(id)
    }

    fn version(version: u64) -> Version {
        Version::new(version)
    }

    /// Two members, with ids from 100 and from 200 on, who found version 5 and have sent two intents each.
    fn book() -> PartyBook {
        let mut book = PartyBook::default();
        for first in [100, 200] {
            let place = book.join(id(first));
            book.sent(place, id(first + 1));
        }
        book.state(&sheet(5, 7)).expect("the first state is as it is");
        book
    }

    fn gain(amount: i64) -> Action {
        Action::GainExperience(GainExperience { amount })
    }

    #[test]
    fn states_are_made_by_members_and_versions_name_one_state() {
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
    fn of_those_made_on_one_version_one_is_applied_and_makes_the_next() {
        let hurt = Action::ModifyHitpoints(ModifyHitpoints { delta: -3, critical: false });
        let mut after = sheet(6, 100);
        after.hitpoints = 7;
        let mut book = book();
        assert_eq!(book.applied(id(100), version(5), &hurt, &after), Ok(()));
        let twice = Contradiction::TwiceOn { version: version(5), first: id(100), second: id(200) };
        assert_eq!(book.applied(id(200), version(5), &hurt, &sheet(7, 200)), Err(twice));
        let fails = |on: u64, state: &Sheet| self::book().applied(id(100), version(on), &hurt, state).is_err();
        assert!(fails(5, &sheet(6, 100)), "three hit points are not gone");
        assert!(fails(5, &sheet(7, 100)), "it makes version 6, no other");
        assert!(fails(5, &sheet(5, 7)), "the state is from before");
        assert!(!fails(5, &sheet(8, 200)), "a later state says nothing of one intent");
    }

    #[test]
    fn every_intent_of_every_member_counts_once() {
        let mut book = book();
        book.applied(id(100), version(5), &gain(3), &sheet(9, 201)).expect("nothing is known of version 8");
        book.applied(id(200), version(6), &gain(4), &sheet(9, 201)).expect("nothing is known of version 8");
        let mut total = sheet(9, 201);
        for (experience, good) in [(107, true), (103, false), (104, false), (110, false)] {
            total.experience = experience;
            assert_eq!(book.total(&total).is_ok(), good, "{experience}");
        }
        book.lost_an_answer();
        assert_eq!(book.total(&total), Ok(()), "nobody can know");
        assert!(!book.is_finished());
        book.finish();
        book.finish();
        assert!(book.is_finished());
    }
}
