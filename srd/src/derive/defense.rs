//! Armour class.

use crate::request::Ability;

use super::{Nature, Worn};
use crate::ability::Abilities;
use crate::catalogue::{Armor, Gives};

/// Armour class without armour, before dexterity. Source: SRD 5.1, "Armor Class".
const UNARMORED: i32 = 10;

/// Armour class, in points.
///
/// Source: SRD 5.1, "Armor", and the classes' "Unarmored Defense". A negative dexterity modifier counts, except in
/// heavy armour.
pub(super) fn armor_class(worn: &Worn<'_>, nature: &Nature<'_>, modifiers: &Abilities) -> i32 {
    let dexterity = modifiers.get(Ability::Dexterity);
    let body = match worn.armor {
        Some(armor) => armor.base() + armor.dexterity_bonus(dexterity),
        None => UNARMORED + dexterity + unarmored_defense(worn, nature, modifiers),
    };
    body + worn.shield.map_or(0, Armor::base) + worn.bonuses.armor_class
}

/// The class's bonus without armour.
fn unarmored_defense(worn: &Worn<'_>, nature: &Nature<'_>, modifiers: &Abilities) -> i32 {
    let bonus = |gives: &Gives| match gives {
        Gives::UnarmoredDefense { ability, shield } if *shield || worn.shield.is_none() => {
            Some(modifiers.get(*ability))
        }
        _ => None,
    };
    nature.features().filter_map(bonus).last().unwrap_or(0)
}
