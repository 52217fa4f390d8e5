//! What must hold for any character and any actions, also for numbers at the limits of every field.

use std::collections::BTreeMap;

use castellan_protocol::limits::{COINS_MAX, INTEGER_MAX, QUANTITY_MAX};
use castellan_protocol::{Ability, Action, CharacterId, NewCharacter, RequestId, Slot};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

use super::{CATALOGUE, action};
use crate::rules::actions::refresh_maximum;
use crate::rules::{
    ATTUNED_MAX, Character, Coin, Derived, Dice, EXPERIENCE_MAX, INVENTORY_ENTRIES_MAX, Item, Life, SCORE_MAX, apply,
    create, derive, derive_into,
};

/// Numbers that a client might send, the limits of every field among them.
fn number() -> impl Strategy<Value = i64> {
    let edges = [0, 1, 2, 20, 64, QUANTITY_MAX, COINS_MAX, i64::from(i32::MAX), INTEGER_MAX, i64::MAX];
    let near = move |edge: i64| vec![edge.saturating_sub(1), edge, edge.saturating_add(1), edge.saturating_neg()];
    let edges: Vec<_> = edges.into_iter().flat_map(near).chain([i64::MIN]).collect();
    prop_oneof![4 => -30i64..60, 1 => select(edges), 1 => any::<i64>()]
}

/// Items that come again and again.
const AGAIN: [&str; 6] =
    ["dagger", "greatsword", "shield", "ring-of-protection", "amulet-of-health", "potion-of-healing"];

/// Items that fill slots, are drunk, sold in bundles, without price, or not there at all.
///
/// A few come again and again, so that what is done to one item adds up.
fn item() -> impl Strategy<Value = String> {
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

fn condition() -> impl Strategy<Value = String> {
    let mut all: Vec<_> = CATALOGUE.conditions().iter().map(|condition| condition.id().as_str()).collect();
    all.extend(["exhaustion", "exhaustion", "bored"]);
    select(all).prop_map(str::to_owned)
}

fn slot() -> impl Strategy<Value = &'static str> {
    select(Slot::ALL).prop_map(Slot::as_str)
}

fn ability() -> impl Strategy<Value = &'static str> {
    select(Ability::ALL).prop_map(Ability::as_str)
}

fn units(kind: &'static str) -> impl Strategy<Value = Value> {
    (item(), prop_oneof![4 => 1i64..4, 1 => 1i64..30, 1 => number()])
        .prop_map(move |(item, quantity)| json!({kind: {"item": item, "quantity": quantity}}))
}

fn coins() -> impl Strategy<Value = Value> {
    let coin = select(&["cp", "sp", "ep", "gp", "pp"][..]);
    prop::collection::btree_map(coin, number(), 0..4).prop_map(|deltas| json!({"modify_currency": deltas}))
}

/// Any action.
fn any_action() -> impl Strategy<Value = Action> {
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
    // Straight into the rules' own type, past the wire's bound on integers.
    prop_oneof![first, second].prop_map(|value| from_value(&value))
}

