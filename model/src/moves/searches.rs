//! The searches: with all rules they find no broken promise, and they reach all milestones.

use std::collections::BTreeSet;

use stateright::{Checker, HasDiscoveries, Model};

use super::milestones::{self, *};
use super::plan::{Bounds, Events, NONE, Plan};
use super::promises;
use super::rule::Rule;
use crate::protocol::Quest;
use crate::search::{STEPS_MAX, shortest, traps, turn, ways};

/// A planned move.
pub(super) const MOVE: Events = Events { moves: 1, ..NONE };
/// A planned move, and a node that dies.
pub(super) const KILL: Events = Events { kills: 1, ..MOVE };
/// A planned move, a node that dies, and its successor.
pub(super) const RESTART: Events = Events { restarts: 1, ..KILL };
/// A planned move, and a takeover from a live node.
pub(super) const ZOMBIE: Events = Events { zombies: 1, ..MOVE };
/// A planned move, and a lost answer of a statement.
pub(super) const LOST_ANSWER: Events = Events { lost_answers: 1, ..MOVE };
/// A gateway that is replaced.
pub(super) const REPLACEMENT: Events = Events { replacements: 1, ..NONE };
/// A planned move, and a lost word on a link that lives.
pub(super) const LOST_WORD: Events = Events { lost_words: 1, ..MOVE };

/// Searches all states within bounds, checks that there are `states` of them, and that no promise breaks.
fn holds(bounds: Bounds, states: usize) {
    let _turn = turn();
    let plan = Plan { bounds, left_out: None, quest: Quest::Promises };
    let search = plan.checker().threads(2).finish_when(HasDiscoveries::AnyFailures).spawn_dfs().join();
    println!("{} states, {} steps, {} deep", search.unique_state_count(), search.state_count(), search.max_depth());
    for promise in search.discoveries().into_keys() {
        println!("broken: {promise}\n{:#?}", shortest(plan, promise));
    }
    search.assert_properties();
    assert_eq!(
        search.unique_state_count(),
        states,
        "update the number of states here and in the module's documentation"
    );
}

/// Searches with a rule left out for the shortest way to break a promise.
pub(super) fn breaks(rule: Rule, bounds: Bounds, promise: &'static str, steps: usize) {
    let _turn = turn();
    let plan = Plan { bounds, left_out: Some(rule), quest: Quest::Promises };
    let found = shortest(plan, promise).unwrap_or_else(|| panic!("no path breaks the promise: {promise}"));
    println!("without {rule:?}, {} steps break the promise: {promise}", found.len());
    for step in &found {
        println!("- {step:?}");
    }
    assert_eq!(found.len(), steps, "update the number of steps here and in docs/cluster.md");
    assert!(
        include_str!("../../../docs/cluster.md").contains(&format!("| {promise} | {steps} |")),
        "not in the document"
    );
}

/// Looks for a state from which no progress leads to rest. Returns how many states there are.
pub(super) fn is_trapped(bounds: Bounds, left_out: Option<Rule>) -> (usize, bool) {
    let _turn = turn();
    let plan = Plan { bounds, left_out, quest: Quest::Promises };
    let (states, found) =
        traps(plan, |plan, cluster, steps| cluster.progress(plan, steps), |plan, cluster| cluster.is_served(plan));
    if let Some(trap) = found.first() {
        println!("nobody gets out of here: {trap:#?}");
    }
    (states, !found.is_empty())
}

#[test]
fn planned_moves_close_nothing_and_keep_the_order() {
    holds(Bounds::one(3).with(Events { moves: 2, undos: 1, ..NONE }), 510_155);
}

#[test]
fn planned_moves_with_two_clients_and_copies_close_nothing() {
    holds(Bounds::two(1, 1).with(Events { undos: 1, copies: 1, ..MOVE }), 62_766);
}

