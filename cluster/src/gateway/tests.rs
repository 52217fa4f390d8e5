use super::*;
use crate::lease::Held;

const NOW: Duration = Duration::ZERO;

type Routed = Routing<char, u8, &'static str>;
type Effects = Vec<Effect<char, u8, &'static str>>;

fn lease(owner: char, epoch: u64) -> Lease<char> {
    Lease { held: Held { epoch, recoveries: 0 }, owner: Some(owner) }
}

fn frame(to: char, number: u64, socket: u8, frame: &'static str) -> Effect<char, u8, &'static str> {
    Effect::Frame { to, number, socket, frame }
}

/// Performs one input and returns its effects.
fn effects(routing: &mut Routed, input: impl FnOnce(&mut Routed, &mut Effects)) -> Effects {
    let mut effects = Vec::new();
    input(routing, &mut effects);
    effects
}

/// A routing with the sockets 1 and 2, attached to process `a` under epoch 1. Socket 1 has sent a frame.
fn attached() -> Routed {
    let mut routing = Routed::default();
    let all = effects(&mut routing, |routing, effects| {
        routing.open(1, NOW, effects);
        routing.open(2, NOW, effects);
        routing.frame(1, "hello", effects);
        routing.lease(lease('a', 1), effects);
        routing.word('a', 1, Word::Attached { epoch: 1 }, NOW, effects);
    });
    let attach = Effect::Attach { to: 'a', number: 1, epoch: 1 };
    assert_eq!(all, [Effect::ReadLease, attach, frame('a', 1, 1, "hello")]);
    routing
}

/// The same while the shard leaves: the frame `first` came back, `second` was never sent.
fn held() -> Routed {
    let mut routing = attached();
    let all = effects(&mut routing, |routing, effects| {
        routing.frame(1, "first", effects);
        routing.word('a', 1, Word::Leaving, NOW, effects);
        routing.frame(1, "second", effects);
        routing.handed_back('a', 1, 1, "first", NOW, effects);
    });
    assert_eq!(all, [frame('a', 1, 1, "first"), Effect::Marker { to: 'a', number: 1 }]);
    routing
}

#[test]
fn frames_that_came_back_go_before_those_that_were_kept() {
    let mut routing = held();
    let all = effects(&mut routing, |routing, effects| {
        routing.word('a', 1, Word::Moved { to: Some('b'), epoch: 2 }, NOW, effects);
        routing.word('b', 2, Word::Attached { epoch: 2 }, NOW, effects);
        routing.frame(1, "third", effects);
    });
    let attach = Effect::Attach { to: 'b', number: 2, epoch: 2 };
    let expected = [attach, frame('b', 2, 1, "first"), frame('b', 2, 1, "second"), frame('b', 2, 1, "third")];
    assert_eq!(all, expected);
    assert_eq!(routing.deadline(), None);
}

#[test]
fn a_shard_that_was_given_up_does_not_keep_the_node_waiting() {
    let mut routing = attached();
    let all = effects(&mut routing, |routing, effects| {
        routing.kept_too_long(KEEP, effects);
        routing.word('a', 1, Word::Leaving, NOW, effects);
        routing.open(3, NOW, effects);
        routing.lease(lease('b', 2), effects);
        routing.word('a', 1, Word::Resume, NOW, effects);
    });
    let marker = Effect::Marker { to: 'a', number: 1 };
    let attach = Effect::Attach { to: 'b', number: 2, epoch: 2 };
    assert_eq!(all, [Effect::Close(1), Effect::Close(2), marker.clone(), Effect::ReadLease, attach, marker]);
}

#[test]
fn a_gateway_that_has_parted_gives_away_its_sockets_with_their_frames_in_order() {
    let mut routing = attached();
    let all = effects(&mut routing, |routing, effects| {
        routing.frame(1, "first", effects);
        routing.part(effects);
        routing.part(effects);
        routing.frame(1, "second", effects);
        routing.handed_back('a', 1, 1, "first", NOW, effects);
        assert!(!routing.has_parted());
        routing.word('a', 1, Word::Parted, NOW, effects);
    });
    assert_eq!(all, [frame('a', 1, 1, "first"), Effect::Part { to: 'a', number: 1 }]);
    assert!(routing.has_parted());
    assert_eq!(routing.take(1), Some(vec!["first", "second"]));
    assert_eq!(effects(&mut routing, |routing, effects| routing.stay(NOW, effects)), [Effect::ReadLease]);
    assert_eq!(routing.take(2), Some(vec![]));
}

#[test]
fn a_shard_that_moves_does_so_before_its_gateway_parts() {
    let mut routing = attached();
    let all = effects(&mut routing, |routing, effects| {
        routing.part(effects);
        routing.word('a', 1, Word::Leaving, NOW, effects);
        routing.part(effects);
        routing.word('a', 1, Word::Parted, NOW, effects);
        assert!(!routing.has_parted(), "the node leaves, so it says `moved`");
        routing.word('a', 1, Word::Moved { to: Some('b'), epoch: 2 }, NOW, effects);
        routing.part(effects);
    });
    let attach = Effect::Attach { to: 'b', number: 2, epoch: 2 };
    assert_eq!(all, [Effect::Part { to: 'a', number: 1 }, Effect::Marker { to: 'a', number: 1 }, attach]);
    assert!(routing.has_parted(), "nobody was told anything that is not stored");
}

#[test]
fn a_gateway_that_stays_passes_on_the_last_answers_and_closes_nothing() {
    let mut routing = attached();
    let all = effects(&mut routing, |routing, effects| {
        routing.part(effects);
        routing.stay(NOW, effects);
        assert_eq!(routing.deadline(), Some(KEEP));
        routing.frame(1, "first", effects);
        assert!(routing.passes(1));
        routing.word('a', 1, Word::Parted, NOW, effects);
        routing.stay(NOW, effects);
        routing.lease(lease('a', 1), effects);
        routing.word('a', 2, Word::Attached { epoch: 1 }, NOW, effects);
    });
    let attach = Effect::Attach { to: 'a', number: 2, epoch: 1 };
    assert_eq!(all, [Effect::Part { to: 'a', number: 1 }, Effect::ReadLease, attach, frame('a', 2, 1, "first")]);
}

#[test]
fn a_socket_that_was_told_something_is_not_given_away() {
    let mut routing = attached();
    effects(&mut routing, |routing, effects| routing.part(effects));
    assert_eq!(routing.take(1), None);
}

#[test]
fn a_broken_link_closes_every_socket_that_was_attached_over_it() {
    let mut routing = held();
    let all = effects(&mut routing, |routing, effects| {
        routing.open(3, NOW, effects);
        routing.link_down('b', NOW, effects);
        routing.link_down('a', NOW, effects);
    });
    assert_eq!(all, [Effect::Close(1), Effect::Close(2), Effect::ReadLease], "socket 3 was never attached");
}

#[test]
fn sockets_survive_the_death_of_a_node_that_they_are_moving_to() {
    let mut routing = held();
    let all = effects(&mut routing, |routing, effects| {
        routing.word('a', 1, Word::Moved { to: Some('b'), epoch: 2 }, NOW, effects);
        routing.link_down('b', NOW, effects);
        routing.lease(lease('a', 1), effects);
        routing.lease(lease('c', 3), effects);
        routing.word('c', 3, Word::Attached { epoch: 3 }, NOW, effects);
    });
    let [_, Effect::ReadLease, Effect::Attach { to: 'c', .. }, first, second] = &all[..] else {
        panic!("a lease older than the one that was heard of counts for nothing: {all:?}");
    };
    assert_eq!([first, second], [&frame('c', 3, 1, "first"), &frame('c', 3, 1, "second")]);
}

#[test]
fn sockets_wait_for_the_next_owner_of_a_released_shard() {
    let mut routing = held();
    let all = effects(&mut routing, |routing, effects| {
        routing.word('a', 1, Word::Moved { to: None, epoch: 1 }, NOW, effects);
        routing.lease(Lease { owner: None, ..lease('a', 1) }, effects);
        routing.lease(lease('b', 2), effects);
    });
    assert_eq!(all, [Effect::ReadLease, Effect::Attach { to: 'b', number: 2, epoch: 2 }]);
}

#[test]
fn frames_are_kept_longer_while_a_node_hands_the_shard_over() {
    let mut routing = held();
    assert_eq!(routing.deadline(), Some(NOW + KEEP_HELD));
    let late = NOW + KEEP;
    effects(&mut routing, |routing, effects| {
        routing.word('a', 1, Word::Moved { to: Some('b'), epoch: 2 }, late, effects);
        assert_eq!(routing.deadline(), Some(NOW + KEEP_HELD), "the next owner is known");
        routing.link_down('b', late, effects);
        assert_eq!(routing.deadline(), Some(late + KEEP), "nobody is known to come");
        routing.lease(lease('c', 3), effects);
        routing.link_down('c', late + KEEP / 2, effects);
    });
    assert_eq!(routing.deadline(), Some(late + KEEP), "the second has begun already");
}

#[test]
fn the_sockets_of_frames_that_were_kept_too_long_are_closed() {
    let mut routing = held();
    let all = effects(&mut routing, |routing, effects| routing.kept_too_long(KEEP_HELD, effects));
    assert_eq!(all, [Effect::Close(1), Effect::Close(2)]);
    assert_eq!((routing.state(), routing.waiting()), (State::Idle, 0));
}

#[test]
fn words_about_an_older_attachment_are_ignored() {
    let mut routing = held();
    let all = effects(&mut routing, |routing, effects| {
        routing.word('a', 1, Word::Resume, NOW, effects);
        routing.word('a', 1, Word::Moved { to: Some('b'), epoch: 2 }, NOW, effects);
        routing.word('a', 1, Word::NotMine, NOW, effects);
    });
    assert_eq!(all, [Effect::Attach { to: 'a', number: 2, epoch: 1 }]);
    assert!(!routing.passes(1));
}

#[test]
fn a_node_that_got_its_shard_back_without_its_memory_closes_the_sockets_that_it_told_something() {
    let mut routing = held();
    let all = effects(&mut routing, |routing, effects| {
        routing.word('a', 1, Word::Resume, NOW, effects);
        routing.word('a', 2, Word::Attached { epoch: 3 }, NOW, effects);
    });
    assert_eq!(all[1..], [Effect::Close(1), Effect::Close(2)]);
}
