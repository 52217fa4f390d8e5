use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{merge_patch, write_json};
use crate::{Codec, merge};

fn unpack(packed: &[u8]) -> Value {
    Codec::MessagePack.decode(packed).expect("MessagePack")
}

fn patch_between(old: &[u8], new: &[u8]) -> Value {
    let mut patch = b"before".to_vec();
    merge_patch(old, new, &mut patch);
    unpack(patch.strip_prefix(b"before").expect("it is appended"))
}

/// The smallest patch between two values, computed without regard to cost.
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
