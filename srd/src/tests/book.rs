//! Sheets as single lines of text, so that their table reads like the rule book.

use super::{CATALOGUE, play, veteran};
use crate::wire::Ability;
use crate::{Character, Derived, derive};

/// A character with a kit: `item` is worn, `@item` worn and attuned, `~item` carried, `~item:20` carried 20 times,
/// `~@item` carried and attuned, `$gp:5` coins, `!condition` a condition.
#[track_caller]
pub(super) fn equipped(who: &str, level: i32, scores: [i32; 6], kit: &str) -> Character {
    let mut character = veteran(who, level, scores);
    for token in kit.split_whitespace() {
        let (name, quantity) = token.rsplit_once(':').unwrap_or((token, "1"));
        if let Some(coin) = name.strip_prefix('$') {
            character = play(&character, &[&format!(r#"{{"modify_currency": {{"{coin}": {quantity}}}}}"#)]);
            continue;
        }
        if let Some(condition) = name.strip_prefix('!') {
            character = play(&character, &[&format!(r#"{{"add_condition": {{"condition": "{condition}"}}}}"#)]);
            continue;
        }
        let item = name.trim_start_matches(['~', '@']);
        let mut actions = vec![format!(r#"{{"add_item": {{"item": "{item}", "quantity": {quantity}}}}}"#)];
        if !name.starts_with('~') {
            actions.push(format!(r#"{{"equip_item": {{"item": "{item}"}}}}"#));
        }
        if name.contains('@') {
            actions.push(format!(r#"{{"attune": {{"item": "{item}"}}}}"#));
        }
        let actions: Vec<_> = actions.iter().map(String::as_str).collect();
        character = play(&character, &actions);
    }
    character
}

/// `AC 18 | speed 25 | saves 5 1 4 -1 1 0 | 64 lb | longsword +6 1d8+4 slashing | stealth_disadvantage`.
pub(super) fn line(derived: &Derived) -> String {
    let saves = Ability::ALL.iter().map(|ability| derived.saving_throws().get(*ability).to_string());
    let mut parts = vec![
        format!("AC {}", derived.armor_class()),
        format!("speed {}", derived.speed()),
        format!("saves {}", saves.collect::<Vec<_>>().join(" ")),
        format!("{} lb", derived.carried_weight()),
    ];
    parts.extend(derived.attacks().iter().map(|attack| {
        let (damage, bonus) = (attack.damage(), attack.attack_bonus());
        format!("{} {bonus:+} {} {}", attack.item(), damage.as_str(), attack.damage_type())
    }));
    let flags: Vec<_> = derived.flags().iter().map(|flag| flag.as_str()).collect();
    if !flags.is_empty() {
        parts.push(flags.join(" "));
    }
    parts.join(" | ")
}

/// Compares the derived sheet of a character with the line from the book.
#[track_caller]
pub(super) fn check(section: &str, who: &str, level: i32, scores: [i32; 6], kit: &str, expected: &str) {
    let derived = derive(&equipped(who, level, scores, kit), &CATALOGUE);
    assert_eq!(line(&derived), expected, "{section}: {who} {level} {scores:?} with `{kit}`");
}
