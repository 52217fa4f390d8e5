use castellan_protocol::{
    Action, Applied, CharacterId, Codec, Conflict, RequestId, ServerFrame, State, UserId, Version, merge,
};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::super::{CharacterView, Header, Packed, encode_packed};
use super::*;
use castellan_srd::testing::CATALOGUE;
use castellan_srd::testing::any_character;
use castellan_srd::{Character, Dice, applied, derive};

fn pack(version: u64, character: &Character) -> Vec<u8> {
    let header = Header {
        id: CharacterId::from_uuid(uuid::Uuid::from_u128(1)),
        user: UserId::from_uuid(uuid::Uuid::from_u128(2)),
        version: Version::new(version),
        last: RequestId::new(version * 7),
        created_at_ms: 1_795_348_800_000,
        updated_at_ms: 1_795_348_800_000 + i64::try_from(version).expect("a small version") * 400,
    };
    let mut packed = Vec::new();
    CharacterView::new(&header, character, &derive(character, &CATALOGUE)).pack(&mut packed);
    packed
}

fn unpack(packed: &[u8]) -> Value {
    Codec::MessagePack.decode(packed).expect("MessagePack")
}

fn patch_between(old: &[u8], new: &[u8]) -> Value {
    let mut patch = b"before".to_vec();
    merge_patch(old, new, &mut patch);
    unpack(patch.strip_prefix(b"before").expect("it is appended"))
}

/// The smallest patch between two values, written without regard to cost.
fn expected(old: &Map<String, Value>, new: &Map<String, Value>) -> Value {
    let mut patch = Map::new();
    for key in old.keys().filter(|key| !new.contains_key(*key)) {
        patch.insert(key.clone(), Value::Null);
    }
    for (key, value) in new {
        match (old.get(key), value) {
            (Some(before), _) if before == value => {}
            (Some(Value::Object(before)), Value::Object(value)) => {
                patch.insert(key.clone(), expected(before, value));
            }
            _ => {
                patch.insert(key.clone(), value.clone());
            }
        }
    }
    Value::Object(patch)
}

/// The patch between two states is the smallest one, and leads from one to the other.
#[track_caller]
fn check(old: &Value, new: &Value, patch: &Value) {
    let (old_map, new_map) = (old.as_object().expect("a map"), new.as_object().expect("a map"));
    assert_eq!(patch, &expected(old_map, new_map));
    let mut merged = old.clone();
    merge(&mut merged, patch);
    assert_eq!(&merged, new);
}

/// A small step: what most intents do to a character.
fn hurt(character: &Character) -> Character {
    let action: Action = serde_json::from_value(json!({"modify_hitpoints": {"delta": -1}})).expect("an action");
    let mut dice = Dice::new(b"secret", CharacterId::from_uuid(uuid::Uuid::from_u128(1)), RequestId::new(1), 0);
    applied(character, &action, &CATALOGUE, &mut dice).unwrap_or_else(|_| character.clone())
}

/// Any value without nil, as states are.
fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-10i64..10).prop_map(Value::from),
        (-1e9..1e9).prop_map(|number: f64| Value::from(number)),
        "[a-c\"\\\\\nß🐉]{0,40}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 60, 20, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..20).prop_map(Value::from),
            any_map(inner).prop_map(Value::from),
        ]
    })
}

fn any_map(value: impl Strategy<Value = Value>) -> impl Strategy<Value = Map<String, Value>> {
    prop::collection::btree_map("[a-e]{1,2}", value, 0..24).prop_map(|map| map.into_iter().collect())
}

fn packed_value(value: &impl serde::Serialize) -> Vec<u8> {
    let mut packed = Vec::new();
    Codec::MessagePack.encode(value, &mut packed);
    packed
}

