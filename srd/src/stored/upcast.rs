//! Converts older schemas of a stored character to the current one, one version at a time.
//!
//! A released step never changes. It contains the facts of its time and uses no catalogue.

use serde_json::{Map, Value, json};

use crate::ability::modifier;
use castellan_game::Corrupt;

type Fields = Map<String, Value>;
type Upcast = fn(&mut Fields) -> Result<(), Corrupt>;

/// The steps from each version to the next, starting with version 1.
const STEPS: [Upcast; super::SCHEMA_VERSION as usize - 1] = [keep_dice, keep_expertise];

/// Applies all steps from an older version to the current one.
pub(super) fn to_present(version: i32, fields: &mut Fields) -> Result<(), Corrupt> {
    let taken = usize::try_from(version - 1).unwrap_or(STEPS.len());
    STEPS.iter().skip(taken).try_for_each(|step| step(fields))
}

/// 1 to 2: adds `hit_point_dice`. Reconstructs the dice from the maximum, so that the maximum stays the same: the first
/// die at its highest, the others as even as possible.
fn keep_dice(fields: &mut Fields) -> Result<(), Corrupt> {
    let integer = |value: Option<&Value>, field| {
        value.and_then(Value::as_i64).ok_or(Corrupt::Impossible { field, message: "must be an integer" })
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

/// One die per level with this many sides. They add up to `sum` if possible.
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

/// 2 to 3: adds `expertise`.
fn keep_expertise(fields: &mut Fields) -> Result<(), Corrupt> {
    fields.entry("expertise").or_insert(json!([]));
    Ok(())
}
