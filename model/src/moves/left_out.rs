//! Leaving out any rule breaks a promise, with the shortest way there. So the search can fail, and every rule is
//! necessary.

use super::plan::{Bounds, Events, NONE};
use super::promises::*;
use super::rule::Rule;
use super::searches::{LOST_ANSWER, LOST_WORD, MOVE, REPLACEMENT, RESTART, ZOMBIE, breaks, is_trapped};

#[test]
fn without_explicit_attachments_a_promise_breaks() {
    breaks(Rule::ExplicitAttach, Bounds::one(2).with(ZOMBIE), FRAMES_IN_ORDER, 15);
}

#[test]
fn without_numbers_in_words_a_promise_breaks() {
    let events = Events { repeated_words: 1, undos: 1, ..MOVE };
    breaks(Rule::NumberedWords, Bounds::one(1).with(events), NO_CLOSE_IN_PEACE, 17);
}

#[test]
fn without_the_epoch_in_attach_a_promise_breaks() {
    let events = Events { gateway_kills: 1, ..ZOMBIE };
    breaks(Rule::AttachNamesEpoch, Bounds::one(2).with(events), COVERED_IS_STORED, 26);
}

#[test]
fn without_the_epoch_in_attached_a_promise_breaks() {
    let events = Events { kills: 1, ..ZOMBIE };
    breaks(Rule::AttachedNamesEpoch, Bounds::one(2).with(events), COVERED_IS_STORED, 24);
}

#[test]
fn without_closing_all_sockets_of_a_broken_link_a_promise_breaks() {
    let events = Events { kills: 1, ..NONE };
    breaks(Rule::BrokenLinkClosesAll, Bounds::one(2).with(events), COVERED_IS_STORED, 18);
}

#[test]
fn without_waiting_for_moved_a_promise_breaks() {
    let events = Events { zombies: 1, ..NONE };
    breaks(Rule::LeaveOnlyOnMoved, Bounds::one(2).with(events), COVERED_IS_STORED, 16);
}

#[test]
fn without_a_transfer_in_one_statement_a_promise_breaks() {
    breaks(Rule::TransferInOneStatement, Bounds::one(1).with(MOVE), ONE_WRITER, 18);
}

#[test]
fn without_storing_everything_before_the_transfer_a_promise_breaks() {
    breaks(Rule::StoredBeforeTransfer, Bounds::two(1, 1).with(MOVE), VERSIONS_NAME_ONE_STATE, 23);
}

#[test]
fn without_waiting_for_open_statements_a_promise_breaks() {
    breaks(Rule::StatementsEndFirst, Bounds::two(1, 1).with(MOVE), VERSIONS_NAME_ONE_STATE, 24);
}

#[test]
fn without_handing_back_a_promise_breaks() {
    breaks(Rule::HandBack, Bounds::one(2).with(MOVE), FRAMES_IN_ORDER, 19);
}

#[test]
fn without_the_marker_a_promise_breaks() {
    breaks(Rule::Marker, Bounds::one(2).with(MOVE), FRAMES_IN_ORDER, 17);
}

#[test]
fn without_markers_for_ended_attachments_a_promise_breaks() {
    let events = Events { early_deadlines: 2, ..MOVE };
    breaks(Rule::MarkerAfterTheEnd, Bounds::one(1).with(events), ONLY_LOSS_CUTS, 8);
}

#[test]
fn without_cutting_links_with_late_markers_a_promise_breaks() {
    breaks(Rule::LateMarkerCutsLink, Bounds::one(1).with(LOST_WORD), REST_IS_SERVED, 16);
}

#[test]
fn without_answers_before_moved_a_promise_breaks() {
    breaks(Rule::AnswersBeforeMoved, Bounds::one(1).durable().with(MOVE), REST_IS_SERVED, 20);
}

#[test]
fn without_ending_service_at_the_transfer_a_promise_breaks() {
    breaks(Rule::NeverServesAgain, Bounds::two(1, 1).with(LOST_ANSWER), VERSIONS_NAME_ONE_STATE, 28);
}

#[test]
fn without_comparing_versions_of_copies_a_promise_breaks() {
    let events = Events { copies: 1, ..MOVE };
    breaks(Rule::InstallComparesVersions, Bounds::two(1, 1).with(events), VERSIONS_NAME_ONE_STATE, 28);
}

#[test]
fn without_sparing_characters_in_memory_a_promise_breaks() {
    let events = Events { copies: 1, ..MOVE };
    breaks(Rule::InstallNotOverMemory, Bounds::one(2).with(events), DURABLE_IS_STORED, 22);
}

#[test]
fn without_naming_processes_a_promise_breaks() {
    breaks(Rule::ProcessesAreNamed, Bounds::one(2).with(RESTART), ONE_WRITER, 18);
}

#[test]
fn without_sending_first_what_came_back_a_promise_breaks() {
    breaks(Rule::HandedBackFirst, Bounds::one(2).with(MOVE), FRAMES_IN_ORDER, 20);
}

#[test]
fn without_markers_before_an_undo_a_promise_breaks() {
    let events = Events { undos: 1, ..MOVE };
    breaks(Rule::UndoAfterMarker, Bounds::one(2).with(events), FRAMES_IN_ORDER, 18);
}

#[test]
fn without_remembering_lost_epochs_a_promise_breaks() {
    let events = Events { moves: 2, ..NONE };
    breaks(Rule::GoneIsGone, Bounds::one(1).with(events), NO_CLOSE_IN_PEACE, 14);
}

#[test]
fn without_credit_a_promise_breaks() {
    breaks(Rule::Credit, Bounds::one(2).slow_readers().with(MOVE), NO_CLOSE_IN_PEACE, 18);
}

#[test]
fn without_a_limit_on_keeping_a_promise_breaks() {
    breaks(Rule::KeepIsLimited, Bounds::one(1).with(LOST_WORD), REST_IS_SERVED, 3);
    assert!(is_trapped(Bounds::one(1).with(LOST_WORD), Some(Rule::KeepIsLimited)).1);
}

#[test]
fn without_storing_everything_before_a_gateway_parts_a_promise_breaks() {
    let events = Events { replacements: 1, kills: 1, ..NONE };
    breaks(Rule::PartedWhenStored, Bounds::one(2).with(events), COVERED_IS_STORED, 22);
}

#[test]
fn without_answers_before_a_gateway_parts_a_promise_breaks() {
    breaks(Rule::AnswersBeforeParted, Bounds::one(1).durable().with(REPLACEMENT), REST_IS_SERVED, 19);
}

#[test]
fn without_parting_before_sockets_are_given_away_a_promise_breaks() {
    breaks(Rule::PartBeforeGiving, Bounds::one(2).with(REPLACEMENT), FRAMES_IN_ORDER, 15);
}

#[test]
fn without_frames_that_travel_with_their_socket_a_promise_breaks() {
    breaks(Rule::WaitingFramesTravel, Bounds::one(2).with(REPLACEMENT), FRAMES_IN_ORDER, 17);
}