proptest! {
    #[test]
    fn patches_lead_from_any_character_to_any_other(characters in prop::collection::vec(any_character(), 1..4)) {
        let steps = characters.iter().flat_map(|character| [character.clone(), hurt(character)]);
        let states: Vec<_> = steps.zip(1..).map(|(character, version)| pack(version, &character)).collect();
        let mut shown = unpack(&states[0]);
        for pair in states.windows(2) {
            let patch = patch_between(&pair[0], &pair[1]);
            check(&shown, &unpack(&pair[1]), &patch);
            merge(&mut shown, &patch);
        }
        prop_assert_eq!(patch_between(&states[0], &states[0]), json!({}));
    }

    #[test]
    fn patches_lead_from_any_map_to_any_other(old in any_map(any_value()), new in any_map(any_value())) {
        let patch = patch_between(&packed_value(&old), &packed_value(&new));
        check(&old.into(), &new.into(), &patch);
    }

    #[test]
    fn json_is_written_as_serde_does(value in any_value()) {
        let mut json = Vec::new();
        write_json(&mut packed_value(&value).as_slice(), &mut json);
        prop_assert_eq!(String::from_utf8(json).expect("a text"), value.to_string());
    }

    #[test]
    fn a_packed_state_makes_the_same_frame_as_the_state_itself(character in any_character(), duplicate in any::<bool>()) {
        let header = Header {
            id: CharacterId::from_uuid(uuid::Uuid::from_u128(1)),
            user: UserId::from_uuid(uuid::Uuid::from_u128(2)),
            version: Version::new(9),
            last: RequestId::new(8),
            created_at_ms: 0,
            updated_at_ms: 7_000,
        };
        let derived = derive(&character, &CATALOGUE);
        let view = CharacterView::new(&header, &character, &derived);
        let (mut state, mut scratch) = (Vec::new(), b"old".to_vec());
        view.pack(&mut state);
        let whole = Packed::Whole(&state);
        let (id, durable) = (RequestId::new(8), Version::new(3));
        for codec in [Codec::MessagePack, Codec::Json] {
            let mut check = |packed: ServerFrame<Packed<'_>>, plain: ServerFrame<CharacterView<'_>>| {
                let (mut one, mut other) = (Vec::new(), Vec::new());
                encode_packed(codec, &packed, &mut scratch, &mut one);
                codec.encode(&plain, &mut other);
                assert_eq!(one, other);
            };
            check(
                ServerFrame::Applied(Applied { id, character: whole, durable, duplicate }),
                ServerFrame::Applied(Applied { id, character: view, durable, duplicate }),
            );
            check(
                ServerFrame::Conflict(Conflict { id, character: whole, durable }),
                ServerFrame::Conflict(Conflict { id, character: view, durable }),
            );
            check(
                ServerFrame::State(State { id: Some(id), character: whole, durable }),
                ServerFrame::State(State { id: Some(id), character: view, durable }),
            );
        }
    }
}

/// A map with its entries in this order.
fn map_of(entries: &[(&str, u8)]) -> Vec<u8> {
    let mut packed = vec![0x80 | u8::try_from(entries.len()).expect("few")];
    for (key, number) in entries {
        packed.extend(packed_value(key));
        packed.push(*number);
    }
    packed
}

#[test]
fn the_order_of_entries_does_not_matter() {
    let old = map_of(&[("a", 1), ("b", 2), ("c", 3)]);
    assert_eq!(patch_between(&old, &map_of(&[("c", 3), ("a", 1), ("b", 2)])), json!({}));
    assert_eq!(patch_between(&old, &map_of(&[("c", 3), ("d", 4), ("a", 9)])), json!({"a": 9, "b": null, "d": 4}));
    let nested = |inner: Vec<u8>| [&[0x81, 0xa1, b'x'][..], &inner].concat();
    let turned = map_of(&[("c", 3), ("b", 2), ("a", 1)]);
    assert_eq!(patch_between(&nested(old.clone()), &nested(turned)), json!({}), "nothing is left of x");
    assert_eq!(patch_between(&nested(old), &nested(map_of(&[]))), json!({"x": {"a": null, "b": null, "c": null}}));
}
