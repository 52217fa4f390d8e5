//! Each rule, left out, breaks a promise: the search is able to fail, and no rule is there for nothing.

use crate::promises::*;
use crate::rules::Rules;
use crate::scenario::{Faults, Scenario, Style};
use crate::searches::breaks;

const CALM: Faults = Faults { kills: 0, zombies: 0, cuts: 0, lost_answers: 0, stops: 0, evictions: 0, timeouts: 0 };
const KILL: Faults = Faults { kills: 1, ..CALM };
const ZOMBIE: Faults = Faults { zombies: 1, ..CALM };
const CUT: Faults = Faults { cuts: 1, ..CALM };
const EVICTION: Faults = Faults { evictions: 1, ..CALM };

const fn small(intents: [usize; 2], faults: Faults) -> Scenario {
    Scenario { intents, faults, ..Scenario::TOGETHER }
}

#[test]
fn the_lock_in_the_flush() {
    let rules = Rules { lock_in_flush: false, ..Rules::ALL };
    breaks(rules, small([1, 0], ZOMBIE), ONE_WRITER);
    breaks(rules, small([1, 1], ZOMBIE), COVERED_IS_STORED);
}

#[test]
fn the_version_jump() {
    breaks(Rules { version_jump: false, ..Rules::ALL }, small([1, 1], KILL), VERSIONS_NAME_ONE_STATE);
}

#[test]
fn the_wait_for_what_is_dirty_before_a_release() {
    let faults = Faults { stops: 1, ..CALM };
    breaks(Rules { release_clean: false, ..Rules::ALL }, small([1, 1], faults), VERSIONS_NAME_ONE_STATE);
}

#[test]
fn the_ring_in_the_row() {
    breaks(Rules { stored_ring: false, ..Rules::ALL }, small([1, 0], KILL), REFUSALS_ARE_JUSTIFIED);
}

#[test]
fn the_look_up_of_a_lost_commit() {
    let rules = Rules { look_up_lost_commit: false, ..Rules::ALL };
    let faults = Faults { lost_answers: 1, ..CALM };
    breaks(rules, small([1, 0], faults), DURABLE_IS_STORED);
    breaks(rules, small([1, 0], faults), COVERED_IS_STORED);
}

#[test]
fn the_commit_before_durable_is_said() {
    let rules = Rules { durable_after_commit: false, ..Rules::ALL };
    breaks(rules, small([1, 0], CALM), DURABLE_IS_STORED);
    breaks(rules, small([1, 0], CALM), COVERED_IS_STORED);
}

#[test]
fn the_closing_of_sockets_when_memory_falls_back() {
    let rules = Rules { close_on_fall_back: false, ..Rules::ALL };
    breaks(rules, small([1, 0], ZOMBIE), REST_IS_SETTLED);
    breaks(rules, small([2, 0], Faults { zombies: 2, ..CALM }), COVERED_IS_STORED);
}

#[test]
fn the_proof_before_welcome() {
    let faults = Faults { zombies: 1, cuts: 1, ..CALM };
    breaks(Rules { welcome_proves_lease: false, ..Rules::ALL }, small([2, 1], faults), SHOWN_HAS_COVERED);
}

#[test]
fn the_proof_in_a_load() {
    let faults = Faults { kills: 1, zombies: 1, evictions: 1, ..CALM };
    breaks(Rules { load_proves_lease: false, ..Rules::ALL }, small([2, 1], faults), VERSIONS_NAME_ONE_STATE);
}

#[test]
fn the_one_statement_of_a_takeover() {
    let rules = Rules { take_over_in_one_statement: false, ..Rules::ALL };
    breaks(rules, small([1, 1], KILL), COVERED_IS_STORED);
}

#[test]
fn the_fence_of_a_release() {
    let faults = Faults { kills: 1, zombies: 1, stops: 1, ..CALM };
    breaks(Rules { fenced_release: false, ..Rules::ALL }, small([1, 1], faults), VERSIONS_NAME_ONE_STATE);
}

/// The lock alone keeps versions from falling, and so does this: both have to go.
#[test]
fn the_lower_version_that_a_flush_writes_over() {
    let rules = Rules { lock_in_flush: false, only_newer_rows: false, ..Rules::ALL };
    breaks(rules, small([1, 1], ZOMBIE), VERSIONS_NEVER_FALL);
}

#[test]
fn the_bound_on_what_is_unflushed() {
    let scenario = Scenario { jump: 2, unflushed_max: 1, ..small([2, 1], KILL) };
    breaks(Rules { unflushed_bound: false, ..Rules::ALL }, scenario, VERSIONS_NAME_ONE_STATE);
}

#[test]
fn the_stay_of_what_is_dirty() {
    breaks(Rules { evict_clean: false, ..Rules::ALL }, small([1, 1], EVICTION), VERSIONS_NAME_ONE_STATE);
}

#[test]
fn the_id_before_the_base() {
    breaks(Rules { ids_before_base: false, ..Rules::ALL }, small([1, 0], CUT), REFUSALS_ARE_JUSTIFIED);
}

#[test]
fn the_once_of_expect() {
    let scenario = Scenario { ring: 1, styles: [Style::AskingAny, Style::Chained], ..small([1, 1], CUT) };
    breaks(Rules { asked_once: false, ..Rules::ALL }, scenario, NOTHING_TWICE);
}

#[test]
fn the_forgetting_of_answers() {
    breaks(Rules { forget_answers: false, ..Rules::ALL }, small([2, 0], KILL), COVERED_IS_STORED);
}

#[test]
fn the_overruling_of_a_conflict() {
    let scenario = Scenario { ring: 1, ..small([2, 0], CUT) };
    breaks(Rules { applied_overrules_conflict: false, ..Rules::ALL }, scenario, REFUSALS_ARE_JUSTIFIED);
}

#[test]
fn the_own_intents_in_a_shown_state() {
    breaks(Rules { shown_states_count: false, ..Rules::ALL }, small([2, 1], CUT), REFUSALS_ARE_JUSTIFIED);
}

#[test]
fn the_wait_for_what_was_made_on_it() {
    let scenario = Scenario { ring: 1, ..small([2, 0], CUT) };
    breaks(Rules { refused_after_descendants: false, ..Rules::ALL }, scenario, REFUSALS_ARE_JUSTIFIED);
}
