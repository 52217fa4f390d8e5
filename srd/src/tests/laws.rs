//! This game obeys the laws, and is written as the wire has it.

use castellan_game::{Dice, Fields, Game, Kept, laws};
use castellan_protocol::limits::{BOOKS_BYTES_MAX, SERVER_FRAME_BYTES_MAX};
use castellan_protocol::pack;
use proptest::prelude::*;
use proptest::sample::select;

use super::{CATALOGUE, action};
use crate::testing::{any_action, dressing, item, number};
use crate::wire::{Ability, NewCharacter};
use crate::{Character, Coin, Derived, Goods, INVENTORY_ENTRIES_MAX, Srd, apply, create};

/// Creations that a client may ask for, good and bad.
fn any_creation() -> impl Strategy<Value = NewCharacter> {
    let race =
        prop_oneof![9 => select(CATALOGUE.races()).prop_map(|race| race.id().to_string()), 1 => Just("elk".into())];
    let class = select(CATALOGUE.classes()).prop_map(|class| class.id().to_string());
    let subraces = vec![None, None, Some("hill-dwarf".to_owned()), Some("high-elf".to_owned())];
    let scores = prop::collection::vec(prop_oneof![30 => 3i64..=18, 1 => any::<i64>()], 6);
    ("[a-zß🐉]{1,40}", race, select(subraces), class, scores).prop_map(|(name, race, subrace, class, scores)| {
        let abilities = Ability::ALL.iter().copied().zip(scores).collect();
        NewCharacter { name, race, subrace, class, abilities, skills: None }
    })
}

#[test]
fn the_game_obeys_the_laws() {
    let stored = [
        (1, include_str!("../../tests/stored/1-brannor.json")),
        (2, include_str!("../../tests/stored/2-brannor.json")),
        (3, include_str!("../../tests/stored/3-brannor.json")),
    ];
    let actions = prop_oneof![2 => any_action(), 1 => dressing()];
    laws::hold::<Srd>(&CATALOGUE, any_creation(), actions, &stored);
}

#[test]
fn goods_are_conserved() {
    let quantity = prop_oneof![6 => 1i64..3, 1 => number()];
    let coin = select(Coin::ALL);
    let items = prop::collection::btree_map(item(), quantity.clone(), 0..3);
    let currency = prop::collection::btree_map(coin, quantity, 0..2);
    let goods = (items, currency).prop_map(|(items, currency)| Goods { items, currency });
    let actions = prop_oneof![2 => any_action(), 1 => dressing()];
    laws::conserve::<Srd>(&CATALOGUE, any_creation(), actions, goods);
}

/// The fields that are shown of a character, as JSON.
fn shown(character: &Character) -> String {
    let mut derived = Derived::default();
    Srd::derive(&CATALOGUE, character, &mut derived);
    let mut kept = Kept::default();
    character.keep(&derived, &mut kept);
    let (mut packed, mut json) = (Vec::new(), Vec::new());
    pack::entries(&mut packed, character.shown());
    character.write(&mut kept.runs(), &mut packed);
    pack::write_json(&mut packed.as_slice(), &mut json);
    String::from_utf8(json).expect("JSON is UTF-8")
}

fn act(character: &mut Character, json: &str) {
    let mut dice = Dice::scripted(&[]);
    apply(character, &action(json), &CATALOGUE, &mut dice).unwrap_or_else(|refused| panic!("{json}: {refused}"));
}

fn brannor() -> Character {
    let new: NewCharacter = serde_json::from_str(
        r#"{"name": "Brannor", "race": "dwarf", "subrace": "hill-dwarf", "class": "fighter",
            "abilities": {"str": 16, "dex": 12, "con": 13, "int": 8, "wis": 12, "cha": 10},
            "skills": ["athletics", "perception"]}"#,
    )
    .expect("a new character");
    let mut brannor = create(&new, &CATALOGUE).expect("by the rules");
    for json in [
        r#"{"gain_experience": {"amount": 1200}}"#,
        r#"{"level_up": {"hitpoints": "average"}}"#,
        r#"{"level_up": {"hitpoints": "average"}}"#,
        r#"{"add_item": {"item": "chain-mail", "quantity": 1}}"#,
        r#"{"add_item": {"item": "shield", "quantity": 1}}"#,
        r#"{"add_item": {"item": "longsword+weapon-1", "quantity": 1}}"#,
        r#"{"add_item": {"item": "arrow", "quantity": 20}}"#,
        r#"{"equip_item": {"item": "chain-mail"}}"#,
        r#"{"equip_item": {"item": "shield"}}"#,
        r#"{"equip_item": {"item": "longsword+weapon-1"}}"#,
        r#"{"modify_currency": {"sp": 5, "gp": 42}}"#,
        r#"{"add_condition": {"condition": "poisoned"}}"#,
    ] {
        act(&mut brannor, json);
    }
    brannor
}

