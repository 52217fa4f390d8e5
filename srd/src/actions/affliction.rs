//! Conditions and exhaustion.

use crate::code::invalid_choice;
use crate::request::{AddCondition, RemoveCondition};

use super::{Ruling, health, refresh_maximum};
use crate::catalogue::{Catalogue, Condition};
use crate::character::{CONDITIONS_MAX, Character, EXHAUSTION_MAX};
use castellan_game::{Violation, quote};

/// Adds a condition, or one level of exhaustion; the sixth kills.
///
/// Adding a condition a second time changes nothing. Source: SRD 5.1, "Conditions".
pub(super) fn add(character: &mut Character, fields: &AddCondition, catalogue: &Catalogue) -> Ruling {
    let known = catalogue.conditions().iter().map(Condition::id).find(|id| id.as_str() == fields.condition);
    let Some(id) = known else {
        let message = format!("condition: no such condition `{}`; GET /catalogue lists all", quote(&fields.condition));
        return Err(invalid_choice(message));
    };
    if id == catalogue.exhaustion() {
        character.vitals.exhaustion += 1;
        refresh_maximum(character, catalogue);
        if character.vitals.exhaustion >= EXHAUSTION_MAX {
            health::die(character, catalogue);
        }
        return Ok(());
    }
    if !character.build.conditions.contains(&id) {
        if character.build.conditions.len() >= CONDITIONS_MAX {
            return Err(Violation::limit(format!(
                "condition: the character already has {CONDITIONS_MAX} conditions, the most allowed"
            )));
        }
        character.build_mut().conditions.push(id);
    }
    Ok(())
}

/// Removes a condition, or one level of exhaustion.
pub(super) fn remove(character: &mut Character, fields: &RemoveCondition, catalogue: &Catalogue) -> Ruling {
    let missing = || {
        let message = format!("condition: the character does not have `{}`", quote(&fields.condition));
        Err(invalid_choice(message))
    };
    if fields.condition == catalogue.exhaustion().as_str() {
        if character.vitals.exhaustion == 0 {
            return missing();
        }
        character.vitals.exhaustion -= 1;
        refresh_maximum(character, catalogue);
        return Ok(());
    }
    let Some(position) = character.build.conditions.iter().position(|id| id.as_str() == fields.condition) else {
        return missing();
    };
    character.build_mut().conditions.remove(position);
    Ok(())
}
