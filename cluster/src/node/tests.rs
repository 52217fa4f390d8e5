//! Tests of a shard's life.

use super::*;

const NOW: Duration = Duration::ZERO;
const FIRST: Held = Held { epoch: 1, recoveries: 0 };
const SECOND: Held = Held { epoch: 2, recoveries: 0 };

type Life = ShardLife<char, u8>;
type Effects = Vec<Effect<char, u8>>;

fn lease(owner: char, held: Held) -> Lease<char> {
    Lease { held, owner: Some(owner) }
}

/// Performs one input and returns its effects.
fn effects(life: &mut Life, input: impl FnOnce(&mut Life, &mut Effects)) -> Effects {
    let mut effects = Vec::new();
    input(life, &mut effects);
    effects
}

/// Process `a`, which owns the shard under the first epoch and serves the gateway on link 7.
fn owner() -> Life {
    let mut life = Life::new('a');
    let all = effects(&mut life, |life, effects| {
        life.attach(7, 1, 1, effects);
        life.lease(lease('a', FIRST), effects);
    });
    assert_eq!(all, [Effect::ReadLease, Effect::Serve, Effect::Say(7, 1, Word::Attached { epoch: 1 })]);
    assert!(life.serves(7, 1) && !life.serves(7, 2) && !life.serves(8, 1));
    life
}

/// The same, about to hand the shard to `b`.
fn leaving() -> Life {
    let mut life = owner();
    let all = effects(&mut life, |life, effects| life.leave(Some('b'), NOW, effects));
    assert_eq!(all, [Effect::Say(7, 1, Word::Leaving), Effect::Flush]);
    assert!(!life.serves(7, 1));
    life
}

#[test]
fn the_transfer_waits_for_the_markers_and_for_the_flush() {
    let mut life = leaving();
    assert_eq!(effects(&mut life, |life, effects| life.quiet(effects)), []);
    assert_eq!(life.deadline(), Some(MARKER));
    let all = effects(&mut life, |life, effects| life.marker(7, 1, effects));
    assert_eq!(all, [Effect::Transfer { epoch: 1, to: Some('b') }]);
    assert_eq!(life.deadline(), None);
    let all = effects(&mut life, |life, effects| {
        life.undo(effects);
        life.lease(lease('a', FIRST), effects);
        life.repeat(effects);
    });
    assert_eq!(all, [Effect::Transfer { epoch: 1, to: Some('b') }], "it was sent, so it can only be repeated");
    let all = effects(&mut life, |life, effects| life.lease(lease('b', SECOND), effects));
    let [tell, say, moved, drop] = &all[..] else { panic!("{all:?}") };
    assert_eq!([tell, say], [&Effect::Tell(7, 1), &Effect::Say(7, 1, Word::Moved { to: Some('b'), epoch: 2 })]);
    assert_eq!([moved, drop], [&Effect::Moved { to: 'b', held: SECOND }, &Effect::Drop]);
}

#[test]
fn a_late_marker_costs_the_gateway_its_link() {
    let mut life = leaving();
    life.quiet(&mut Vec::new());
    assert_eq!(effects(&mut life, |life, effects| life.markers_are_late(effects)), [Effect::Cut(7)]);
    let all = effects(&mut life, |life, effects| life.link_down(7, effects));
    assert_eq!(all, [Effect::Transfer { epoch: 1, to: Some('b') }]);
}

#[test]
fn an_undo_waits_for_the_markers() {
    let mut life = leaving();
    assert_eq!(effects(&mut life, |life, effects| life.undo(effects)), []);
    let all = effects(&mut life, |life, effects| life.marker(7, 1, effects));
    assert_eq!(all, [Effect::Say(7, 1, Word::Resume)]);
    assert!(!life.serves(7, 1), "the gateway attaches again first");
    // A next move waits until it has done so.
    let all = effects(&mut life, |life, effects| {
        life.leave(Some('b'), NOW, effects);
        life.quiet(effects);
        life.attach(7, 2, 1, effects);
        life.marker(7, 2, effects);
    });
    let transfer = Effect::Transfer { epoch: 1, to: Some('b') };
    assert_eq!(all, [Effect::Flush, Effect::Say(7, 2, Word::Leaving), transfer]);
}

#[test]
fn a_gateway_that_has_given_up_delays_no_later_move() {
    let mut life = leaving();
    let all = effects(&mut life, |life, effects| {
        life.undo(effects);
        life.marker(7, 1, effects);
        // Its answer to `resume`.
        life.marker(7, 1, effects);
        life.leave(Some('b'), NOW, effects);
        life.quiet(effects);
    });
    let transfer = Effect::Transfer { epoch: 1, to: Some('b') };
    assert_eq!(all, [Effect::Say(7, 1, Word::Resume), Effect::Flush, transfer]);
}

#[test]
fn a_released_shard_can_be_taken_again() {
    let mut life = owner();
    let all = effects(&mut life, |life, effects| {
        life.leave(None, NOW, effects);
        life.quiet(effects);
        life.marker(7, 1, effects);
        life.lease(lease('a', FIRST).released(), effects);
        life.lease(lease('a', FIRST), effects);
        life.lease(lease('a', FIRST).released().taken_by('a'), effects);
    });
    let moved = Effect::Say(7, 1, Word::Moved { to: None, epoch: 1 });
    let left = [Effect::Say(7, 1, Word::Leaving), Effect::Flush, Effect::Transfer { epoch: 1, to: None }];
    assert_eq!(all, [&left[..], &[Effect::Tell(7, 1), moved, Effect::Drop, Effect::Serve]].concat());
    assert_eq!(life.state(), State::Owned(SECOND), "nothing was lost, so it is no recovery");
}

#[test]
fn another_owner_ends_everything() {
    let mut life = owner();
    let taken = Held { epoch: 2, recoveries: 1 };
    let all = effects(&mut life, |life, effects| life.lease(lease('b', taken), effects));
    assert_eq!(all, [Effect::Say(7, 1, Word::NotMine), Effect::Drop]);
    let late = effects(&mut life, |life, effects| life.lease(lease('a', FIRST), effects));
    assert_eq!((late, life.state()), (vec![], State::Absent), "a late read makes nobody an owner again");
}

#[test]
fn moved_is_for_one_process_and_counts_once() {
    let mut life = Life::new('b');
    assert!(!life.moved('a', SECOND, &mut Vec::new()));
    assert!(life.moved('b', SECOND, &mut Vec::new()));
    assert!(!life.moved('b', SECOND, &mut Vec::new()), "what is in memory by now is not replaced");
    assert_eq!(life.state(), State::Owned(SECOND));
}

#[test]
fn a_gateway_that_knows_more_than_the_node_waits_for_a_read_as_new() {
    let mut life = owner();
    let third = Held { epoch: 3, recoveries: 0 };
    let all = effects(&mut life, |life, effects| {
        life.attach(8, 5, 3, effects);
        life.lease(lease('a', FIRST), effects);
        life.lease(lease('a', third), effects);
    });
    let lost = [Effect::Say(7, 1, Word::NotMine), Effect::Drop];
    let again = [Effect::Serve, Effect::Say(8, 5, Word::Attached { epoch: 3 })];
    assert_eq!(all, [&[Effect::ReadLease, Effect::ReadLease], &lost[..], &again[..]].concat());
}
