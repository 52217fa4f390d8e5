//! Conditions, names, the count of dice, the carried load, and items that are no longer in the catalogue.

use crate::code;
use crate::wire::{CharacterId, RequestId};

use super::book::equipped;
use super::{CATALOGUE, action, build_of, play, play_with, refusal, veteran};
use crate::{Catalogue, Dice, Options, Symbol, applied, derive};

#[test]
fn conditions_are_added_and_removed_once() {
    let fighter = veteran("human fighter", 1, [10; 6]);
    let add = |condition: &str| format!(r#"{{"add_condition": {{"condition": "{condition}"}}}}"#);
    let remove = |condition: &str| format!(r#"{{"remove_condition": {{"condition": "{condition}"}}}}"#);
    let poisoned = play(&fighter, &[&add("poisoned"), &add("prone"), &add("poisoned")]);
    let names: Vec<_> = poisoned.conditions().iter().map(|condition| condition.as_str()).collect();
    assert_eq!(names, ["poisoned", "prone"]);
    assert_eq!(play(&poisoned, &[&remove("poisoned"), &remove("prone")]), fighter);
    assert_eq!(refusal(&fighter, &remove("prone")), code::INVALID_CHOICE);
    assert_eq!(refusal(&fighter, &remove("bored")), code::INVALID_CHOICE);
    assert_eq!(refusal(&fighter, &add("bored")), code::INVALID_CHOICE);
    for condition in CATALOGUE.conditions() {
        play(&fighter, &[&add(condition.id().as_str())]);
    }
}

#[test]
fn names_are_cleaned_or_refused() {
    let fighter = veteran("human fighter", 1, [10; 6]);
    assert_eq!(play(&fighter, &[r#"{"rename": {"name": "  Zoe\u0308 "}}"#]).name(), "Zoë");
    assert_eq!(refusal(&fighter, r#"{"rename": {"name": "\u200b"}}"#), code::INVALID_NAME);
}

#[test]
fn only_dice_of_applied_actions_are_counted() {
    let down = play(&veteran("human fighter", 5, [10; 6]), &[r#"{"modify_hitpoints": {"delta": -34}}"#]);
    let mut character = play_with(&down, &[r#"{"roll_death_save": {}}"#], &[12]);
    assert_eq!(character.dice_rolled(), 1);
    character = play(&character, &[r#"{"modify_hitpoints": {"delta": 1}}"#]);
    assert_eq!(character.dice_rolled(), 1);
    character = play_with(&character, &[r#"{"short_rest": {"hit_dice": 3}}"#], &[1, 2, 3]);
    // One more than the save and the three: `play_with` uses one stream for all its actions.
    assert_eq!(character.dice_rolled(), 4);
}

#[test]
fn a_repeated_intent_rolls_the_same_and_a_reused_old_id_does_not() {
    let character: CharacterId = "f81d4fae-7dec-11d0-a765-00a0c91e6bf6".parse().expect("a UUID");
    let fresh = veteran("human fighter", 20, [10; 6]);
    let hurt = play(&fresh, &[r#"{"modify_hitpoints": {"delta": -120}}"#]);
    let rest = action(r#"{"short_rest": {"hit_dice": 8}}"#);
    let roll = |from, id| {
        let mut dice = Dice::new(b"secret", character, RequestId::new(id), crate::Character::dice_rolled(from));
        applied(from, &rest, &CATALOGUE, &mut dice).expect("by the rules")
    };
    let once = roll(&hurt, 41);
    assert_eq!(once, roll(&hurt, 41));
    let healed = |before: &crate::Character, after: &crate::Character| after.hitpoints() - before.hitpoints();
    assert_eq!(once.dice_rolled(), 8);
    let again = roll(&once, 41);
    assert_ne!(healed(&hurt, &once), healed(&once, &again), "the same dice twice (or a rare coincidence)");
}

#[test]
fn a_heavy_load_slows_only_in_the_variant() {
    let variant = Catalogue::embedded().with_options(Options { variant_encumbrance: true });
    let speed = |kit: &str| {
        let derived = derive(&equipped("human fighter", 1, [10; 6], kit), &variant);
        let flags: Vec<_> = derived.flags().iter().map(|flag| flag.as_str()).collect();
        (derived.speed(), flags.join(" "))
    };
    assert_eq!(speed("~chain-10-feet:5"), (30, String::new()));
    assert_eq!(speed("~chain-10-feet:5 ~dart"), (20, "encumbered".to_owned()));
    assert_eq!(speed("~chain-10-feet:10"), (20, "encumbered".to_owned()));
    assert_eq!(speed("~chain-10-feet:10 ~dart"), (10, "heavily_encumbered".to_owned()));
    assert_eq!(speed("~chain-10-feet:10 @boots-of-striding-and-springing ~dart").0, 30);
    // The variant replaces the armour's strength requirement.
    assert_eq!(speed("splint-armor"), (20, "stealth_disadvantage encumbered".to_owned()));
}

#[test]
fn an_item_no_longer_in_the_catalogue_stays_and_has_no_effect() {
    let mut fighter = equipped("human fighter", 1, [10; 6], "club");
    let lost = Symbol::new("sword-of-yesterday");
    build_of(&mut fighter).inventory.add(lost, 3).expect("room");
    build_of(&mut fighter).equipment[crate::wire::Slot::OffHand as usize] = Some(lost);
    build_of(&mut fighter).attuned.push(lost);
    build_of(&mut fighter).race = Symbol::new("race-of-yesterday");
    build_of(&mut fighter).class = Symbol::new("class-of-yesterday");
    build_of(&mut fighter).conditions.push(Symbol::new("mood-of-yesterday"));
    let derived = derive(&fighter, &CATALOGUE);
    assert_eq!((derived.armor_class(), derived.speed(), derived.carried_weight()), (10, 30, 2.0));
    let item = |kind: &str| format!(r#"{{"{kind}": {{"item": "sword-of-yesterday", "quantity": 1}}}}"#);
    assert_eq!(refusal(&fighter, &item("add_item")), code::UNKNOWN_ITEM);
    assert_eq!(refusal(&fighter, &item("buy_item")), code::UNKNOWN_ITEM);
    assert_eq!(refusal(&fighter, &item("sell_item")), code::NOT_FOR_SALE);
    assert_eq!(refusal(&fighter, r#"{"equip_item": {"item": "sword-of-yesterday"}}"#), code::CANNOT_EQUIP);
    assert_eq!(refusal(&fighter, r#"{"use_item": {"item": "sword-of-yesterday"}}"#), code::CANNOT_USE);
    let rid = play(
        &fighter,
        &[
            &item("remove_item"),
            r#"{"unequip_item": {"slot": "off_hand"}}"#,
            r#"{"end_attunement": {"item": "sword-of-yesterday"}}"#,
            r#"{"remove_condition": {"condition": "mood-of-yesterday"}}"#,
        ],
    );
    assert_eq!((rid.inventory().quantity(lost), rid.attuned().len(), rid.conditions().len()), (2, 0, 0));
}

#[test]
fn every_example_in_the_table_of_rejections_is_refused_with_its_code() {
    let fighter = equipped("human fighter", 1, [10; 6], "longsword ~torch ~ring-of-protection $gp:5");
    let dead = play(&fighter, &[r#"{"modify_hitpoints": {"delta": -1000}}"#]);
    let table = include_str!("../../REJECTIONS.md");
    let rows: Vec<_> = table.lines().filter(|line| line.starts_with("| `")).collect();
    for row in &rows {
        let cells: Vec<_> = row.split(" | ").collect();
        let [code, _, example] = cells[..] else { panic!("three cells: {row}") };
        let example = example.trim_end_matches('|').trim();
        if example.is_empty() {
            // Nothing in the delivered catalogue is bound; `trade` has the test.
            assert_eq!(code, "| `item_bound`");
            continue;
        }
        let (character, action) = match example.strip_prefix("dead: ") {
            Some(action) => (&dead, action),
            None => (&fighter, example),
        };
        let code = code.trim_start_matches("| ").trim_matches('`');
        assert_eq!(refusal(character, action.trim_matches('`')).as_str(), code, "{row}");
    }
    assert_eq!(rows.len(), 17);
}
