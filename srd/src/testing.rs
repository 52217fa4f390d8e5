//! Any character and any life, for the property tests here and in the crates that write or read characters.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use crate::wire::limits::{COINS_MAX, INTEGER_MAX, QUANTITY_MAX};
use crate::wire::{Ability, Action, CharacterId, NewCharacter, RequestId, Slot};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

use crate::{Catalogue, Character, Dice, apply, create};

/// The embedded catalogue, read once for all tests.
pub static CATALOGUE: LazyLock<Catalogue> = LazyLock::new(Catalogue::embedded);

/// Numbers that a client might send, the limits of every field among them.
pub(crate) fn number() -> impl Strategy<Value = i64> {
    let edges = [0, 1, 2, 20, 64, QUANTITY_MAX, COINS_MAX, i64::from(i32::MAX), INTEGER_MAX, i64::MAX];
    let near = move |edge: i64| vec![edge.saturating_sub(1), edge, edge.saturating_add(1), edge.saturating_neg()];
    let edges: Vec<_> = edges.into_iter().flat_map(near).chain([i64::MIN]).collect();
    prop_oneof![4 => -30i64..60, 1 => select(edges), 1 => any::<i64>()]
}

/// Items that many actions share.
const AGAIN: [&str; 6] =
    ["dagger", "greatsword", "shield", "ring-of-protection", "amulet-of-health", "potion-of-healing"];

/// Items that fill slots, are drunk, are sold in bundles, have no price, or do not exist.
///
/// Many actions share a few of them, so that the actions on one item add up.
pub(crate) fn item() -> impl Strategy<Value = String> {
    let often: [&str; 23] = [
        "dagger",
        "longsword",
        "greatsword",
        "shield",
        "shield+shield-1",
        "chain-mail",
        "plate-armor+mithral-armor",
        "ring-of-protection",
        "amulet-of-health",
        "belt-of-dwarvenkind",
        "cloak-of-protection",
        "bracers-of-defense",
        "stone-of-good-luck-luckstone",
        "potion-of-healing",
        "arrow",
        "sling-bullet",
        "candle",
        "alms-box",
        "galley",
        "boots-of-striding-and-springing",
        "explorers-pack",
        "vorpal-spoon",
        "",
    ];
    let all: Vec<_> = CATALOGUE.items().iter().map(|item| item.id().as_str()).collect();
    prop_oneof![6 => select(&AGAIN[..]), 2 => select(often.to_vec()), 1 => select(all)].prop_map(str::to_owned)
}

pub(crate) fn condition() -> impl Strategy<Value = String> {
    let mut all: Vec<_> = CATALOGUE.conditions().iter().map(|condition| condition.id().as_str()).collect();
    all.extend(["exhaustion", "exhaustion", "bored"]);
    select(all).prop_map(str::to_owned)
}

pub(crate) fn slot() -> impl Strategy<Value = &'static str> {
    select(Slot::ALL).prop_map(Slot::as_str)
}

pub(crate) fn ability() -> impl Strategy<Value = &'static str> {
    select(Ability::ALL).prop_map(Ability::as_str)
}

pub(crate) fn units(kind: &'static str) -> impl Strategy<Value = Value> {
    (item(), prop_oneof![4 => 1i64..4, 1 => 1i64..30, 1 => number()])
        .prop_map(move |(item, quantity)| json!({kind: {"item": item, "quantity": quantity}}))
}

pub(crate) fn coins() -> impl Strategy<Value = Value> {
    let coin = select(&["cp", "sp", "ep", "gp", "pp"][..]);
    prop::collection::btree_map(coin, number(), 0..4).prop_map(|deltas| json!({"modify_currency": deltas}))
}

/// Any action.
pub(crate) fn any_action() -> impl Strategy<Value = Action> {
    let number_field = |kind: &'static str, field: &'static str| number().prop_map(move |n| json!({kind: {field: n}}));
    let item_field = |kind: &'static str| item().prop_map(move |item| json!({kind: {"item": item}}));
    let equip_to = (item(), slot()).prop_map(|(item, slot)| json!({"equip_item": {"item": item, "slot": slot}}));
    let damage = (number(), any::<bool>())
        .prop_map(|(delta, critical)| json!({"modify_hitpoints": {"delta": delta, "critical": critical}}));
    let increments = prop::collection::btree_map(ability(), prop_oneof![9 => 1i64..3, 1 => number()], 0..3);
    let level_up = (select(&["average", "roll"][..]), prop::option::of(increments))
        .prop_map(|(hitpoints, abilities)| json!({"level_up": {"hitpoints": hitpoints, "abilities": abilities}}));
    let nothing = select(&["roll_death_save", "stabilize", "long_rest"][..]).prop_map(|kind| json!({kind: {}}));
    let conditions = (select(&["add_condition", "remove_condition"][..]), condition())
        .prop_map(|(kind, condition)| json!({kind: {"condition": condition}}));
    let first = prop_oneof![
        3 => damage,
        1 => number_field("grant_temporary_hitpoints", "amount"),
        1 => number_field("revive", "hitpoints"),
        2 => number_field("gain_experience", "amount"),
        1 => number_field("short_rest", "hit_dice"),
        3 => nothing,
        2 => conditions,
        2 => level_up,
    ];
    let second = prop_oneof![
        3 => units("add_item"),
        1 => units("remove_item"),
        2 => units("buy_item"),
        2 => units("sell_item"),
        3 => item_field("equip_item"),
        1 => equip_to,
        1 => slot().prop_map(|slot| json!({"unequip_item": {"slot": slot}})),
        2 => item_field("attune"),
        1 => item_field("end_attunement"),
        2 => item_field("use_item"),
        2 => coins(),
        1 => ".{0,50}".prop_map(|name| json!({"rename": {"name": name}})),
    ];
    // Directly as the rules' own type, to get past the wire's bound on integers.
    prop_oneof![first, second].prop_map(|value| from_value(&value))
}

