//! Items and coins coming and going.

use castellan_protocol::{AddItem, BuyItem, ModifyCurrency, RejectionCode, RemoveItem, SellItem, UseItem};

use super::wearing::carried;
use super::{Outcome, health, quantity, refresh_maximum, unknown_item};
use crate::catalogue::{Catalogue, Item, Purpose};
use crate::character::Character;
use crate::dice::Dice;
use crate::money::Coin;
use crate::symbol::Symbol;
use crate::violation::Violation;

/// Puts units of an item of the catalogue into the inventory.
pub(super) fn add(character: &mut Character, fields: &AddItem, catalogue: &Catalogue) -> Outcome {
    let quantity = quantity(fields.quantity)?;
    let item = catalogue.item_named(&fields.item).ok_or_else(|| unknown_item(&fields.item))?;
    character.build_mut().inventory.add(item.id(), quantity)
}

/// Takes units out that are not worn.
pub(super) fn remove(character: &mut Character, fields: &RemoveItem, catalogue: &Catalogue) -> Outcome {
    let quantity = quantity(fields.quantity)?;
    let id = spare(character, &fields.item, quantity, catalogue)?;
    take(character, id, quantity, catalogue);
    Ok(())
}

/// An item of which the character carries so many units that it does not wear.
fn spare(character: &Character, name: &str, quantity: i32, catalogue: &Catalogue) -> Result<Symbol, Violation> {
    let id = carried(character, name, catalogue)?;
    let left = character.build.inventory.quantity(id) - i64::from(quantity);
    if left < 0 {
        let message = format!("quantity: the inventory has {} of `{id}`", character.build.inventory.quantity(id));
        return Err(Violation::new(RejectionCode::NotInInventory, message));
    }
    if left < character.units_worn(id) {
        let message = format!("quantity: {} of `{id}` is worn", character.units_worn(id));
        return Err(Violation::new(RejectionCode::ItemEquipped, message));
    }
    Ok(id)
}

/// Takes units out; the bond with an item ends with its last unit.
fn take(character: &mut Character, id: Symbol, quantity: i32, catalogue: &Catalogue) {
    character.build_mut().inventory.remove(id, quantity);
    if character.build.attuned.contains(&id) && character.build.inventory.quantity(id) == 0 {
        character.build_mut().attuned.retain(|attuned| *attuned != id);
        refresh_maximum(character, catalogue);
    }
}

/// Uses up one unit of a consumable. It helps also at 0 hit points: somebody else administers it.
pub(super) fn use_item(
    character: &mut Character,
    fields: &UseItem,
    catalogue: &Catalogue,
    dice: &mut Dice<'_>,
) -> Outcome {
    let id = carried(character, &fields.item, catalogue)?;
    let Some(Purpose::Consumable(healing)) = catalogue.item(id).map(Item::purpose) else {
        return Err(Violation::new(RejectionCode::CannotUse, format!("item: `{id}` is not for consumption")));
    };
    take(character, id, 1, catalogue);
    health::heal(character, healing.roll(dice));
    Ok(())
}

fn not_for_sale(id: Symbol) -> Violation {
    Violation::new(RejectionCode::NotForSale, format!("item: `{id}` has no price"))
}

/// Buys at the catalogue's price; part of a bundle in proportion, rounded up.
pub(super) fn buy(character: &mut Character, fields: &BuyItem, catalogue: &Catalogue) -> Outcome {
    let quantity = quantity(fields.quantity)?;
    let item = catalogue.item_named(&fields.item).ok_or_else(|| unknown_item(&fields.item))?;
    let price_cp = item.price_cp(quantity).ok_or_else(|| not_for_sale(item.id()))?;
    character.vitals.purse.pay(price_cp)?;
    character.build_mut().inventory.add(item.id(), quantity)
}

/// Sells at half the catalogue's price, rounded down for the deal as a whole.
pub(super) fn sell(character: &mut Character, fields: &SellItem, catalogue: &Catalogue) -> Outcome {
    let quantity = quantity(fields.quantity)?;
    let id = spare(character, &fields.item, quantity, catalogue)?;
    let proceeds_cp = catalogue.item(id).and_then(|item| item.proceeds_cp(quantity));
    character.vitals.purse.receive(proceeds_cp.ok_or_else(|| not_for_sale(id))?)?;
    take(character, id, quantity, catalogue);
    Ok(())
}

/// Adds or takes coins of each kind.
pub(super) fn modify_currency(character: &mut Character, fields: &ModifyCurrency) -> Outcome {
    let ModifyCurrency { cp, sp, ep, gp, pp } = fields;
    let deltas = [*cp, *sp, *ep, *gp, *pp].map(Option::unwrap_or_default);
    if deltas == [0; 5] {
        return Err(Violation::malformed("at least one of cp, sp, ep, gp and pp must be there and not 0"));
    }
    for (coin, delta) in Coin::ALL.into_iter().zip(deltas) {
        character.vitals.purse.change(coin, delta)?;
    }
    Ok(())
}