#[test]
fn a_shard_that_is_released_is_taken_and_closes_nothing() {
    holds(Bounds::one(2).with(Events { releases: 2, undos: 1, ..NONE }), 27_614);
}

#[test]
fn promises_hold_when_shards_are_released_and_nodes_die() {
    holds(Bounds::one(2).with(Events { moves: 0, releases: 1, lost_answers: 1, ..RESTART }), 324_109);
}

#[test]
fn words_that_are_said_again_change_nothing() {
    holds(Bounds::one(2).with(Events { repeated_words: 1, undos: 1, copies: 1, ..MOVE }), 230_595);
}

#[test]
fn promises_hold_when_nodes_die_and_start_again() {
    holds(Bounds::one(2).with(Events { copies: 1, ..RESTART }), 556_519);
}

#[test]
fn promises_hold_when_a_frozen_node_wakes_up() {
    holds(Bounds::one(2).with(Events { lost_answers: 1, undos: 1, ..ZOMBIE }), 249_764);
}

#[test]
fn promises_hold_when_the_node_that_took_over_dies() {
    holds(Bounds::one(2).with(Events { kills: 1, ..ZOMBIE }), 464_910);
}

#[test]
fn promises_hold_when_links_break_and_nodes_die() {
    holds(Bounds::one(2).with(Events { cuts: 1, ..KILL }), 560_982);
}

#[test]
fn promises_hold_when_words_are_lost_and_deadlines_pass() {
    holds(Bounds::one(2).with(Events { early_deadlines: 1, ..LOST_WORD }), 150_182);
}

#[test]
fn shards_that_gateways_have_given_up_delay_no_move() {
    holds(Bounds::one(1).with(Events { moves: 2, undos: 1, early_deadlines: 2, ..NONE }), 2_058_219);
}

#[test]
fn promises_hold_with_two_gateways() {
    holds(Bounds::two(1, 1).two_gateways().with(Events { undos: 1, ..MOVE }), 185_773);
}

#[test]
fn promises_hold_when_gateways_die() {
    holds(Bounds::one(2).with(Events { gateway_kills: 1, ..KILL }), 377_253);
}

#[test]
fn gateways_that_are_replaced_close_nothing() {
    holds(Bounds::one(2).with(Events { replacements: 1, undos: 1, ..MOVE }), 52_139);
}

#[test]
fn gateways_that_are_replaced_one_after_the_other_close_nothing() {
    holds(Bounds::two(1, 1).two_gateways().durable().with(Events { replacements: 2, ..NONE }), 33_492);
}

#[test]
fn promises_hold_when_gateways_are_replaced_and_nodes_die() {
    holds(Bounds::one(2).with(Events { replacements: 1, kills: 1, ..NONE }), 7_057);
}

#[test]
fn promises_hold_when_gateways_are_replaced_and_words_are_lost_or_said_again() {
    let events = Events { replacements: 1, lost_words: 1, repeated_words: 1, early_deadlines: 1, ..NONE };
    holds(Bounds::one(2).with(events), 62_465);
}

#[test]
fn promises_hold_for_clients_that_wait_for_commits() {
    holds(Bounds::one(2).durable().with(Events { kills: 1, lost_answers: 1, ..MOVE }), 44_868);
}

#[test]
fn clients_that_do_not_read_delay_no_move() {
    holds(Bounds::two(2, 1).slow_readers().with(MOVE), 225_056);
}

#[test]
fn promises_hold_for_clients_that_do_not_read_when_nodes_die() {
    holds(Bounds::one(3).slow_readers().with(KILL), 119_622);
}

#[test]
fn promises_hold_for_two_clients_and_a_death() {
    holds(Bounds::two(1, 1).with(KILL), 125_385);
}

/// Searches that take minutes: `cargo test -p castellan-model --features long`.
#[cfg(feature = "long")]
mod long {
    use super::*;

    #[test]
    fn there_and_back_with_a_frozen_node() {
        holds(Bounds::one(2).with(Events { moves: 2, ..ZOMBIE }), 2_049_334);
    }

