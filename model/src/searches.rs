//! The searches: with all rules they find no broken promise, and they reach all milestones.

use std::collections::BTreeSet;

use stateright::{Checker, HasDiscoveries, Model};

use crate::milestones::{self, *};
use crate::promises;
use crate::protocol::{Protocol, Quest};
use crate::rules::Rules;
use crate::scenario::Scenario;
use crate::search::{STEPS_MAX, shortest, turn, ways};

/// Searches all states of a scenario, checks that there are `states` of them, and that no promise breaks.
fn holds(scenario: Scenario, states: usize) {
    let _turn = turn();
    let protocol = Protocol { rules: Rules::ALL, scenario, quest: Quest::Promises };
    let search = protocol.checker().threads(2).finish_when(HasDiscoveries::AnyFailures).spawn_dfs().join();
    println!("{} states, {} steps, {} deep", search.unique_state_count(), search.state_count(), search.max_depth());
    for promise in search.discoveries().into_keys() {
        println!("broken: {promise}\n{:#?}", shortest(protocol, promise));
    }
    search.assert_properties();
    assert_eq!(
        search.unique_state_count(),
        states,
        "update the number of states here and in the crate's documentation"
    );
}

/// Searches with a rule left out until a promise breaks.
pub(crate) fn breaks(rules: Rules, scenario: Scenario, promise: &'static str) {
    let _turn = turn();
    assert_ne!(rules, Rules::ALL);
    let protocol = Protocol { rules, scenario, quest: Quest::Promises };
    let steps = shortest(protocol, promise).unwrap_or_else(|| panic!("no path breaks the promise: {promise}"));
    println!("{} steps break the promise: {promise}", steps.len());
    for step in steps {
        println!("- {step:?}");
    }
}

/// Searches until all these milestones are reached.
fn reaches(scenario: Scenario, wanted: &[&'static str]) {
    let _turn = turn();
    let protocol = Protocol { rules: Rules::ALL, scenario, quest: Quest::Milestones };
    let wanted: BTreeSet<&'static str> = wanted.iter().copied().collect();
    let found = ways(protocol, HasDiscoveries::AllOf(wanted.clone()), STEPS_MAX);
    let found: BTreeSet<&'static str> = found.into_iter().map(|(milestone, _)| milestone).collect();
    let missed: Vec<_> = wanted.difference(&found).collect();
    assert!(missed.is_empty(), "milestones never reached: {missed:?}");
}

#[test]
fn promises_hold_for_one_client_alone() {
    holds(Scenario::ALONE, 7_046_494);
}

#[test]
fn promises_hold_for_one_client_that_waits_for_commits() {
    holds(Scenario::ALONE_DURABLE, 514_347);
}

#[test]
fn promises_hold_for_one_client_that_is_too_fast() {
    holds(Scenario::OVERLOADED, 146_150);
}

#[test]
fn promises_hold_for_two_clients() {
    holds(Scenario::TOGETHER, 11_811_578);
}

#[test]
fn promises_hold_for_two_clients_and_a_crash() {
    holds(Scenario::PAIR_KILLED, 988_880);
}

#[test]
fn promises_hold_for_two_clients_and_a_zombie() {
    holds(Scenario::PAIR_ZOMBIE, 929_880);
}

#[test]
fn promises_hold_for_two_clients_that_wait_for_commits() {
    holds(Scenario::TOGETHER_DURABLE, 1_076_237);
}

#[test]
fn promises_hold_for_a_client_that_asks_beside_one_that_chains() {
    holds(Scenario::ASKING, 267_014);
}

#[test]
fn promises_hold_for_two_clients_with_stops_and_evictions() {
    holds(Scenario::STOPPING, 4_653_275);
}

#[test]
fn the_searches_reach_every_milestone() {
    let crashes = [ZOMBIE_AND_HOLDER_SERVE, LOST_AND_FOUND, BOTH_STORED, LATE_ANSWER, UNKNOWN_COMMIT];
    reaches(Scenario::TOGETHER, &crashes);
    reaches(Scenario::PAIR_KILLED, &[REFUSED_AND_ABSENT, REFUSED_AND_STORED]);
    reaches(Scenario::OVERLOADED, &[OVERLOADED]);
    reaches(Scenario::STOPPING, &[RELEASED]);
    assert_eq!(milestones::ALL.len(), 9, "each milestone is listed above");
}

#[test]
fn every_promise_has_its_own_name() {
    let names: BTreeSet<_> = promises::ALL.iter().map(|(name, _)| *name).collect();
    assert_eq!(names.len(), promises::ALL.len(), "a search distinguishes promises by name");
}
