//! Wearing, wielding, attunement.

use crate::code;
use crate::request::{Attune, EndAttunement, EquipItem, Slot, UnequipItem};

use super::{Ruling, refresh_maximum, unknown_item};
use crate::catalogue::{Catalogue, Item};
use crate::character::{ATTUNED_MAX, Character, SLOTS};
use crate::symbol::Symbol;
use castellan_game::Violation;

/// Equips an item from the inventory and takes off any item in the way.
///
/// Without a slot uses the first free slot that fits, otherwise the first that fits.
pub(super) fn equip(character: &mut Character, fields: &EquipItem, catalogue: &Catalogue) -> Ruling {
    let id = carried(character, &fields.item, catalogue)?;
    let refused = |message: String| Violation::new(code::CANNOT_EQUIP, message);
    let item = catalogue.item(id).ok_or_else(|| refused(format!("item: `{id}` is no longer in the catalogue")))?;
    let fitting = item.slots();
    let Some(first) = fitting.first() else {
        return Err(refused(format!("item: `{id}` can be neither worn nor wielded")));
    };
    let slot = match fields.slot {
        Some(slot) if fitting.contains(&slot) => slot,
        Some(slot) => return Err(refused(format!("slot: `{id}` does not fit {slot}"))),
        None => *fitting.iter().find(|slot| is_free(character, item, **slot, catalogue)).unwrap_or(first),
    };
    let mut equipment = character.build.equipment;
    for occupied in in_the_way(character, item, slot, catalogue) {
        equipment[occupied as usize] = None;
    }
    let worn = equipment.iter().filter(|worn| **worn == Some(id)).count();
    if character.build.inventory.quantity(id) <= i64::try_from(worn).unwrap_or(i64::MAX) {
        return Err(Violation::new(code::ITEM_EQUIPPED, format!("item: every unit of `{id}` is already worn")));
    }
    equipment[slot as usize] = Some(id);
    character.build_mut().equipment = equipment;
    refresh_maximum(character, catalogue);
    Ok(())
}

fn is_free(character: &Character, item: &Item, slot: Slot, catalogue: &Catalogue) -> bool {
    in_the_way(character, item, slot, catalogue).next().is_none()
}

/// The slots that must be emptied before the item can go into this one.
///
/// Weapons and the shield need a hand each, a two-handed weapon needs both. Source: SRD 5.1, "Weapons", "Armor".
fn in_the_way(
    character: &Character,
    item: &Item,
    slot: Slot,
    catalogue: &Catalogue,
) -> impl Iterator<Item = Slot> + use<> {
    let wielded_in_both =
        |slot| character.worn(slot).and_then(|id| catalogue.item(id)).is_some_and(Item::is_two_handed);
    let mut blocked = [false; SLOTS];
    blocked[slot as usize] = true;
    match slot {
        Slot::MainHand if item.is_two_handed() => {
            blocked[Slot::OffHand as usize] = true;
            blocked[Slot::Shield as usize] = true;
        }
        Slot::OffHand => {
            blocked[Slot::Shield as usize] = true;
            blocked[Slot::MainHand as usize] = wielded_in_both(Slot::MainHand);
        }
        Slot::Shield => {
            blocked[Slot::OffHand as usize] = true;
            blocked[Slot::MainHand as usize] = wielded_in_both(Slot::MainHand);
        }
        _ => {}
    }
    let equipment = character.build.equipment;
    Slot::ALL.iter().copied().filter(move |slot| blocked[*slot as usize] && equipment[*slot as usize].is_some())
}

/// Takes off the item in a slot.
pub(super) fn unequip(character: &mut Character, fields: &UnequipItem, catalogue: &Catalogue) -> Ruling {
    if character.build.equipment[fields.slot as usize].is_none() {
        return Err(Violation::new(code::CANNOT_EQUIP, format!("slot: {} is empty", fields.slot)));
    }
    character.build_mut().equipment[fields.slot as usize] = None;
    refresh_maximum(character, catalogue);
    Ok(())
}

/// Attunes to a magic item: at most three, never two copies of one. Source: SRD 5.1, "Attunement".
pub(super) fn attune(character: &mut Character, fields: &Attune, catalogue: &Catalogue) -> Ruling {
    let id = carried(character, &fields.item, catalogue)?;
    let refused = |message: String| Err(Violation::new(code::ATTUNEMENT_REFUSED, message));
    if !catalogue.item(id).is_some_and(Item::needs_attunement) {
        return refused(format!("item: `{id}` takes no attunement"));
    }
    if character.build.attuned.contains(&id) {
        return refused(format!("item: the character is already attuned to `{id}`"));
    }
    if character.build.attuned.len() >= ATTUNED_MAX {
        return refused(format!(
            "item: the character is already attuned to {ATTUNED_MAX} items; end one attunement first"
        ));
    }
    character.build_mut().attuned.push(id);
    refresh_maximum(character, catalogue);
    Ok(())
}

/// Ends an attunement.
pub(super) fn end_attunement(character: &mut Character, fields: &EndAttunement, catalogue: &Catalogue) -> Ruling {
    let Some(position) = character.build.attuned.iter().position(|id| id.as_str() == fields.item) else {
        let known = character.find_item(&fields.item, catalogue).ok_or_else(|| unknown_item(&fields.item))?;
        let message = format!("item: the character is not attuned to `{known}`");
        return Err(Violation::new(code::ATTUNEMENT_REFUSED, message));
    };
    character.build_mut().attuned.remove(position);
    refresh_maximum(character, catalogue);
    Ok(())
}

/// Finds an item that the character carries.
///
/// # Errors
///
/// `unknown_item`, `not_in_inventory`.
pub(super) fn carried(character: &Character, name: &str, catalogue: &Catalogue) -> Result<Symbol, Violation> {
    let id = character.find_item(name, catalogue).ok_or_else(|| unknown_item(name))?;
    if character.build.inventory.quantity(id) == 0 {
        let message = format!("item: the inventory has no `{id}`");
        return Err(Violation::new(code::NOT_IN_INVENTORY, message));
    }
    Ok(id)
}