/// An action of a character that owns a few things and changes its gear all day.
pub(crate) fn dressing() -> impl Strategy<Value = Action> {
    let worn = || select(&AGAIN[..5]);
    let of = |kind: &'static str| worn().prop_map(move |item| json!({kind: {"item": item}}));
    let slots = ["main_hand", "off_hand", "shield", "neck", "ring_1", "ring_2"];
    let kinds = prop_oneof![
        3 => of("equip_item"),
        2 => (worn(), select(slots.to_vec())).prop_map(|(item, slot)| json!({"equip_item": {"item": item, "slot": slot}})),
        1 => select(slots.to_vec()).prop_map(|slot| json!({"unequip_item": {"slot": slot}})),
        3 => of("attune"),
        1 => of("end_attunement"),
        1 => worn().prop_map(|item| json!({"add_item": {"item": item, "quantity": 1}})),
        1 => worn().prop_map(|item| json!({"remove_item": {"item": item, "quantity": 1}})),
        1 => worn().prop_map(|item| json!({"sell_item": {"item": item, "quantity": 1}})),
    ];
    kinds.prop_map(|value| from_value(&value))
}

/// The action of a JSON value. Numbers beyond the wire's range are put in afterwards.
pub(crate) fn from_value(value: &Value) -> Action {
    let mut numbers = Vec::new();
    let mut tamed = value.clone();
    tame(&mut tamed, &mut numbers);
    let mut action = serde_json::from_value(tamed).expect("an action as the wire writes it");
    for number in numbers {
        restore(&mut action, number);
    }
    action
}

/// Brings integers into the wire's range and notes those outside it.
fn tame(value: &mut Value, beyond: &mut Vec<i64>) {
    match value {
        Value::Object(fields) => fields.values_mut().for_each(|value| tame(value, beyond)),
        Value::Number(number) => {
            let number = number.as_i64().unwrap_or_default();
            let tamed = number.clamp(-INTEGER_MAX, INTEGER_MAX);
            if tamed != number {
                beyond.push(number);
            }
            *value = json!(tamed);
        }
        _ => {}
    }
}

/// Puts a number beyond the wire's range into the action's number field.
fn restore(action: &mut Action, number: i64) {
    match action {
        Action::ModifyHitpoints(fields) => fields.delta = number,
        Action::GrantTemporaryHitpoints(fields) => fields.amount = number,
        Action::Revive(fields) => fields.hitpoints = number,
        Action::GainExperience(fields) => fields.amount = number,
        Action::ShortRest(fields) => fields.hit_dice = number,
        Action::AddItem(fields) => fields.quantity = number,
        Action::RemoveItem(fields) => fields.quantity = number,
        Action::BuyItem(fields) => fields.quantity = number,
        Action::SellItem(fields) => fields.quantity = number,
        Action::ModifyCurrency(fields) => fields.gp = Some(number),
        Action::LevelUp(fields) => fields.abilities = Some(BTreeMap::from([(Ability::Strength, number)])),
        _ => {}
    }
}

/// Any character of the first level.
pub(crate) fn newcomer() -> impl Strategy<Value = Character> {
    let scores = prop::collection::vec(3i64..=18, 6);
    (select(CATALOGUE.races()), select(CATALOGUE.classes()), scores, any::<bool>()).prop_map(
        |(race, class, scores, with_subrace)| {
            let subrace = race.subraces().first().filter(|_| with_subrace);
            let new = NewCharacter {
                name: "Somebody".to_owned(),
                race: race.id().to_string(),
                subrace: subrace.map(ToString::to_string),
                class: class.id().to_string(),
                abilities: Ability::ALL.iter().copied().zip(scores).collect(),
                skills: None,
            };
            create(&new, &CATALOGUE).expect("by the rules")
        },
    )
}

pub(crate) fn dice_of(character: &Character, request: u64) -> Dice<'static> {
    let id: CharacterId = "f81d4fae-7dec-11d0-a765-00a0c91e6bf6".parse().expect("a UUID");
    Dice::new(b"a secret of the tests", id, RequestId::new(request), character.dice_rolled())
}

/// Plays actions one after the other. Skips refused ones.
pub(crate) fn live(start: &Character, actions: &[Action]) -> Character {
    let mut character = start.clone();
    for (action, request) in actions.iter().zip(1..) {
        let mut dice = dice_of(&character, request);
        // A refused action is skipped.
        let _ = apply(&mut character, action, &CATALOGUE, &mut dice);
    }
    character
}

/// A new character, and the actions that it will try.
pub fn any_life() -> impl Strategy<Value = (Character, Vec<Action>)> {
    let rich = [
        from_value(&json!({"modify_currency": {"pp": 500, "gp": 5000, "ep": 3, "sp": 77, "cp": 777}})),
        from_value(&json!({"gain_experience": {"amount": 400_000}})),
    ];
    let dressed = AGAIN.map(|item| from_value(&json!({"add_item": {"item": item, "quantity": 2}})));
    let gifts = prop_oneof![Just(Vec::new()), Just(rich.to_vec()), Just(dressed.to_vec())];
    let adventure = prop::collection::vec(any_action(), 0..40);
    let wardrobe = prop::collection::vec(dressing(), 0..40);
    let life = (newcomer(), gifts, prop_oneof![2 => adventure, 1 => wardrobe]);
    life.prop_map(|(start, gifts, actions)| (start, gifts.into_iter().chain(actions).collect()))
}

/// Any character with a life behind it.
pub fn any_character() -> impl Strategy<Value = Character> {
    any_life().prop_map(|(start, actions)| live(&start, &actions))
}
