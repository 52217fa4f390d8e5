//! Speed and everything that reduces it.

use crate::request::Ability;

use super::{Derived, Nature, Worn};
use crate::catalogue::{ArmorKind, Catalogue, Condition, Gives, MILLIPOUNDS, Race};
use crate::character::{Character, Life};
use crate::derived::Flag;

/// Speed of a character whose race is no longer in the catalogue, in feet.
const SPEED_FT: i32 = 30;
/// Penalty for armour that is too heavy, or for a heavy load, in feet.
const PENALTY_FT: i32 = 10;
/// Penalty for a very heavy load, in feet.
const HEAVY_LOAD_PENALTY_FT: i32 = 20;
/// Pounds per point of strength above which a load is heavy. Source: SRD 5.1, "Variant: Encumbrance".
const ENCUMBERED_LB: i64 = 5;
/// Pounds per point of strength above which a load is very heavy.
const HEAVILY_ENCUMBERED_LB: i64 = 10;
/// Most pounds per point of strength that can be pushed, dragged or lifted. Source: SRD 5.1, "Lifting and Carrying".
const PUSH_LB: i64 = 30;
/// Levels of exhaustion that halve the speed. Source: SRD 5.1, "Exhaustion".
const EXHAUSTION_HALVES: i32 = 2;
/// Levels of exhaustion that end all movement.
const EXHAUSTION_STOPS: i32 = 5;

/// Computes the walking speed in feet per round, and raises the flags of a heavy load.
pub(super) fn speed(
    character: &Character,
    catalogue: &Catalogue,
    worn: &Worn<'_>,
    nature: &Nature<'_>,
    derived: &mut Derived,
) -> i32 {
    let variant = catalogue.options().variant_encumbrance;
    let load_penalty = load_penalty(variant, derived);
    if cannot_move(character, catalogue) {
        return 0;
    }
    let strength = derived.abilities.get(Ability::Strength);
    let base = nature.race.map_or(SPEED_FT, Race::speed_ft).max(worn.bonuses.speed_min);
    let penalty = if worn.bonuses.ignores_speed_penalties {
        0
    } else if variant {
        // The variant replaces the armour's strength requirement.
        load_penalty
    } else {
        armor_penalty(strength, worn, nature)
    };
    let feet = (base + class_bonus(worn, nature) - penalty).max(0);
    if character.vitals.exhaustion >= EXHAUSTION_HALVES { feet / 2 } else { feet }
}

/// The class's bonus. Of several bonuses of one kind the highest level's counts. Source: SRD 5.1, "Barbarian", "Monk".
fn class_bonus(worn: &Worn<'_>, nature: &Nature<'_>) -> i32 {
    let heavy = worn.armor.is_some_and(|armor| armor.kind() == ArmorKind::Heavy);
    let bare = worn.armor.is_none() && worn.shield.is_none();
    let (mut without_heavy_armor, mut unarmored) = (0, 0);
    for gives in nature.features() {
        match gives {
            Gives::SpeedWithoutHeavyArmor(feet) if !heavy => without_heavy_armor = *feet,
            Gives::SpeedUnarmored(feet) if bare => unarmored = *feet,
            _ => {}
        }
    }
    without_heavy_armor + unarmored
}

fn armor_penalty(strength: i32, worn: &Worn<'_>, nature: &Nature<'_>) -> i32 {
    let too_heavy = worn.armor.is_some_and(|armor| strength < armor.strength_min());
    let immune = nature.race.is_some_and(Race::ignores_armor_speed_penalty);
    if too_heavy && !immune { PENALTY_FT } else { 0 }
}

/// Raises the flags of the load and returns the variant's speed penalty.
fn load_penalty(variant: bool, derived: &mut Derived) -> i32 {
    let strength = i64::from(derived.abilities.get(Ability::Strength));
    let above = |pounds_per_point: i64| derived.carried_millipounds > strength * pounds_per_point * MILLIPOUNDS;
    let over_capacity = derived.carried_millipounds > i64::from(derived.carrying_capacity) * MILLIPOUNDS;
    let (push, heavily, encumbered) = (above(PUSH_LB), above(HEAVILY_ENCUMBERED_LB), above(ENCUMBERED_LB));
    derived.flags.raise_if(Flag::OverCapacity, over_capacity);
    derived.flags.raise_if(Flag::Immovable, push);
    derived.flags.raise_if(Flag::HeavilyEncumbered, variant && heavily);
    derived.flags.raise_if(Flag::Encumbered, variant && encumbered && !heavily);
    match (heavily, encumbered) {
        (true, _) => HEAVY_LOAD_PENALTY_FT,
        (false, true) => PENALTY_FT,
        (false, false) => 0,
    }
}

/// Returns true if unconsciousness, exhaustion or a condition prevents all movement.
fn cannot_move(character: &Character, catalogue: &Catalogue) -> bool {
    let stops = |id| catalogue.condition(id).is_some_and(Condition::cannot_move);
    character.vitals.life != Life::Conscious
        || character.vitals.exhaustion >= EXHAUSTION_STOPS
        || character.build.conditions.iter().any(|id| stops(*id))
}
