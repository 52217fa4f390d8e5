//! The effect of each action.

mod affliction;
mod growth;
mod health;
mod rest;
mod trade;
mod wearing;

use std::ops::RangeInclusive;

use crate::request::Action;
use crate::request::limits::QUANTITY_MAX;

use super::catalogue::Catalogue;
use super::character::{Character, Life};
use super::derive::Worn;
use super::{ability, code, name};
use castellan_game::Dice;
use castellan_game::Violation;
use castellan_game::{Touched, quote};

pub(super) use trade::{check_units, hand_in, hand_out};

type Ruling = Result<(), Violation>;

/// Applies an action by the rules. Returns the kind of fields that it has touched.
///
/// Deterministic: the same character, action, catalogue and dice give the same result.
///
/// # Errors
///
/// [`Violation`] if a rule refuses the action. The character is unchanged.
pub fn apply(
    character: &mut Character,
    action: &Action,
    catalogue: &Catalogue,
    dice: &mut Dice<'_>,
) -> Result<Touched, Violation> {
    character.attempt(|character| {
        act(character, action, catalogue, dice)?;
        character.vitals.dice_rolled += dice.rolled();
        Ok(())
    })
}

/// Like [`apply`], but returns a changed copy.
///
/// # Errors
///
/// [`Violation`] if a rule refuses the action.
pub fn applied(
    character: &Character,
    action: &Action,
    catalogue: &Catalogue,
    dice: &mut Dice<'_>,
) -> Result<Character, Violation> {
    let mut after = character.clone();
    apply(&mut after, action, catalogue, dice)?;
    Ok(after)
}

/// Refuses what the dead cannot do.
pub(super) fn must_live(character: &Character) -> Ruling {
    if character.vitals.life == Life::Dead {
        return Err(Violation::new(code::DEAD, "the character is dead; it can only be revived or renamed"));
    }
    Ok(())
}

fn act(character: &mut Character, action: &Action, catalogue: &Catalogue, dice: &mut Dice<'_>) -> Ruling {
    if !matches!(action, Action::Revive(_) | Action::Rename(_)) {
        must_live(character)?;
    }
    match action {
        Action::ModifyHitpoints(fields) => health::modify(character, fields, catalogue),
        Action::GrantTemporaryHitpoints(fields) => health::grant_temporary(character, fields),
        Action::RollDeathSave(_) => health::roll_death_save(character, catalogue, dice),
        Action::Stabilize(_) => health::stabilize(character),
        Action::Revive(fields) => health::revive(character, fields, catalogue),
        Action::EquipItem(fields) => wearing::equip(character, fields, catalogue),
        Action::UnequipItem(fields) => wearing::unequip(character, fields, catalogue),
        Action::Attune(fields) => wearing::attune(character, fields, catalogue),
        Action::EndAttunement(fields) => wearing::end_attunement(character, fields, catalogue),
        Action::AddItem(fields) => trade::add(character, fields, catalogue),
        Action::RemoveItem(fields) => trade::remove(character, fields, catalogue),
        Action::UseItem(fields) => trade::use_item(character, fields, catalogue, dice),
        Action::BuyItem(fields) => trade::buy(character, fields, catalogue),
        Action::SellItem(fields) => trade::sell(character, fields, catalogue),
        Action::ModifyCurrency(fields) => trade::modify_currency(character, fields),
        Action::GainExperience(fields) => growth::gain_experience(character, fields),
        Action::LevelUp(fields) => growth::level_up(character, fields, catalogue, dice),
        Action::ShortRest(fields) => rest::short(character, fields, catalogue, dice),
        Action::LongRest(_) => rest::long(character, catalogue),
        Action::AddCondition(fields) => affliction::add(character, fields, catalogue),
        Action::RemoveCondition(fields) => affliction::remove(character, fields, catalogue),
        Action::Rename(fields) => {
            let name = name::clean(&fields.name)?;
            character.build_mut().name = name;
            Ok(())
        }
        Action::Give(_) | Action::Offer(_) | Action::Accept(_) | Action::Cancel(_) => {
            Err(Violation::malformed("gifts and trades are no rules of the game"))
        }
    }
}

/// Checks a number's bounds: below them it is `malformed`, above them `limit_exceeded`.
fn bounded(field: &'static str, number: i64, range: RangeInclusive<i32>) -> Result<i32, Violation> {
    if number < i64::from(*range.start()) {
        return Err(Violation::malformed(format!("{field}: must be at least {}", range.start())));
    }
    let fitting = i32::try_from(number).ok().filter(|number| number <= range.end());
    fitting.ok_or_else(|| Violation::limit(format!("{field}: must be at most {}", range.end())))
}

fn quantity(number: i64) -> Result<i32, Violation> {
    const MOST: i32 = QUANTITY_MAX as i32;
    bounded("quantity", number, 1..=MOST)
}

/// Recomputes the maximum of hit points. Call it after any change that the maximum depends on.
///
/// Every level gives its die's result plus the constitution modifier, at least 1, plus the bonus of traits. Four levels
/// of exhaustion halve the sum. Hit points above the maximum are lost; a higher maximum heals nobody.
/// Source: SRD 5.1, "Hit Points and Hit Dice", "Constitution", "Exhaustion".
pub(super) fn refresh_maximum(character: &mut Character, catalogue: &Catalogue) {
    /// Levels of exhaustion that halve the maximum.
    const EXHAUSTION_HALVES: i32 = 4;
    let modifier = constitution_modifier(character, catalogue);
    let race = catalogue.race(character.build.race).map_or(0, |race| race.gifts().hitpoints_per_level());
    let subrace = character.build.subrace.and_then(|id| catalogue.subrace(id));
    let per_level = race + subrace.map_or(0, |subrace| subrace.gifts().hitpoints_per_level());
    let of_level = |die: &u8| (i32::from(*die) + modifier).max(1) + per_level;
    let sum: i32 = character.build.hit_point_dice.iter().map(of_level).sum();
    character.vitals.max_hitpoints =
        if character.vitals.exhaustion >= EXHAUSTION_HALVES { (sum / 2).max(1) } else { sum };
    character.vitals.hitpoints = character.vitals.hitpoints.min(character.vitals.max_hitpoints);
}

/// The modifier of the effective constitution.
fn constitution_modifier(character: &Character, catalogue: &Catalogue) -> i32 {
    let scores = Worn::of(character, catalogue).effective(&character.build.abilities);
    ability::modifier(scores.get(crate::request::Ability::Constitution))
}

/// The refusal of an item that neither the catalogue nor the inventory knows.
fn unknown_item(name: &str) -> Violation {
    let message = format!("item: no such item `{}`; GET /catalogue lists all", quote(name));
    Violation::new(code::UNKNOWN_ITEM, message)
}
