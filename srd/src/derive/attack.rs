//! Attacks with the wielded weapons.

use crate::request::Ability;

use super::{Nature, Worn};
use crate::catalogue::{Class, DiceText, Effect, Gives, Item, Weapon};
use crate::derived::{Attack, Derived};

/// The attacks of main hand and off hand.
///
/// Source: SRD 5.1, "Weapons", "Two-Weapon Fighting", "Monk".
pub(super) fn attacks(worn: &Worn<'_>, nature: &Nature<'_>, derived: &Derived) -> [Option<Attack>; 2] {
    let martial_arts = martial_arts(worn, nature);
    let one = |item: Option<&Item>, other: Option<&Item>, is_second: bool| {
        let weapon = item?.weapon()?;
        let both_hands = other.is_none() && worn.shield.is_none();
        Some(attack(item?, weapon, &Grip { both_hands, is_second, martial_arts }, nature, derived))
    };
    let (main, off) = (worn.main_hand, worn.off_hand);
    [one(main, off, false), one(off, main, is_second_weapon(main, off))]
}

/// The grip on a weapon.
struct Grip {
    both_hands: bool,
    /// True for the second of two light weapons: its damage gets no positive modifier.
    is_second: bool,
    martial_arts: Option<DiceText>,
}

/// Returns true if both hands hold light melee weapons.
fn is_second_weapon(main: Option<&Item>, off: Option<&Item>) -> bool {
    let light = |item: Option<&Item>| {
        item.and_then(Item::weapon).is_some_and(|weapon| weapon.is_light() && !weapon.is_ranged())
    };
    light(main) && light(off)
}

/// The die of martial arts, which need monk weapons and neither armour nor shield.
fn martial_arts(worn: &Worn<'_>, nature: &Nature<'_>) -> Option<DiceText> {
    let monk = |item: Option<&Item>| item.and_then(Item::weapon).is_none_or(Weapon::is_monk);
    let bare = worn.armor.is_none() && worn.shield.is_none();
    if !bare || !monk(worn.main_hand) || !monk(worn.off_hand) {
        return None;
    }
    let die = |gives: &Gives| if let Gives::MartialArts(die) = gives { Some(*die) } else { None };
    nature.features().filter_map(die).last()
}

fn attack(item: &Item, weapon: &Weapon, grip: &Grip, nature: &Nature<'_>, derived: &Derived) -> Attack {
    let strength = derived.modifiers.get(Ability::Strength);
    let dexterity = derived.modifiers.get(Ability::Dexterity);
    let modifier = if weapon.is_finesse() || grip.martial_arts.is_some() {
        strength.max(dexterity)
    } else if weapon.is_ranged() {
        dexterity
    } else {
        strength
    };
    let trained = nature.class.is_some_and(|class: &Class| class.wields(weapon))
        || nature.gifts().any(|gifts| gifts.wields(weapon));
    let magic: i32 =
        item.effects().iter().map(|effect| if let Effect::AttackAndDamage(bonus) = effect { *bonus } else { 0 }).sum();
    let held = if grip.both_hands { weapon.two_handed_damage().or(weapon.damage()) } else { weapon.damage() };
    let dice = match (held, grip.martial_arts) {
        (Some(held), Some(die)) if die.twice_average() > held.twice_average() => Some(die),
        (held, _) => held,
    };
    Attack {
        item: item.id(),
        attack_bonus: modifier + magic + if trained { derived.proficiency_bonus } else { 0 },
        dice,
        damage_bonus: magic + if grip.is_second { modifier.min(0) } else { modifier },
        damage_type: weapon.damage_type(),
    }
}