/// The wire's own example, with the weight that the catalogue gives.
const EXAMPLE: &str = r#"{"name": "Brannor", "race": "dwarf", "subrace": "hill-dwarf", "class": "fighter", "level": 3, "experience": 1200,
    "abilities": {"str": 16, "dex": 12, "con": 15, "int": 8, "wis": 13, "cha": 10}, "skills": ["athletics", "perception"],
    "hitpoints": 13, "max_hitpoints": 31, "temporary_hitpoints": 0, "hit_dice": 3, "death_saves": {"successes": 0, "failures": 0},
    "life": "conscious", "conditions": ["poisoned"], "exhaustion": 0,
    "currency": {"cp": 0, "sp": 5, "ep": 0, "gp": 42, "pp": 0},
    "equipment": {"armor": "chain-mail", "shield": "shield", "main_hand": "longsword+weapon-1"}, "attuned": [],
    "inventory": [{"item": "chain-mail", "quantity": 1}, {"item": "shield", "quantity": 1}, {"item": "longsword+weapon-1", "quantity": 1}, {"item": "arrow", "quantity": 20}],
    "derived": {"armor_class": 18, "speed": 25, "initiative": 1, "proficiency_bonus": 2, "passive_perception": 13,
        "abilities": {"str": 16, "dex": 12, "con": 15, "int": 8, "wis": 13, "cha": 10},
        "modifiers": {"str": 3, "dex": 1, "con": 2, "int": -1, "wis": 1, "cha": 0},
        "saving_throws": {"str": 5, "dex": 1, "con": 4, "int": -1, "wis": 1, "cha": 0},
        "skills": {"acrobatics": 1, "animal-handling": 1, "arcana": -1, "athletics": 5, "deception": 0, "history": -1,
            "insight": 1, "intimidation": 0, "investigation": -1, "medicine": 1, "nature": -1, "perception": 3,
            "performance": 0, "persuasion": 0, "religion": -1, "sleight-of-hand": 1, "stealth": 1, "survival": 1},
        "carrying_capacity": 240, "carried_weight": 65.94,
        "attacks": [{"item": "longsword+weapon-1", "attack_bonus": 6, "damage": "1d8+4", "damage_type": "slashing"}],
        "flags": ["stealth_disadvantage"]}}"#;

#[test]
fn fields_stand_in_the_wires_order() {
    let compact = EXAMPLE.lines().map(str::trim_start).collect::<String>().replace(", ", ",").replace(": ", ":");
    assert_eq!(shown(&brannor()), compact);
}

#[test]
fn the_fullest_character_fits_a_server_frame() {
    let mut hoarder = brannor();
    // The longest ids first; those of another catalogue may be longer still, up to 81 bytes.
    let mut items: Vec<_> = CATALOGUE.items().iter().map(|item| item.id().as_str()).collect();
    items.sort_by_key(|id| std::cmp::Reverse(id.len()));
    for item in items {
        let quantity = 999_999 - hoarder.inventory().quantity(CATALOGUE.item_named(item).expect("an item").id());
        if hoarder.inventory().stacks().len() < INVENTORY_ENTRIES_MAX {
            act(&mut hoarder, &format!(r#"{{"add_item": {{"item": "{item}", "quantity": {quantity}}}}}"#));
        }
    }
    assert_eq!(hoarder.inventory().stacks().len(), INVENTORY_ENTRIES_MAX);
    let json = shown(&hoarder);
    let longest: usize = hoarder.inventory().stacks().iter().map(|entry| 81 - entry.item().as_str().len()).sum();
    // Parcels, offers and waiting goods, which are bounded in MessagePack; JSON takes up to half as much again.
    let books = BOOKS_BYTES_MAX * 3 / 2;
    // 64 skills, conditions and expertises of 40 bytes instead of the few that there are, and the frame around it.
    let others = 12_500;
    assert!(json.len() + longest + books + others < SERVER_FRAME_BYTES_MAX, "{} bytes, and {longest}", json.len());
}
