//! Leaving out any rule breaks a promise. So the search can fail, and every rule is necessary.

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
fn without_the_lock_in_the_flush_a_promise_breaks() {
    let rules = Rules { lock_in_flush: false, ..Rules::ALL };
    breaks(rules, small([1, 0], ZOMBIE), ONE_WRITER);
    breaks(rules, small([1, 1], ZOMBIE), COVERED_IS_STORED);
}

#[test]
fn without_the_version_jump_a_promise_breaks() {
    breaks(Rules { version_jump: false, ..Rules::ALL }, small([1, 1], KILL), VERSIONS_NAME_ONE_STATE);
}

#[test]
fn without_a_flush_before_the_release_a_promise_breaks() {
    let faults = Faults { stops: 1, ..CALM };
    breaks(Rules { release_clean: false, ..Rules::ALL }, small([1, 1], faults), VERSIONS_NAME_ONE_STATE);
}

#[test]
fn without_the_ring_in_the_row_a_promise_breaks() {
    breaks(Rules { stored_ring: false, ..Rules::ALL }, small([1, 0], KILL), REFUSALS_ARE_JUSTIFIED);
}

#[test]
fn without_looking_up_a_lost_commit_a_promise_breaks() {
    let rules = Rules { look_up_lost_commit: false, ..Rules::ALL };
    let faults = Faults { lost_answers: 1, ..CALM };
    breaks(rules, small([1, 0], faults), DURABLE_IS_STORED);
    breaks(rules, small([1, 0], faults), COVERED_IS_STORED);
}

#[test]
fn without_the_commit_before_durable_a_promise_breaks() {
    let rules = Rules { durable_after_commit: false, ..Rules::ALL };
    breaks(rules, small([1, 0], CALM), DURABLE_IS_STORED);
    breaks(rules, small([1, 0], CALM), COVERED_IS_STORED);
}

#[test]
fn without_closing_sockets_when_memory_falls_back_a_promise_breaks() {
    let rules = Rules { close_on_fall_back: false, ..Rules::ALL };
    breaks(rules, small([1, 0], ZOMBIE), REST_IS_SETTLED);
    breaks(rules, small([2, 0], Faults { zombies: 2, ..CALM }), COVERED_IS_STORED);
}

#[test]
fn without_the_proof_before_welcome_a_promise_breaks() {
    let faults = Faults { zombies: 1, cuts: 1, ..CALM };
    breaks(Rules { welcome_proves_lease: false, ..Rules::ALL }, small([2, 1], faults), SHOWN_HAS_COVERED);
}

#[test]
fn without_the_proof_in_a_load_a_promise_breaks() {
    let faults = Faults { kills: 1, zombies: 1, evictions: 1, ..CALM };
    breaks(Rules { load_proves_lease: false, ..Rules::ALL }, small([2, 1], faults), VERSIONS_NAME_ONE_STATE);
}

#[test]
fn without_a_takeover_in_one_statement_a_promise_breaks() {
    let rules = Rules { take_over_in_one_statement: false, ..Rules::ALL };
    breaks(rules, small([1, 1], KILL), COVERED_IS_STORED);
}

#[test]
fn without_the_fence_of_a_release_a_promise_breaks() {
    let faults = Faults { kills: 1, zombies: 1, stops: 1, ..CALM };
    breaks(Rules { fenced_release: false, ..Rules::ALL }, small([1, 1], faults), VERSIONS_NAME_ONE_STATE);
}

/// The lock alone also keeps versions from falling, so both are left out.
#[test]
fn without_the_check_of_versions_in_a_flush_a_promise_breaks() {
    let rules = Rules { lock_in_flush: false, only_newer_rows: false, ..Rules::ALL };
    breaks(rules, small([1, 1], ZOMBIE), VERSIONS_NEVER_FALL);
}

#[test]
fn without_the_bound_on_unflushed_intents_a_promise_breaks() {
    let scenario = Scenario { jump: 2, unflushed_max: 1, ..small([2, 1], KILL) };
    breaks(Rules { unflushed_bound: false, ..Rules::ALL }, scenario, VERSIONS_NAME_ONE_STATE);
}

#[test]
fn without_keeping_dirty_characters_in_memory_a_promise_breaks() {
    breaks(Rules { evict_clean: false, ..Rules::ALL }, small([1, 1], EVICTION), VERSIONS_NAME_ONE_STATE);
}

#[test]
fn without_checking_the_id_before_the_base_a_promise_breaks() {
    breaks(Rules { ids_before_base: false, ..Rules::ALL }, small([1, 0], CUT), REFUSALS_ARE_JUSTIFIED);
}

#[test]
fn without_sending_expect_only_once_a_promise_breaks() {
    let scenario = Scenario { ring: 1, styles: [Style::AskingAny, Style::Chained], ..small([1, 1], CUT) };
    breaks(Rules { asked_once: false, ..Rules::ALL }, scenario, NOTHING_TWICE);
}

#[test]
fn without_forgetting_answers_a_promise_breaks() {
    breaks(Rules { forget_answers: false, ..Rules::ALL }, small([2, 0], KILL), COVERED_IS_STORED);
}

#[test]
fn without_overruling_a_conflict_a_promise_breaks() {
    let scenario = Scenario { ring: 1, ..small([2, 0], CUT) };
    breaks(Rules { applied_overrules_conflict: false, ..Rules::ALL }, scenario, REFUSALS_ARE_JUSTIFIED);
}

#[test]
fn without_counting_own_intents_in_shown_states_a_promise_breaks() {
    breaks(Rules { shown_states_count: false, ..Rules::ALL }, small([2, 1], CUT), REFUSALS_ARE_JUSTIFIED);
}

#[test]
fn without_waiting_for_later_intents_a_promise_breaks() {
    let scenario = Scenario { ring: 1, ..small([2, 0], CUT) };
    breaks(Rules { refused_after_descendants: false, ..Rules::ALL }, scenario, REFUSALS_ARE_JUSTIFIED);
}
