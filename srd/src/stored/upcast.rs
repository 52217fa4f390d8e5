//! Turns older shapes of a stored character into the present one, a version at a time.
//!
//! A step never changes once it was released: it knows what held when the older shape was written, and asks no
//! catalogue.

use serde_json::{Map, Value, json};

use super::StoredError;
use crate::ability::modifier;

type Fields = Map<String, Value>;
type Upcast = fn(&mut Fields) -> Result<(), StoredError>;

/// The step from each version to the next, the first version's first.
const STEPS: [Upcast; super::SCHEMA_VERSION as usize - 1] = [keep_dice, keep_expertise];

/// Takes the steps from a version, 1 to the last but one, to the present.
pub(super) fn to_present(version: i32, fields: &mut Fields) -> Result<(), StoredError> {
    let taken = usize::try_from(version - 1).unwrap_or(STEPS.len());
    STEPS.iter().skip(taken).try_for_each(|step| step(fields))
}

/// 1 to 2: the first shape was the wire's alone. What each hit die showed is found again from the maximum, so that the
/// maximum stays what it was: the first level's die in full, the others as even as that leaves.
fn keep_dice(fields: &mut Fields) -> Result<(), StoredError> {
    let integer = |value: Option<&Value>, field| {
        value.and_then(Value::as_i64).ok_or(StoredError::Impossible { field, message: "must be an integer" })
    };
    let level = integer(fields.get("level"), "level")?.clamp(1, 20);
    let maximum = integer(fields.get("max_hitpoints"), "max_hitpoints")?.clamp(1, 10_000);
    let constitution = integer(fields.get("abilities").and_then(|scores| scores.get("con")), "abilities.con")?;
    let own_modifier = modifier(i32::try_from(constitution.clamp(1, 30)).unwrap_or(10));
    let text = |field: &str| fields.get(field).and_then(Value::as_str).unwrap_or_default();
    let sides = match text("class") {
        "barbarian" => 12,
        "fighter" | "paladin" | "ranger" => 10,
        "sorcerer" | "wizard" => 6,
        _ => 8,
    };
    let toughness = i64::from(text("subrace") == "hill-dwarf");
    let dice = spread(maximum - level * (i64::from(own_modifier) + toughness), level, sides);
    fields.insert("hit_point_dice".to_owned(), json!(dice));
    fields.entry("dice_rolled").or_insert(json!(0));
    Ok(())
}

/// Dice of this many sides, one a level, that add up to `sum` where that can be.
fn spread(sum: i64, level: i64, sides: i64) -> Vec<i64> {
    let mut left = sum - sides;
    let mut dice = vec![sides];
    for levels_left in (1..level).rev() {
        let die = (left / levels_left).clamp(1, sides);
        left -= die;
        dice.push(die);
    }
    dice
}

/// 2 to 3: expertise became a part of the sheet.
fn keep_expertise(fields: &mut Fields) -> Result<(), StoredError> {
    fields.entry("expertise").or_insert(json!([]));
    Ok(())
}
