use castellan_protocol::{RequestId, merge};
use serde_json::{Value, json};
use uuid::Uuid;

use super::*;

fn character(number: u128) -> CharacterId {
    CharacterId::from_uuid(Uuid::from_u128(number))
}

fn pack(state: &Value) -> Vec<u8> {
    let mut packed = Vec::new();
    Codec::MessagePack.encode(state, &mut packed);
    packed
}

/// A state of so many bytes and a few more.
fn state(version: u64, bytes: usize) -> Value {
    json!({"name": "x".repeat(bytes), "version": version})
}

/// Sends a state and returns the fields of its frame.
fn send(changes: &mut Changes, codec: Codec, number: u128, state: &Value, answer: Answer) -> Value {
    let about = About { character: character(number), durable: Version::new(3), answer };
    let mut frame = Vec::new();
    changes.begin_state().extend_from_slice(&pack(state));
    changes.write(codec, &about, &mut frame);
    let frame: Value = codec.decode(&frame).expect("a frame");
    let (_, fields) = frame.as_object().and_then(|frame| frame.iter().next()).expect("one entry");
    fields.clone()
}

const TOLD: Answer = Answer::State { id: None };

#[track_caller]
fn check_whole(fields: &Value, state: &Value) {
    assert_eq!((&fields["character"], fields.get("changes")), (state, None));
}

#[test]
fn the_first_state_is_whole_and_the_next_ones_say_what_changed() {
    for codec in [Codec::MessagePack, Codec::Json] {
        let mut changes = Changes::new(1);
        check_whole(&send(&mut changes, codec, 1, &state(6, 99), TOLD), &state(6, 99));
        let id = RequestId::new(1831);
        let applied = send(&mut changes, codec, 1, &state(7, 99), Answer::Applied { id, duplicate: false });
        assert_eq!(applied, json!({"id": 1831, "changes": {"version": 7}, "durable": 3}));
        let again = send(&mut changes, codec, 1, &state(7, 99), Answer::Applied { id, duplicate: true });
        assert_eq!(again, json!({"id": 1831, "changes": {}, "durable": 3, "duplicate": true}));
        check_whole(&send(&mut changes, codec, 2, &state(6, 99), TOLD), &state(6, 99));
        let fetched = send(&mut changes, codec, 1, &state(9, 99), Answer::State { id: Some(id) });
        assert_eq!(fetched, json!({"id": 1831, "changes": {"version": 9}, "durable": 3}));
    }
}

#[test]
fn a_conflict_is_whole_and_the_next_state_starts_at_it() {
    let mut changes = Changes::new(1);
    let conflict = Answer::Conflict { id: RequestId::new(5) };
    let named = |version, name: &str| json!({"name": name, "scars": "x".repeat(99), "version": version});
    send(&mut changes, Codec::Json, 1, &named(6, "Brannor"), TOLD);
    check_whole(&send(&mut changes, Codec::Json, 1, &named(7, "Ada"), conflict), &named(7, "Ada"));
    // As before the conflict, but that is not what was sent last.
    let told = send(&mut changes, Codec::Json, 1, &named(8, "Brannor"), TOLD);
    assert_eq!(told["changes"], json!({"name": "Brannor", "version": 8}));
}

#[test]
fn what_is_not_smaller_is_sent_whole() {
    let mut changes = Changes::new(1);
    let (one, other) = (json!({"a": 1, "b": 2}), json!({"c": 1}));
    check_whole(&send(&mut changes, Codec::Json, 1, &one, TOLD), &one);
    check_whole(&send(&mut changes, Codec::Json, 1, &other, TOLD), &other);
    assert_eq!(send(&mut changes, Codec::Json, 1, &other, TOLD)["changes"], json!({}));
}

/// Sends states of a few characters in turn to somebody who keeps all; what is kept here stays within its bounds.
fn check_bounds(mut changes: Changes, characters: u128, expected_whole: usize) {
    let mut kept = HashMap::new();
    let mut whole = 0;
    for version in 1..=20_u64 {
        for number in 0..characters {
            let new = state(version, 400);
            let told = send(&mut changes, Codec::MessagePack, number, &new, TOLD);
            match told.get("changes") {
                Some(patch) => merge(kept.get_mut(&number).expect("no patch without a base"), patch),
                None => {
                    whole += 1;
                    kept.insert(number, told["character"].clone());
                }
            }
            assert_eq!(kept[&number], new);
            let bytes: usize = changes.sent.values().map(|sent| sent.state.capacity()).sum();
            assert_eq!(bytes, changes.bytes);
            assert!(bytes <= changes.bytes_max && changes.sent.len() <= changes.characters_max);
        }
    }
    assert_eq!(whole, expected_whole);
}

#[test]
fn what_was_sent_longest_ago_is_forgotten_and_sent_whole_again() {
    check_bounds(Changes::with_bounds(5, 1 << 20), 5, 5);
    check_bounds(Changes::with_bounds(4, 1 << 20), 5, 5 * 20);
    check_bounds(Changes::with_bounds(5, 2_200), 5, 5);
    check_bounds(Changes::with_bounds(5, 2_000), 5, 5 * 20);
}