/// What somebody does who has a few things and dresses all day.
fn dressing() -> impl Strategy<Value = Action> {
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

/// The action of a JSON value; numbers beyond the wire's integers are put in afterwards.
fn from_value(value: &Value) -> Action {
    let mut numbers = Vec::new();
    let mut tamed = value.clone();
    tame(&mut tamed, &mut numbers);
    let mut action = action(&tamed.to_string());
    for number in numbers {
        restore(&mut action, number);
    }
    action
}

/// Brings integers into the wire's range and notes those that were not.
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

/// Puts a number beyond the wire's range where the action has one.
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
fn newcomer() -> impl Strategy<Value = Character> {
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

fn dice_of(character: &Character, request: u64) -> Dice<'static> {
    let id: CharacterId = "f81d4fae-7dec-11d0-a765-00a0c91e6bf6".parse().expect("a UUID");
    Dice::new(b"a secret of the tests", id, RequestId::new(request), character.dice_rolled())
}

/// Plays actions one after the other; what is refused is passed over.
fn live(start: &Character, actions: &[Action]) -> Character {
    let mut character = start.clone();
    for (action, request) in actions.iter().zip(1..) {
        let mut dice = dice_of(&character, request);
        // What is refused is passed over.
        let _ = apply(&mut character, action, &CATALOGUE, &mut dice);
    }
    character
}

/// Somebody new, and what they will try to do.
pub(crate) fn any_life() -> impl Strategy<Value = (Character, Vec<Action>)> {
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
pub(crate) fn any_character() -> impl Strategy<Value = Character> {
    any_life().prop_map(|(start, actions)| live(&start, &actions))
}

/// Everything that must hold of any character.
fn check_bounds(character: &Character) -> Result<(), TestCaseError> {
    prop_assert!((1..=20).contains(&character.level()));
    prop_assert_eq!(i32::try_from(character.hit_point_dice().len()), Ok(character.level()));
    prop_assert!((0..=character.level()).contains(&character.hit_dice()));
    prop_assert!((0..=EXPERIENCE_MAX).contains(&character.experience()));
    prop_assert!(character.abilities().numbers().iter().all(|score| (1..=SCORE_MAX).contains(score)));
    prop_assert!(character.max_hitpoints() >= 1);
    prop_assert!((0..=character.max_hitpoints()).contains(&character.hitpoints()));
    prop_assert!(character.temporary_hitpoints() >= 0);
    prop_assert_eq!(character.hitpoints() > 0, character.life() == Life::Conscious);
    let saves = character.death_saves();
    prop_assert!((0..3).contains(&saves.successes()) && (0..=3).contains(&saves.failures()));
    prop_assert!(saves.failures() < 3 || character.life() == Life::Dead);
    prop_assert!((0..=6).contains(&character.exhaustion()));
    prop_assert!(character.exhaustion() < 6 || character.life() == Life::Dead);
    prop_assert!(Coin::ALL.iter().all(|coin| (0..=COINS_MAX).contains(&character.purse().coins(*coin))));
    let scalars = character.name().chars().count();
    prop_assert!((1..=40).contains(&scalars) && !character.name().chars().any(char::is_control));
    let mut again = character.clone();
    refresh_maximum(&mut again, &CATALOGUE);
    prop_assert_eq!(&again, character, "the maximum follows from the rest at any time");
    check_items(character)
}

fn check_items(character: &Character) -> Result<(), TestCaseError> {
    let entries = character.inventory().entries();
    prop_assert!(entries.len() <= INVENTORY_ENTRIES_MAX);
    for entry in entries {
        prop_assert!((1..=QUANTITY_MAX).contains(&i64::from(entry.quantity())));
        prop_assert!(character.units_worn(entry.item()) <= character.inventory().quantity(entry.item()));
    }
    let worn = |slot| character.worn(slot).and_then(|id| CATALOGUE.item(id));
    for slot in Slot::ALL {
        if let Some(item) = worn(*slot) {
            prop_assert!(item.slots().contains(slot), "{} in {}", item.id(), slot);
            prop_assert!(character.inventory().quantity(item.id()) > 0, "{} is worn and not carried", item.id());
        }
    }
    let hands = [Slot::MainHand, Slot::OffHand, Slot::Shield].map(worn);
    let taken: usize = hands.iter().flatten().map(|item| if item.is_two_handed() { 2 } else { 1 }).sum();
    prop_assert!(taken <= 2, "{taken} hands");
    let attuned = character.attuned();
    prop_assert!(attuned.len() <= ATTUNED_MAX);
    for (index, id) in attuned.iter().enumerate() {
        prop_assert!(!attuned[..index].contains(id));
        prop_assert!(character.inventory().quantity(*id) > 0, "attuned to {id} that is gone");
        prop_assert!(CATALOGUE.item(*id).is_some_and(Item::needs_attunement));
    }
    Ok(())
}

/// Units of each item.
fn stock(character: &Character) -> BTreeMap<&'static str, i64> {
    let mut stock = BTreeMap::new();
    for entry in character.inventory().entries() {
        *stock.entry(entry.item().as_str()).or_default() += i64::from(entry.quantity());
    }
    stock
}

/// What an action may change of coins (in copper) and items: exactly that and nothing else.
fn check_conservation(before: &Character, action: &Action, after: &Character) -> Result<(), TestCaseError> {
    let priced = |name: &str| CATALOGUE.item_named(name).expect("a priced item");
    let quantity = |quantity: i64| i32::try_from(quantity).expect("within its bounds");
    let (copper, units) = match action {
        Action::AddItem(fields) => (0, Some((&fields.item, fields.quantity))),
        Action::RemoveItem(fields) => (0, Some((&fields.item, -fields.quantity))),
        Action::UseItem(fields) => (0, Some((&fields.item, -1))),
        Action::BuyItem(fields) => {
            let price = priced(&fields.item).price_cp(quantity(fields.quantity)).expect("a price");
            (-price, Some((&fields.item, fields.quantity)))
        }
        Action::SellItem(fields) => {
            let proceeds = priced(&fields.item).proceeds_cp(quantity(fields.quantity)).expect("a price");
            (proceeds, Some((&fields.item, -fields.quantity)))
        }
        Action::ModifyCurrency(fields) => {
            let deltas = [fields.cp, fields.sp, fields.ep, fields.gp, fields.pp];
            let worth = Coin::ALL.iter().zip(deltas).map(|(coin, delta)| coin.copper() * delta.unwrap_or(0));
            (worth.sum(), None)
        }
        _ => (0, None),
    };
    prop_assert_eq!(after.purse().copper() - before.purse().copper(), copper);
    let mut expected = stock(before);
    if let Some((item, quantity)) = units {
        *expected.entry(priced(item).id().as_str()).or_default() += quantity;
        expected.retain(|_, quantity| *quantity > 0);
    }
    prop_assert_eq!(stock(after), expected);
    if copper == 0 && !matches!(action, Action::ModifyCurrency(_)) {
        prop_assert_eq!(after.purse(), before.purse());
    }
    Ok(())
}

proptest! {
    #[test]
    fn any_action_keeps_every_character_within_the_rules((start, actions) in any_life()) {
        let mut now = start;
        check_bounds(&now)?;
        for (action, request) in actions.iter().zip(1..) {
            // A text and not a copy: with a copy, which shares, the build would never be changed where it lies.
            let untouched = format!("{now:?}");
            let mut dice = dice_of(&now, request);
            let before = request.is_multiple_of(2).then(|| now.clone());
            let outcome = apply(&mut now, action, &CATALOGUE, &mut dice);
            if outcome.is_err() {
                prop_assert_eq!(format!("{now:?}"), untouched.clone(), "{:?} was refused", action);
            }
            if let Some(before) = before {
                prop_assert_eq!(format!("{before:?}"), untouched, "who shares does not see {:?}", action);
                if outcome.is_ok() {
                    check_conservation(&before, action, &now)?;
                }
                prop_assert!(now.dice_rolled() >= before.dice_rolled());
            }
            check_bounds(&now)?;
        }
    }

    #[test]
    fn the_same_dice_give_the_same_character(before in any_character(), action in any_action(), request in 1u64..1000) {
        let play = || {
            let mut after = before.clone();
            let outcome = apply(&mut after, &action, &CATALOGUE, &mut dice_of(&before, request));
            outcome.map(|_| after)
        };
        prop_assert_eq!(play(), play());
    }

    #[test]
    fn a_sheet_follows_from_the_character_alone(one in any_character(), other in any_character()) {
        let mut reused = derive(&one, &CATALOGUE);
        derive_into(&other, &CATALOGUE, &mut reused);
        let fresh = derive(&other, &CATALOGUE);
        prop_assert_eq!(&reused, &fresh);
        check_sheet(&other, &fresh)?;
    }

    #[test]
    fn wearing_changes_neither_load_nor_purse(before in any_character(), item in item(), slot in slot()) {
        let weight = derive(&before, &CATALOGUE).carried_millipounds();
        for change in [
            json!({"equip_item": {"item": item}}),
            json!({"equip_item": {"item": item, "slot": slot}}),
            json!({"unequip_item": {"slot": slot}}),
            json!({"attune": {"item": item}}),
            json!({"end_attunement": {"item": item}}),
        ] {
            let mut after = before.clone();
            if apply(&mut after, &from_value(&change), &CATALOGUE, &mut dice_of(&before, 1)).is_ok() {
                prop_assert_eq!(after.purse(), before.purse());
                prop_assert_eq!(derive(&after, &CATALOGUE).carried_millipounds(), weight);
            }
        }
    }

    #[test]
    fn trade_never_gains(
        item in prop_oneof![select(&["sling-bullet", "arrow", "candle", "blowgun-needle"][..]).prop_map(str::to_owned), item()],
        deals in (1i64..25).prop_flat_map(|most| prop::collection::vec((any::<bool>(), 1..=most), 1..60)),
    ) {
        let mut trader = super::play(
            &super::veteran("human rogue", 1, [10; 6]),
            &[r#"{"modify_currency": {"cp": 1000, "gp": 100000, "pp": 100}}"#],
        );
        let wealth = trader.purse().copper();
        for (buys, quantity) in deals {
            let kind = if buys { "buy_item" } else { "sell_item" };
            trader = deal(trader, kind, &item, quantity);
            prop_assert!(trader.purse().copper() <= wealth);
        }
        // Also when everything is sold at last.
        for entry in trader.inventory().entries().to_vec() {
            trader = deal(trader, "sell_item", entry.item().as_str(), i64::from(entry.quantity()));
        }
        prop_assert!(trader.purse().copper() <= wealth);
    }

    #[test]
    fn every_price_is_at_least_twice_what_it_brings(
        item in select(CATALOGUE.items()),
        quantity in prop_oneof![1i32..25, 1i32..=1_000_000],
    ) {
        if let Some((price, proceeds)) = item.price_cp(quantity).zip(item.proceeds_cp(quantity)) {
            prop_assert!(price >= 1 && proceeds >= 0 && price >= 2 * proceeds);
        }
    }
}

/// The trader after a deal, or as before where it is refused.
fn deal(trader: Character, kind: &str, item: &str, quantity: i64) -> Character {
    let wanted = from_value(&json!({kind: {"item": item, "quantity": quantity}}));
    let mut after = trader.clone();
    let outcome = apply(&mut after, &wanted, &CATALOGUE, &mut dice_of(&trader, 1));
    if outcome.is_ok() { after } else { trader }
}

/// What must hold of any sheet.
fn check_sheet(character: &Character, derived: &Derived) -> Result<(), TestCaseError> {
    prop_assert!((1..=60).contains(&derived.armor_class()), "{}", derived.armor_class());
    prop_assert!((0..=120).contains(&derived.speed()));
    prop_assert!((2..=6).contains(&derived.proficiency_bonus()));
    prop_assert_eq!(derived.skills().len(), 18);
    prop_assert!(derived.carried_millipounds() >= 0 && derived.carrying_capacity() >= 15);
    for ability in Ability::ALL {
        let score = derived.abilities().get(*ability);
        prop_assert!(score >= character.abilities().get(*ability) && score <= 30);
        prop_assert!(derived.saving_throws().get(*ability) >= derived.modifiers().get(*ability));
    }
    let wielded = [Slot::MainHand, Slot::OffHand].iter().filter(|slot| character.worn(**slot).is_some()).count();
    prop_assert_eq!(derived.attacks().len(), wielded);
    Ok(())
}
