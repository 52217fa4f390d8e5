//! Experience and levels.

use std::collections::BTreeMap;

use crate::code;
use crate::code::invalid_choice;
use crate::request::{Ability, GainExperience, HitPointChoice, LevelUp};

use super::{Ruling, bounded, refresh_maximum};
use crate::ability::{Abilities, EXPERIENCE_MAX, SCORE_MAX, experience_of_level};
use crate::catalogue::{Catalogue, Class};
use crate::character::Character;
use castellan_game::Dice;
use castellan_game::Violation;

/// Points of an ability score improvement. Source: SRD 5.1, "Ability Score Improvement".
const INCREMENTS: i32 = 2;

/// Sides of the hit die of a class that is no longer in the catalogue.
pub(super) const HIT_DIE: i32 = 8;

/// Adds experience points. Only `level_up` changes the level.
pub(super) fn gain_experience(character: &mut Character, fields: &GainExperience) -> Ruling {
    let amount = bounded("amount", fields.amount, 1..=EXPERIENCE_MAX)?;
    let sum = i64::from(character.vitals.experience) + i64::from(amount);
    character.vitals.experience = bounded("experience", sum, 0..=EXPERIENCE_MAX)?;
    Ok(())
}

/// Gains one level with its hit die and hit points, and with an improvement if the class has one at that level.
///
/// Source: SRD 5.1, "Beyond 1st Level". The maximum grows; the current hit points do not.
pub(super) fn level_up(
    character: &mut Character,
    fields: &LevelUp,
    catalogue: &Catalogue,
    dice: &mut Dice<'_>,
) -> Ruling {
    let level = character.build.level + 1;
    let Some(needed) = experience_of_level(level) else {
        return Err(Violation::limit(format!(
            "the character already has the highest level, {}",
            character.build.level
        )));
    };
    if character.vitals.experience < needed {
        let message = format!(
            "level {level} needs {needed} experience points; the character has {}",
            character.vitals.experience
        );
        return Err(Violation::new(code::NOT_ENOUGH_EXPERIENCE, message));
    }
    let class = catalogue.class(character.build.class);
    let none = BTreeMap::new();
    let chosen = fields.abilities.as_ref().unwrap_or(&none);
    improve(&mut character.build_mut().abilities, chosen, class.is_some_and(|class| class.improves_at(level)))?;
    let sides = class.map_or(HIT_DIE, Class::hit_die);
    let shown = match fields.hitpoints {
        HitPointChoice::Average => i64::from(sides / 2 + 1),
        HitPointChoice::Roll => dice.roll(sides.unsigned_abs()),
    };
    character
        .build_mut()
        .hit_point_dice
        .push(u8::try_from(shown).expect("a catalogue's hit dice have at most 100 sides"));
    character.build_mut().level = level;
    character.vitals.hit_dice += 1;
    refresh_maximum(character, catalogue);
    Ok(())
}

/// Applies two points, if the scores have room for them: +2 to one score or +1 to two, never above 20.
fn improve(scores: &mut Abilities, chosen: &BTreeMap<Ability, i64>, due: bool) -> Ruling {
    if !due && !chosen.is_empty() {
        return Err(invalid_choice("abilities: this level has no improvement; leave the field out"));
    }
    let room: i32 = scores.numbers().iter().map(|score| (SCORE_MAX - score).max(0)).sum();
    let mut left = if due { INCREMENTS.min(room) } else { 0 };
    for (ability, increment) in chosen {
        let increment = i32::try_from(*increment).ok().filter(|increment| (1..=INCREMENTS).contains(increment));
        let Some(increment) = increment else {
            return Err(invalid_choice(format!("abilities.{ability}: must be 1 or 2")));
        };
        let score = scores.get_mut(*ability);
        if *score + increment > SCORE_MAX {
            return Err(invalid_choice(format!("abilities.{ability}: the score would exceed {SCORE_MAX}")));
        }
        *score += increment;
        left -= increment;
    }
    match left {
        0 => Ok(()),
        _ => Err(invalid_choice("abilities: this level needs +2 to one score or +1 to two")),
    }
}
