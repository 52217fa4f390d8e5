//! Worked sheets of weapons and loads. Each names its source in SRD 5.1. Scores are the character's own, with race.

use super::book::check;

#[test]
fn attacks_with_one_weapon_follow_the_book() {
    let strong = [16, 12, 10, 10, 10, 10];
    let nimble = [10, 16, 10, 10, 10, 10];
    let attack = |part, who, scores: [i32; 6], kit, expected: &str| {
        let derived = crate::derive(&super::book::equipped(who, 1, scores, kit), &super::CATALOGUE);
        let line = super::book::line(&derived);
        let attacks = line.split(" lb").nth(1).expect("a weight").trim_start_matches(" | ");
        assert_eq!(attacks, expected, "{part}: {who} {scores:?} with `{kit}`");
    };
    let fighter = "human fighter";
    attack("Weapons: melee", fighter, strong, "mace", "mace +5 1d6+3 bludgeoning");
    attack("Weapons: two-handed", fighter, strong, "greataxe", "greataxe +5 1d12+3 slashing");
    attack("Weapons: versatile, two hands", fighter, strong, "longsword", "longsword +5 1d10+3 slashing");
    attack("Weapons: versatile, one hand", fighter, strong, "longsword shield", "longsword +5 1d8+3 slashing");
    attack("Weapons: finesse", fighter, strong, "rapier", "rapier +5 1d8+3 piercing");
    attack("Weapons: finesse", fighter, nimble, "rapier", "rapier +5 1d8+3 piercing");
    attack("Weapons: ranged", fighter, nimble, "longbow", "longbow +5 1d8+3 piercing");
    attack("Weapons: ranged", fighter, strong, "crossbow-heavy", "crossbow-heavy +3 1d10+1 piercing");
    attack("Weapons: thrown is strength", fighter, nimble, "javelin", "javelin +2 1d6 piercing");
    attack("Weapons: thrown and finesse", fighter, nimble, "dart", "dart +5 1d4+3 piercing");
    attack("Weapons: blowgun", fighter, nimble, "blowgun", "blowgun +5 1+3 piercing");
    attack("Weapons: net", fighter, nimble, "net", "net +5 0 none");
    attack("Weapons: reach", fighter, strong, "glaive", "glaive +5 1d10+3 slashing");
    attack("Weapons: weakness", fighter, [6, 10, 10, 10, 10, 10], "club", "club +0 1d4-2 bludgeoning");
    attack("Weapon Proficiency: none", "human wizard", strong, "longsword", "longsword +3 1d10+3 slashing");
    attack("Weapon Proficiency: by name", "human wizard", strong, "quarterstaff", "quarterstaff +5 1d8+3 bludgeoning");
    attack("Weapon Proficiency: by name", "human rogue", nimble, "crossbow-hand", "crossbow-hand +5 1d6+3 piercing");
    attack(
        "Weapon Proficiency: by name",
        "human sorcerer",
        nimble,
        "crossbow-light",
        "crossbow-light +5 1d8+3 piercing",
    );
    attack("Weapon Proficiency: martial", "human cleric", strong, "warhammer shield", "warhammer +3 1d8+3 bludgeoning");
    attack("Dwarven Combat Training", "dwarf cleric", strong, "warhammer shield", "warhammer +5 1d8+3 bludgeoning");
    attack("Elf Weapon Training", "elf/high-elf wizard", strong, "longsword", "longsword +5 1d10+3 slashing");
    attack("Elf Weapon Training: high elves only", "elf wizard", strong, "longsword", "longsword +3 1d10+3 slashing");
    attack("Weapon, +1, +2, or +3", fighter, strong, "longsword+weapon-2", "longsword+weapon-2 +7 1d10+5 slashing");
    attack(
        "Weapons: heavy in small hands",
        "halfling fighter",
        strong,
        "greatsword",
        "greatsword +5 2d6+3 slashing | heavy_weapon_disadvantage",
    );
}

#[test]
fn attacks_with_two_weapons_follow_the_book() {
    let part = "Two-Weapon Fighting";
    let scores = [10, 16, 10, 10, 10, 10];
    check(
        part,
        "human rogue",
        1,
        scores,
        "shortsword dagger",
        "AC 13 | speed 30 | saves 0 5 0 2 0 0 | 3 lb | shortsword +5 1d6+3 piercing | dagger +5 1d4 piercing",
    );
    check(
        "Two-Weapon Fighting: a modifier below 0 counts",
        "human fighter",
        1,
        [6, 6, 10, 10, 10, 10],
        "club light-hammer",
        "AC 8 | speed 30 | saves 0 -2 2 0 0 0 | 4 lb | club +0 1d4-2 bludgeoning | light-hammer +0 1d4-2 bludgeoning",
    );
    check(
        "Two-Weapon Fighting: not with a longsword, which is not light",
        "human fighter",
        1,
        [16, 10, 10, 10, 10, 10],
        "longsword handaxe",
        "AC 10 | speed 30 | saves 5 0 2 0 0 0 | 5 lb | longsword +5 1d8+3 slashing | handaxe +5 1d6+3 slashing",
    );
    check(
        "Two-Weapon Fighting with magic",
        "human rogue",
        1,
        scores,
        "dagger+weapon-1 dagger+weapon-3",
        "AC 13 | speed 30 | saves 0 5 0 2 0 0 | 2 lb | \
         dagger+weapon-1 +6 1d4+4 piercing | dagger+weapon-3 +8 1d4+3 piercing",
    );
}

#[test]
fn carried_weight_adds_up() {
    let who = "human fighter";
    let sheet = |weight: &str| format!("AC 10 | speed 30 | saves 2 0 2 0 0 0 | {weight}");
    check("Equipment Packs", who, 1, [10; 6], "~explorers-pack", &sheet("59 lb"));
    check("Equipment Packs", who, 1, [10; 6], "~burglars-pack", &sheet("47.5 lb"));
    check("Adventuring Gear: Ammunition", who, 1, [10; 6], "~arrow:30", &sheet("1.5 lb"));
    check("Adventuring Gear: Ammunition", who, 1, [10; 6], "~crossbow-bolt:1", &sheet("0.075 lb"));
    check("Adventuring Gear: Ammunition", who, 1, [10; 6], "~blowgun-needle:50 ~sling-bullet:20", &sheet("2.5 lb"));
    check("Coinage: 50 coins a pound", who, 1, [10; 6], "$gp:42 $sp:5", &sheet("0.94 lb"));
    check("Weapons", who, 1, [10; 6], "~dart:10 ~net", &sheet("5.5 lb"));
}

#[test]
fn loads_above_the_capacity_raise_flags() {
    let who = "human fighter";
    let part = "Lifting and Carrying";
    let sheet = |weight: &str| format!("AC 10 | speed 30 | saves 2 0 2 0 0 0 | {weight}");
    check(part, who, 1, [10; 6], "~chain-10-feet:15", &sheet("150 lb"));
    check(part, who, 1, [10; 6], "~chain-10-feet:15 ~dart:1", &sheet("150.25 lb | over_capacity"));
    check(part, who, 1, [10; 6], "~chain-10-feet:30", &sheet("300 lb | over_capacity"));
    check(part, who, 1, [10; 6], "~chain-10-feet:30 $cp:1", &sheet("300.02 lb | over_capacity immovable"));
}
