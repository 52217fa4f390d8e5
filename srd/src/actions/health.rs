//! Hit points, dying, death.

use crate::code;
use crate::code::invalid_choice;
use crate::request::{GrantTemporaryHitpoints, ModifyHitpoints, Revive};

use super::{Ruling, bounded, refresh_maximum};
use crate::catalogue::Catalogue;
use crate::character::{Character, DeathSaves, EXHAUSTION_MAX, Life};
use crate::derive::Worn;
use castellan_game::Dice;
use castellan_game::Violation;

/// Most temporary hit points, and most hit points of a revival.
///
/// Far above any sheet, and within 32 bits.
const HITPOINTS_MAX: i32 = 1_000_000;

/// Successes or failures that decide. Source: SRD 5.1, "Death Saving Throws".
const DECIDING_SAVES: i32 = 3;

/// Lowest death save that succeeds.
const SAVE_DIFFICULTY: i64 = 10;

/// Deals damage or heals. Amounts are unlimited: any excess is lost.
pub(super) fn modify(character: &mut Character, fields: &ModifyHitpoints, catalogue: &Catalogue) -> Ruling {
    match fields.delta {
        0 => Err(Violation::malformed("delta: must not be 0")),
        delta if delta > 0 => {
            heal(character, delta);
            Ok(())
        }
        delta => {
            damage(character, delta.saturating_neg(), fields.critical, catalogue);
            Ok(())
        }
    }
}

/// Restores hit points up to the maximum; even one wakes the character. Must not be called for the dead.
pub(super) fn heal(character: &mut Character, amount: i64) {
    let healed =
        i64::from(character.vitals.hitpoints).saturating_add(amount).min(i64::from(character.vitals.max_hitpoints));
    character.vitals.hitpoints = i32::try_from(healed).unwrap_or(character.vitals.max_hitpoints);
    if character.vitals.hitpoints > 0 {
        character.vitals.life = Life::Conscious;
        character.vitals.death_saves = DeathSaves::default();
    }
}

/// Takes hit points, temporary ones first.
///
/// Source: SRD 5.1, "Damage and Healing". Excess damage of at least the maximum kills at once. Damage at 0 is a failed
/// death save, a critical hit is two. Damage that temporary hit points absorb completely does not count.
fn damage(character: &mut Character, amount: i64, critical: bool, catalogue: &Catalogue) {
    let absorbed = amount.min(i64::from(character.vitals.temporary_hitpoints));
    character.vitals.temporary_hitpoints -= i32::try_from(absorbed).unwrap_or(character.vitals.temporary_hitpoints);
    let left = amount - absorbed;
    if left == 0 {
        return;
    }
    let had = i64::from(character.vitals.hitpoints);
    if left < had {
        character.vitals.hitpoints = i32::try_from(had - left).unwrap_or(0);
    } else if left - had >= i64::from(character.vitals.max_hitpoints) {
        die(character, catalogue);
    } else if had > 0 {
        character.vitals.hitpoints = 0;
        character.vitals.life = Life::Dying;
        character.vitals.death_saves = DeathSaves::default();
    } else {
        character.vitals.life = Life::Dying;
        fail_saves(character, if critical { 2 } else { 1 }, catalogue);
    }
}

fn fail_saves(character: &mut Character, count: i32, catalogue: &Catalogue) {
    character.vitals.death_saves.failures = (character.vitals.death_saves.failures + count).min(DECIDING_SAVES);
    if character.vitals.death_saves.failures == DECIDING_SAVES {
        die(character, catalogue);
    }
}

/// Kills the character. Death ends attunement. Source: SRD 5.1, "Attunement".
pub(super) fn die(character: &mut Character, catalogue: &Catalogue) {
    character.vitals.life = Life::Dead;
    character.vitals.hitpoints = 0;
    if !character.build.attuned.is_empty() {
        character.build_mut().attuned.clear();
    }
    refresh_maximum(character, catalogue);
}

/// Keeps the higher of old and new temporary hit points. Source: SRD 5.1, "Temporary Hit Points".
pub(super) fn grant_temporary(character: &mut Character, fields: &GrantTemporaryHitpoints) -> Ruling {
    let amount = bounded("amount", fields.amount, 1..=HITPOINTS_MAX)?;
    character.vitals.temporary_hitpoints = character.vitals.temporary_hitpoints.max(amount);
    Ok(())
}

/// A d20: 10 or more is a success, 1 counts as two failures, 20 as 1 hit point.
///
/// It is a saving throw, so bonuses that magic adds to all saving throws count. Source: SRD 5.1, "Death Saving
/// Throws", "Lucky".
pub(super) fn roll_death_save(character: &mut Character, catalogue: &Catalogue, dice: &mut Dice<'_>) -> Ruling {
    must_be_dying(character)?;
    let lucky = |gifts: &crate::catalogue::Gifts| gifts.rerolls_ones();
    let rerolls_ones = catalogue.race(character.build.race).is_some_and(|race| lucky(race.gifts()))
        || character.build.subrace.and_then(|id| catalogue.subrace(id)).is_some_and(|subrace| lucky(subrace.gifts()));
    let mut shown = dice.roll(20);
    if shown == 1 && rerolls_ones {
        shown = dice.roll(20);
    }
    let bonus = i64::from(Worn::of(character, catalogue).saving_throw_bonus());
    match shown {
        1 => fail_saves(character, 2, catalogue),
        20 => heal(character, 1),
        _ if shown + bonus >= SAVE_DIFFICULTY => {
            character.vitals.death_saves.successes += 1;
            if character.vitals.death_saves.successes == DECIDING_SAVES {
                become_stable(character);
            }
        }
        _ => fail_saves(character, 1, catalogue),
    }
    Ok(())
}

/// Ends dying without healing.
pub(super) fn stabilize(character: &mut Character) -> Ruling {
    must_be_dying(character)?;
    become_stable(character);
    Ok(())
}

fn must_be_dying(character: &Character) -> Ruling {
    if character.vitals.life == Life::Dying {
        return Ok(());
    }
    let message = format!("only a dying character can do this; this one is {}", character.vitals.life.as_str());
    Err(Violation::new(code::NOT_DYING, message))
}

fn become_stable(character: &mut Character) {
    character.vitals.life = Life::Stable;
    character.vitals.death_saves = DeathSaves::default();
}

/// Revives a dead character. One that died of exhaustion loses the last level of it.
pub(super) fn revive(character: &mut Character, fields: &Revive, catalogue: &Catalogue) -> Ruling {
    let hitpoints = bounded("hitpoints", fields.hitpoints, 1..=HITPOINTS_MAX)?;
    if character.vitals.life != Life::Dead {
        return Err(invalid_choice("only a dead character can be revived"));
    }
    character.vitals.exhaustion = character.vitals.exhaustion.min(EXHAUSTION_MAX - 1);
    refresh_maximum(character, catalogue);
    heal(character, i64::from(hitpoints));
    Ok(())
}
