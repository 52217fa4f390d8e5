//! Stored characters: every schema version is read, and impossible values are refused.

use std::fs;
use std::path::Path;

use super::CATALOGUE;
use castellan_game::Corrupt;

use crate::stored::{SCHEMA_VERSION, decode};
use crate::{Character, derive};

/// A character as some version stored it: `srd/tests/stored/<version>-<what>.json`.
fn sample(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stored").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn brannor(version: i32) -> Character {
    let text = sample(&format!("{version}-brannor.json"));
    decode(version, &text).unwrap_or_else(|error| panic!("version {version}: {error}"))
}

#[test]
fn every_older_schema_is_read() {
    for version in 1..=SCHEMA_VERSION {
        let character = brannor(version);
        assert_eq!((character.name(), character.level(), character.max_hitpoints()), ("Brannor", 3, 31), "{version}");
        assert_eq!(character.hit_point_dice(), [10, 6, 6], "{version}");
        let derived = derive(&character, &CATALOGUE);
        assert_eq!((derived.armor_class(), derived.carried_weight()), (18, 65.94), "{version}");
        // The recomputed maximum equals the stored one.
        let mut again = character.clone();
        crate::actions::refresh_maximum(&mut again, &CATALOGUE);
        assert_eq!(again, character, "{version}");
    }
    assert_eq!((brannor(1).dice_rolled(), brannor(2).dice_rolled()), (0, 7));
    assert_eq!(brannor(3).expertise().len(), 1);
}

#[test]
fn every_older_schema_has_a_sample() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stored");
    let names = fs::read_dir(folder).expect("samples").map(|file| file.expect("a file").file_name());
    let names: Vec<_> = names.map(|name| name.to_string_lossy().into_owned()).collect();
    for version in 1..=SCHEMA_VERSION {
        assert!(names.contains(&format!("{version}-brannor.json")), "{version} has no sample");
    }
}

#[test]
fn reconstructed_hit_dice_give_the_stored_maximum() {
    // A wizard with low rolls, and a barbarian whose constitution was raised by magic when it was stored.
    for (class, level, constitution, maximum, expected) in [
        ("wizard", 4, 8, 8, vec![6, 2, 2, 2]),
        ("barbarian", 2, 14, 30, vec![12, 12]),
        ("fighter", 1, 10, 10, vec![10]),
        ("cleric", 3, 10, 18, vec![8, 5, 5]),
    ] {
        let mut value: serde_json::Value = serde_json::from_str(&sample("1-brannor.json")).expect("JSON");
        value["class"] = class.into();
        value["level"] = level.into();
        value["subrace"] = serde_json::Value::Null;
        value["abilities"]["con"] = constitution.into();
        value["max_hitpoints"] = maximum.into();
        value["hitpoints"] = 1.into();
        value["hit_dice"] = 0.into();
        let character = decode(1, &value.to_string()).expect("readable");
        assert_eq!(character.hit_point_dice(), expected, "{class}");
    }
}

#[test]
fn an_impossible_field_is_named() {
    let present = sample(&format!("{SCHEMA_VERSION}-brannor.json"));
    let value: serde_json::Value = serde_json::from_str(&present).expect("JSON");
    let check = |pointer: &str, with: serde_json::Value, expected: &str| {
        let mut value = value.clone();
        *value.pointer_mut(pointer).expect("a field") = with;
        let error = decode(SCHEMA_VERSION, &value.to_string()).expect_err("it was read");
        assert_eq!(error.to_string(), expected);
    };
    check("/level", 21.into(), "level: out of bounds");
    check("/level", 4.into(), "hit_point_dice: must have one entry per level");
    check("/hitpoints", 32.into(), "hitpoints: out of bounds");
    check("/hitpoints", 0.into(), "life: contradicts the hit points");
    check("/life", "asleep".into(), "life: unknown");
    check("/hit_dice", 4.into(), "hit_dice: out of bounds");
    check("/currency/gp", (-1).into(), "currency: out of bounds");
    check("/currency/gp", 2_000_000_001i64.into(), "currency: out of bounds");
    check("/inventory/0/quantity", 0.into(), "inventory: out of bounds");
    check("/inventory/0/quantity", i64::MAX.into(), "inventory: out of bounds");
    check("/equipment", serde_json::json!({"tail": "club"}), "equipment: has an unknown slot");
    check("/attuned", serde_json::json!(["a", "b", "c", "d"]), "attuned: has more than three entries");
    check("/abilities/con", 0.into(), "abilities: out of bounds");
    check("/exhaustion", 7.into(), "exhaustion: out of bounds");
    check("/death_saves/failures", 4.into(), "death_saves: failures must be 0 to 3");
    assert!(matches!(decode(SCHEMA_VERSION + 1, &present), Err(Corrupt::UnknownSchema { .. })));
    assert!(matches!(decode(0, &present), Err(Corrupt::UnknownSchema { found: 0, .. })));
    assert!(matches!(decode(SCHEMA_VERSION, "{}"), Err(Corrupt::Unreadable(_))));
    assert!(matches!(decode(1, "[]"), Err(Corrupt::Unreadable(_))));
    assert!(decode(1, "{}").is_err());
}

#[test]
fn several_entries_may_hold_the_same_item() {
    let mut value: serde_json::Value = serde_json::from_str(&sample("3-brannor.json")).expect("JSON");
    let more = serde_json::json!({"item": "arrow", "quantity": 5});
    value["inventory"].as_array_mut().expect("a list").insert(0, more);
    let character = decode(3, &value.to_string()).expect("readable");
    assert_eq!(character.inventory().stacks().len(), 5);
    let fewer = super::play(&character, &[r#"{"remove_item": {"item": "arrow", "quantity": 22}}"#]);
    let left = fewer.inventory().stacks();
    assert_eq!((left.len(), left[0].item().as_str(), left[0].quantity()), (4, "arrow", 3));
}

#[test]
fn a_stored_name_is_kept_even_if_it_is_invisible() {
    let text = sample(&format!("{SCHEMA_VERSION}-brannor.json")).replacen("Brannor", "\u{3164}", 1);
    assert_eq!(decode(SCHEMA_VERSION, &text).expect("a character").name(), "\u{3164}");
}
