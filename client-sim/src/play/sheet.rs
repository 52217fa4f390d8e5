//! A character as text for people.

use std::fmt::Write;

use castellan_srd::wire::Character;

/// The state in one line.
pub(super) fn line(character: &Character) -> String {
    let mut text = format!("{}: {} of {} hit points", character.name, character.hitpoints, character.max_hitpoints);
    if character.temporary_hitpoints > 0 {
        let _ = write!(text, " and {} temporary", character.temporary_hitpoints);
    }
    if character.life != "conscious" {
        let saves = &character.death_saves;
        let _ = write!(text, ", {} (death saves {} to {})", character.life, saves.successes, saves.failures);
    }
    if !character.conditions.is_empty() {
        let _ = write!(text, ", {}", character.conditions.join(", "));
    }
    let _ = write!(text, ", armour class {}, {}", character.derived.armor_class, coins(character));
    let _ = write!(text, " [version {}]", character.version);
    text
}

/// The whole sheet.
pub(super) fn sheet(character: &Character) -> String {
    let derived = &character.derived;
    let race = character.subrace.as_ref().unwrap_or(&character.race);
    let mut text = format!(
        "{}\n  {race} {}, level {}, {} experience points\n",
        line(character),
        character.class,
        character.level,
        character.experience
    );
    let (scores, modifiers) = (&derived.abilities, &derived.modifiers);
    let abilities = [
        ("str", scores.str, modifiers.str),
        ("dex", scores.dex, modifiers.dex),
        ("con", scores.con, modifiers.con),
        ("int", scores.int, modifiers.int),
        ("wis", scores.wis, modifiers.wis),
        ("cha", scores.cha, modifiers.cha),
    ];
    let abilities: Vec<_> =
        abilities.iter().map(|(name, score, modifier)| format!("{name} {score} ({modifier:+})")).collect();
    let _ = writeln!(text, "  {}", abilities.join("  "));
    let _ = writeln!(
        text,
        "  speed {}, initiative {:+}, passive perception {}, carries {} of {} lb",
        derived.speed,
        derived.initiative,
        derived.passive_perception,
        derived.carried_weight,
        derived.carrying_capacity
    );
    for attack in &derived.attacks {
        let _ = writeln!(
            text,
            "  attack: {} {:+}, {} {}",
            attack.item, attack.attack_bonus, attack.damage, attack.damage_type
        );
    }
    for (slot, item) in &character.equipment {
        let _ = writeln!(text, "  {slot}: {item}");
    }
    let carried: Vec<_> =
        character.inventory.iter().map(|entry| format!("{} {}", entry.quantity, entry.item)).collect();
    let _ = write!(text, "  carries: {}", if carried.is_empty() { "nothing".to_owned() } else { carried.join(", ") });
    text
}

fn coins(character: &Character) -> String {
    let purse = character.currency;
    let coins = [(purse.pp, "pp"), (purse.gp, "gp"), (purse.ep, "ep"), (purse.sp, "sp"), (purse.cp, "cp")];
    let some: Vec<_> =
        coins.iter().filter(|(count, _)| *count > 0).map(|(count, coin)| format!("{count} {coin}")).collect();
    if some.is_empty() { "no coins".to_owned() } else { some.join(" ") }
}
