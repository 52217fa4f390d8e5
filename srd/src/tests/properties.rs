//! Properties of any character and any actions, including numbers at the limits of every field.

use std::collections::BTreeMap;

use crate::wire::limits::{COINS_MAX, QUANTITY_MAX};
use crate::wire::{Ability, Action, Slot};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::json;

use crate::actions::refresh_maximum;
use crate::testing::{CATALOGUE, any_action, any_character, any_life, dice_of, from_value, item, slot};
use crate::{
    ATTUNED_MAX, Character, Coin, Derived, EXPERIENCE_MAX, INVENTORY_ENTRIES_MAX, Item, Life, SCORE_MAX, apply, derive,
    derive_into,
};

/// Checks everything that must hold for any character.
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
    prop_assert_eq!(&again, character, "the maximum can be recomputed at any time");
    check_items(character)
}

fn check_items(character: &Character) -> Result<(), TestCaseError> {
    let entries = character.inventory().stacks();
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
    for entry in character.inventory().stacks() {
        *stock.entry(entry.item().as_str()).or_default() += i64::from(entry.quantity());
    }
    stock
}

/// Checks that an action changes coins (in copper) and items exactly as it should, and nothing else.
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
            // A text instead of a clone: a clone shares the build, and the build would then never change in place.
            let untouched = format!("{now:?}");
            let mut dice = dice_of(&now, request);
            let before = request.is_multiple_of(2).then(|| now.clone());
            let outcome = apply(&mut now, action, &CATALOGUE, &mut dice);
            if outcome.is_err() {
                prop_assert_eq!(format!("{now:?}"), untouched.clone(), "{:?} was refused", action);
            }
            if let Some(before) = before {
                prop_assert_eq!(format!("{before:?}"), untouched, "a clone does not see {:?}", action);
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
    fn a_sheet_depends_on_the_character_alone(one in any_character(), other in any_character()) {
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
        // Even if everything is sold in the end.
        for entry in trader.inventory().stacks().to_vec() {
            trader = deal(trader, "sell_item", entry.item().as_str(), i64::from(entry.quantity()));
        }
        prop_assert!(trader.purse().copper() <= wealth);
    }

    #[test]
    fn every_price_is_at_least_twice_the_selling_price(
        item in select(CATALOGUE.items()),
        quantity in prop_oneof![1i32..25, 1i32..=1_000_000],
    ) {
        if let Some((price, proceeds)) = item.price_cp(quantity).zip(item.proceeds_cp(quantity)) {
            prop_assert!(price >= 1 && proceeds >= 0 && price >= 2 * proceeds);
        }
    }
}

/// The trader after a deal, unchanged if it is refused.
fn deal(trader: Character, kind: &str, item: &str, quantity: i64) -> Character {
    let wanted = from_value(&json!({kind: {"item": item, "quantity": quantity}}));
    let mut after = trader.clone();
    let outcome = apply(&mut after, &wanted, &CATALOGUE, &mut dice_of(&trader, 1));
    if outcome.is_ok() { after } else { trader }
}

/// Checks the bounds of a sheet.
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
