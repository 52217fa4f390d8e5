//! Rests.

use crate::code;
use crate::code::invalid_choice;
use crate::request::ShortRest;

use super::{Ruling, constitution_modifier, growth, health, refresh_maximum};
use crate::catalogue::{Catalogue, Class};
use crate::character::{Character, Life};
use castellan_game::Dice;
use castellan_game::Violation;

/// Spends hit dice: each heals its result plus the constitution modifier, at least 0.
///
/// Source: SRD 5.1, "Resting". A dying character cannot rest.
pub(super) fn short(
    character: &mut Character,
    fields: &ShortRest,
    catalogue: &Catalogue,
    dice: &mut Dice<'_>,
) -> Ruling {
    if fields.hit_dice < 0 {
        return Err(Violation::malformed("hit_dice: must be at least 0"));
    }
    if character.vitals.life == Life::Dying {
        return Err(invalid_choice("a dying character cannot rest"));
    }
    let spent = i32::try_from(fields.hit_dice).ok().filter(|spent| *spent <= character.vitals.hit_dice);
    let Some(spent) = spent else {
        let message = format!("hit_dice: only {} left", character.vitals.hit_dice);
        return Err(Violation::new(code::NO_HIT_DICE, message));
    };
    let sides = catalogue.class(character.build.class).map_or(growth::HIT_DIE, Class::hit_die).unsigned_abs();
    let modifier = i64::from(constitution_modifier(character, catalogue));
    character.vitals.hit_dice -= spent;
    for _ in 0..spent {
        health::heal(character, (dice.roll(sides) + modifier).max(0));
    }
    Ok(())
}

/// Restores all hit points and half the hit dice (at least one); ends one level of exhaustion and all temporary hit
/// points.
///
/// Source: SRD 5.1, "Resting", "Exhaustion".
pub(super) fn long(character: &mut Character, catalogue: &Catalogue) -> Ruling {
    if character.vitals.hitpoints == 0 {
        return Err(invalid_choice("a long rest cannot begin at 0 hit points"));
    }
    character.vitals.exhaustion = (character.vitals.exhaustion - 1).max(0);
    refresh_maximum(character, catalogue);
    character.vitals.hitpoints = character.vitals.max_hitpoints;
    character.vitals.temporary_hitpoints = 0;
    let regained = (character.build.level / 2).max(1);
    character.vitals.hit_dice = (character.vitals.hit_dice + regained).min(character.build.level);
    Ok(())
}
