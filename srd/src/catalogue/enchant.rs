//! Creates the magic variants of mundane items: `longsword+weapon-1`.

use super::draft::Draft;
use super::item::{Effect, Item, Purpose};
use super::mistakes::Mistakes;
use super::read_items::{Enchantment, Target};
use crate::symbol::Symbol;

/// Adds every variant to the items.
pub(super) fn add_variants(draft: &mut Draft, mistakes: &Mistakes) {
    let mut variants = Vec::new();
    for (_, enchantment) in &draft.enchantments {
        for except in &enchantment.except {
            if !draft.items.iter().any(|(_, item)| item.id == *except) {
                enchantment.place.complain(mistakes, "except", format!("no such item `{except}`"));
            }
        }
        for (place, item) in draft.items.iter().filter(|(_, item)| fits(enchantment, item)) {
            variants.push((place.clone(), variant(enchantment, item)));
        }
    }
    draft.items.extend(variants);
}

/// Returns true if the enchantment applies to the item.
pub(super) fn fits(enchantment: &Enchantment, item: &Item) -> bool {
    let target = match &item.purpose {
        Purpose::Weapon(_) => Target::Weapon,
        Purpose::Armor(armor) => Target::Armor(armor.kind),
        Purpose::Worn(_) | Purpose::Carried | Purpose::Consumable(_) | Purpose::Gear => return false,
    };
    item.magic.is_none() && enchantment.applies_to.contains(&target) && !enchantment.except.contains(&item.id)
}

fn variant(enchantment: &Enchantment, item: &Item) -> Item {
    let mut variant = Item {
        id: Symbol::new(&format!("{}+{}", item.id, enchantment.id)),
        name: format!("{} ({})", item.name, enchantment.name),
        cost_cp: None,
        bound: item.bound || enchantment.bound,
        magic: Some(enchantment.magic.clone()),
        ..item.clone()
    };
    if let Purpose::Armor(armor) = &mut variant.purpose {
        for effect in &enchantment.magic.effects {
            match effect {
                Effect::NoStealthDisadvantage => armor.stealth_disadvantage = false,
                Effect::NoStrengthMin => armor.strength_min = 0,
                _ => {}
            }
        }
    }
    variant
}