    #[test]
    fn two_clients_and_a_frozen_node() {
        holds(Bounds::two(1, 1).with(ZOMBIE), 962_971);
    }

    #[test]
    fn two_clients_move_there_and_back_with_copies() {
        holds(Bounds::two(1, 1).with(Events { moves: 2, undos: 1, copies: 1, ..NONE }), 1_270_682);
    }

    #[test]
    fn two_gateways_there_and_back() {
        holds(Bounds::two(1, 1).two_gateways().with(Events { moves: 2, ..NONE }), 6_942_088);
    }

    #[test]
    fn two_gateways_and_a_death() {
        holds(Bounds::two(1, 1).two_gateways().with(KILL), 1_987_305);
    }

    #[test]
    fn a_frozen_node_with_lost_answers_and_copies() {
        holds(Bounds::one(2).with(Events { lost_answers: 1, undos: 1, copies: 1, ..ZOMBIE }), 1_453_672);
    }

    #[test]
    fn a_client_that_waits_for_commits_and_every_fault_of_a_node() {
        holds(Bounds::one(2).durable().with(Events { kills: 1, lost_answers: 1, ..ZOMBIE }), 853_152);
    }

    #[test]
    fn lost_and_repeated_words_with_early_deadlines() {
        holds(Bounds::one(2).with(Events { repeated_words: 1, early_deadlines: 1, ..LOST_WORD }), 2_266_681);
    }

    #[test]
    fn two_clients_a_move_and_a_release() {
        holds(Bounds::two(1, 1).with(Events { releases: 1, ..MOVE }), 259_120);
    }

    #[test]
    fn two_links_break() {
        holds(Bounds::one(2).with(Events { cuts: 2, ..MOVE }), 1_343_959);
    }
}

#[test]
fn from_every_state_progress_leads_to_rest() {
    for (bounds, states) in [
        (Bounds::one(1).with(Events { undos: 1, ..RESTART }), 18_678),
        (Bounds::one(1).with(Events { early_deadlines: 1, ..LOST_WORD }), 21_599),
        (Bounds::one(1).with(Events { lost_answers: 1, ..ZOMBIE }), 22_328),
        (Bounds::one(1).with(Events { cuts: 1, undos: 1, ..MOVE }), 18_322),
    ] {
        assert_eq!(is_trapped(bounds, None), (states, false));
    }
}

#[test]
fn the_searches_reach_every_milestone() {
    let reaches = |bounds: Bounds, wanted: &[&'static str]| {
        let _turn = turn();
        let plan = Plan { bounds, left_out: None, quest: Quest::Milestones };
        let wanted: BTreeSet<&'static str> = wanted.iter().copied().collect();
        let found = ways(plan, HasDiscoveries::AllOf(wanted.clone()), STEPS_MAX);
        let found: BTreeSet<&'static str> = found.into_iter().map(|(milestone, _)| milestone).collect();
        let missed: Vec<_> = wanted.difference(&found).collect();
        assert!(missed.is_empty(), "milestones never reached: {missed:?}");
    };
    reaches(Bounds::one(3).with(Events { moves: 2, ..NONE }), &[KEPT, RETURNED]);
    reaches(Bounds::one(2).with(LOST_ANSWER), &[UNKNOWN_TRANSFER]);
    reaches(Bounds::one(3).with(Events { cuts: 1, ..ZOMBIE }), &[TWO_OWNERS]);
    reaches(Bounds::one(2).with(RESTART), &[OLD_NEWS, DEAD_TARGET]);
    assert_eq!(milestones::ALL.len(), 6, "each milestone is listed above");
}

#[test]
fn every_promise_has_its_own_name() {
    let names: BTreeSet<_> = promises::ALL.iter().map(|(name, _)| *name).collect();
    assert_eq!(names.len(), promises::ALL.len(), "a search distinguishes promises by name");
}
