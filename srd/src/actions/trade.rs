//! Gaining, losing, using and trading items and coins.

use crate::code;
use crate::request::{AddItem, BuyItem, ModifyCurrency, RemoveItem, SellItem, UseItem};

use super::wearing::carried;
use super::{Ruling, health, quantity, refresh_maximum, unknown_item};
use crate::catalogue::{Catalogue, Item, Purpose};
use crate::character::Character;
use crate::request::Coin;
use crate::symbol::Symbol;
use castellan_game::Dice;
use castellan_game::Violation;

/// Adds units of an item to the inventory.
pub(super) fn add(character: &mut Character, fields: &AddItem, catalogue: &Catalogue) -> Ruling {
    let quantity = quantity(fields.quantity)?;
    let item = catalogue.item_named(&fields.item).ok_or_else(|| unknown_item(&fields.item))?;
    character.build_mut().inventory.add(item.id(), quantity)
}

/// Removes units that are not worn.
pub(super) fn remove(character: &mut Character, fields: &RemoveItem, catalogue: &Catalogue) -> Ruling {
    let quantity = quantity(fields.quantity)?;
    let id = spare(character, &fields.item, quantity, catalogue)?;
    take(character, id, quantity, catalogue);
    Ok(())
}

/// Takes units out for another character. Bound items stay, and so does the last unit of an item that this one is attuned
/// to.
pub(crate) fn hand_out(character: &mut Character, item: &str, units: i64, catalogue: &Catalogue) -> Ruling {
    let quantity = quantity(units)?;
    let id = spare(character, item, quantity, catalogue)?;
    catalogue.item(id).map_or(Ok(()), check_unbound)?;
    let left = character.build.inventory.quantity(id) - i64::from(quantity);
    if left == 0 && character.build.attuned.contains(&id) {
        let message = format!("item: the character is attuned to `{id}`; end the attunement first");
        return Err(Violation::new(code::ITEM_EQUIPPED, message));
    }
    take(character, id, quantity, catalogue);
    Ok(())
}

/// Checks that a character can get this many units of an item from another.
pub(crate) fn check_units(item: &str, units: i64, catalogue: &Catalogue) -> Ruling {
    quantity(units)?;
    check_unbound(catalogue.item_named(item).ok_or_else(|| unknown_item(item))?)
}

/// Checks that an item may go from one character to another.
fn check_unbound(item: &Item) -> Ruling {
    if item.is_bound() {
        return Err(Violation::new(code::ITEM_BOUND, format!("item: `{}` cannot be given away or traded", item.id())));
    }
    Ok(())
}

/// Puts units in that another character has handed out. The catalogue may not know the item any more.
pub(crate) fn hand_in(character: &mut Character, item: &str, units: i64) -> Ruling {
    let quantity = quantity(units)?;
    character.build_mut().inventory.add(Symbol::new(item), quantity)
}

/// Finds an item and checks that enough units of it are carried but not worn.
fn spare(character: &Character, name: &str, quantity: i32, catalogue: &Catalogue) -> Result<Symbol, Violation> {
    let id = carried(character, name, catalogue)?;
    let left = character.build.inventory.quantity(id) - i64::from(quantity);
    if left < 0 {
        let message = format!("quantity: the inventory has only {} of `{id}`", character.build.inventory.quantity(id));
        return Err(Violation::new(code::NOT_IN_INVENTORY, message));
    }
    if left < character.units_worn(id) {
        let message = format!("quantity: the character wears {} of `{id}`; unequip first", character.units_worn(id));
        return Err(Violation::new(code::ITEM_EQUIPPED, message));
    }
    Ok(id)
}

/// Removes units. Attunement to an item ends with its last unit.
fn take(character: &mut Character, id: Symbol, quantity: i32, catalogue: &Catalogue) {
    character.build_mut().inventory.remove(id, quantity);
    if character.build.attuned.contains(&id) && character.build.inventory.quantity(id) == 0 {
        character.build_mut().attuned.retain(|attuned| *attuned != id);
        refresh_maximum(character, catalogue);
    }
}

/// Uses up one unit of a consumable. Works even at 0 hit points, because somebody else may administer it.
pub(super) fn use_item(
    character: &mut Character,
    fields: &UseItem,
    catalogue: &Catalogue,
    dice: &mut Dice<'_>,
) -> Ruling {
    let id = carried(character, &fields.item, catalogue)?;
    let Some(Purpose::Consumable(healing)) = catalogue.item(id).map(Item::purpose) else {
        return Err(Violation::new(code::CANNOT_USE, format!("item: `{id}` is not a consumable")));
    };
    take(character, id, 1, catalogue);
    health::heal(character, healing.roll(dice));
    Ok(())
}

fn not_for_sale(id: Symbol) -> Violation {
    Violation::new(code::NOT_FOR_SALE, format!("item: `{id}` has no price and cannot be traded"))
}

/// Buys at the catalogue's price. Part of a bundle costs its share, rounded up.
pub(super) fn buy(character: &mut Character, fields: &BuyItem, catalogue: &Catalogue) -> Ruling {
    let quantity = quantity(fields.quantity)?;
    let item = catalogue.item_named(&fields.item).ok_or_else(|| unknown_item(&fields.item))?;
    let price_cp = item.price_cp(quantity).ok_or_else(|| not_for_sale(item.id()))?;
    character.vitals.purse.pay(price_cp)?;
    character.build_mut().inventory.add(item.id(), quantity)
}

/// Sells at half the catalogue's price. The total is rounded down.
pub(super) fn sell(character: &mut Character, fields: &SellItem, catalogue: &Catalogue) -> Ruling {
    let quantity = quantity(fields.quantity)?;
    let id = spare(character, &fields.item, quantity, catalogue)?;
    let proceeds_cp = catalogue.item(id).and_then(|item| item.proceeds_cp(quantity));
    character.vitals.purse.receive(proceeds_cp.ok_or_else(|| not_for_sale(id))?)?;
    take(character, id, quantity, catalogue);
    Ok(())
}

/// Adds or removes coins of each kind.
pub(super) fn modify_currency(character: &mut Character, fields: &ModifyCurrency) -> Ruling {
    let ModifyCurrency { cp, sp, ep, gp, pp } = fields;
    let deltas = [*cp, *sp, *ep, *gp, *pp].map(Option::unwrap_or_default);
    if deltas == [0; 5] {
        return Err(Violation::malformed("set at least one of cp, sp, ep, gp and pp to a number other than 0"));
    }
    for (&coin, delta) in Coin::ALL.iter().zip(deltas) {
        character.vitals.purse.change(coin, delta)?;
    }
    Ok(())
}
