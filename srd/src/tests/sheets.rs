//! Worked sheets. Each names its source in SRD 5.1. Scores are the character's own, with race.
//!
//! The numbers were computed by hand from the book's tables, not with the program.

use super::book::check;

#[test]
fn sheets_without_armor_follow_the_book() {
    let part = "Armor Class";
    check(part, "human fighter", 1, [10, 10, 10, 10, 10, 10], "", "AC 10 | speed 30 | saves 2 0 2 0 0 0 | 0 lb");
    check(part, "human wizard", 1, [10, 14, 10, 16, 12, 8], "", "AC 12 | speed 30 | saves 0 2 0 5 3 -1 | 0 lb");
    check(part, "elf wizard", 1, [3, 7, 8, 11, 10, 10], "", "AC 8 | speed 30 | saves -4 -2 -1 2 2 0 | 0 lb");
    let part = "Armor: Shields";
    check(part, "human cleric", 1, [10, 12, 10, 10, 14, 10], "shield", "AC 13 | speed 30 | saves 0 1 0 0 4 2 | 6 lb");
}

#[test]
fn sheets_with_light_armor_follow_the_book() {
    let part = "Armor: Light Armor";
    let scores = [8, 16, 12, 13, 10, 14];
    check(part, "halfling rogue", 1, scores, "leather-armor", "AC 14 | speed 25 | saves -1 5 1 3 0 2 | 10 lb");
    check(
        part,
        "halfling rogue",
        1,
        scores,
        "padded-armor",
        "AC 14 | speed 25 | saves -1 5 1 3 0 2 | 8 lb | stealth_disadvantage",
    );
    let scores = [12, 20, 10, 10, 14, 8];
    check(part, "elf ranger", 5, scores, "studded-leather-armor", "AC 17 | speed 30 | saves 4 8 0 0 2 -1 | 13 lb");
    let scores = [10, 8, 10, 10, 10, 10];
    check(part, "human warlock", 1, scores, "leather-armor", "AC 10 | speed 30 | saves 0 -1 0 0 2 2 | 10 lb");
}

#[test]
fn sheets_with_medium_armor_follow_the_book() {
    let part = "Armor: Medium Armor";
    let nimble = [10, 18, 10, 10, 16, 10];
    check(part, "human druid", 1, nimble, "hide-armor", "AC 14 | speed 30 | saves 0 4 0 2 5 0 | 12 lb");
    let scores = [10, 14, 10, 10, 16, 10];
    check(part, "human cleric", 1, scores, "chain-shirt", "AC 15 | speed 30 | saves 0 2 0 0 5 2 | 20 lb");
    let clumsy = [10, 8, 10, 10, 16, 10];
    check(
        part,
        "human cleric",
        1,
        clumsy,
        "scale-mail",
        "AC 13 | speed 30 | saves 0 -1 0 0 5 2 | 45 lb | stealth_disadvantage",
    );
    let scores = [10, 12, 10, 10, 16, 10];
    check(part, "human cleric", 1, scores, "breastplate shield", "AC 17 | speed 30 | saves 0 1 0 0 5 2 | 26 lb");
    check(
        part,
        "human ranger",
        1,
        nimble,
        "half-plate-armor",
        "AC 17 | speed 30 | saves 2 6 0 0 3 0 | 40 lb | stealth_disadvantage",
    );
}

#[test]
fn sheets_with_heavy_armor_follow_the_book() {
    let part = "Armor: Heavy Armor";
    let nimble = [15, 18, 10, 10, 10, 10];
    check(
        part,
        "human fighter",
        1,
        nimble,
        "ring-mail",
        "AC 14 | speed 30 | saves 4 4 2 0 0 0 | 40 lb | stealth_disadvantage",
    );
    let weak = [12, 10, 10, 10, 10, 10];
    check(
        part,
        "human fighter",
        1,
        weak,
        "chain-mail",
        "AC 16 | speed 20 | saves 3 0 2 0 0 0 | 55 lb | stealth_disadvantage",
    );
    check(
        "Dwarf: Speed",
        "dwarf fighter",
        1,
        weak,
        "chain-mail",
        "AC 16 | speed 25 | saves 3 0 2 0 0 0 | 55 lb | stealth_disadvantage",
    );
    check(
        part,
        "human paladin",
        1,
        [15, 10, 10, 10, 10, 14],
        "splint-armor shield",
        "AC 19 | speed 30 | saves 2 0 0 0 2 4 | 66 lb | stealth_disadvantage",
    );
    check(
        part,
        "human fighter",
        1,
        [15, 6, 10, 10, 10, 10],
        "plate-armor",
        "AC 18 | speed 30 | saves 4 -2 2 0 0 0 | 65 lb | stealth_disadvantage",
    );
    check(
        part,
        "halfling fighter",
        1,
        [14, 10, 10, 10, 10, 10],
        "plate-armor",
        "AC 18 | speed 15 | saves 4 0 2 0 0 0 | 65 lb | stealth_disadvantage",
    );
}

#[test]
fn armor_without_proficiency_raises_its_flags() {
    let part = "Armor Proficiency";
    let clumsy = "armor_not_proficient strength_dexterity_disadvantage no_spellcasting";
    let scores = [14, 12, 10, 16, 10, 10];
    check(
        part,
        "human wizard",
        1,
        scores,
        "chain-mail",
        &format!("AC 16 | speed 30 | saves 2 1 0 5 2 0 | 55 lb | stealth_disadvantage {clumsy}"),
    );
    check(
        part,
        "human rogue",
        1,
        scores,
        "leather-armor shield",
        &format!("AC 14 | speed 30 | saves 2 3 0 5 0 0 | 16 lb | {clumsy}"),
    );
    let scores = [14, 12, 10, 10, 10, 10];
    check(
        part,
        "human barbarian",
        1,
        scores,
        "chain-mail",
        &format!("AC 16 | speed 30 | saves 4 1 2 0 0 0 | 55 lb | stealth_disadvantage {clumsy}"),
    );
}

#[test]
fn sheets_of_barbarians_follow_the_book() {
    let part = "Barbarian: Unarmored Defense";
    let scores = [16, 14, 16, 8, 10, 10];
    check(part, "half-orc barbarian", 1, scores, "", "AC 15 | speed 30 | saves 5 2 5 -1 0 0 | 0 lb");
    check(part, "half-orc barbarian", 1, scores, "shield", "AC 17 | speed 30 | saves 5 2 5 -1 0 0 | 6 lb");
    check(part, "half-orc barbarian", 1, scores, "hide-armor", "AC 14 | speed 30 | saves 5 2 5 -1 0 0 | 12 lb");
    let part = "Barbarian: Fast Movement";
    check(part, "half-orc barbarian", 4, scores, "", "AC 15 | speed 30 | saves 5 2 5 -1 0 0 | 0 lb");
    check(part, "half-orc barbarian", 5, scores, "", "AC 15 | speed 40 | saves 6 2 6 -1 0 0 | 0 lb");
    check(part, "half-orc barbarian", 5, scores, "chain-shirt", "AC 15 | speed 40 | saves 6 2 6 -1 0 0 | 20 lb");
    check(
        part,
        "half-orc barbarian",
        5,
        scores,
        "ring-mail",
        "AC 14 | speed 30 | saves 6 2 6 -1 0 0 | 40 lb | \
         stealth_disadvantage armor_not_proficient strength_dexterity_disadvantage no_spellcasting",
    );
}

#[test]
fn sheets_of_monks_follow_the_book() {
    let scores = [10, 16, 12, 10, 16, 8];
    let part = "Monk: Unarmored Defense";
    check(part, "human monk", 1, scores, "", "AC 16 | speed 30 | saves 2 5 1 0 3 -1 | 0 lb");
    let clumsy = "armor_not_proficient strength_dexterity_disadvantage no_spellcasting";
    check(part, "human monk", 6, scores, "shield", &format!("AC 15 | speed 30 | saves 3 6 1 0 3 -1 | 6 lb | {clumsy}"));
    check(
        part,
        "human monk",
        6,
        scores,
        "leather-armor",
        &format!("AC 14 | speed 30 | saves 3 6 1 0 3 -1 | 10 lb | {clumsy}"),
    );
    let part = "Monk: Unarmored Movement";
    for (level, speed, saves) in [
        (2, 40, "2 5 1 0 3 -1"),
        (5, 40, "3 6 1 0 3 -1"),
        (6, 45, "3 6 1 0 3 -1"),
        (10, 50, "4 7 1 0 3 -1"),
        // Diamond Soul gives proficiency in every saving throw from level 14 on.
        (14, 55, "5 8 6 5 8 4"),
        (18, 60, "6 9 7 6 9 5"),
    ] {
        check(part, "human monk", level, scores, "", &format!("AC 16 | speed {speed} | saves {saves} | 0 lb"));
    }
    check(
        "Monk: Martial Arts",
        "human monk",
        1,
        scores,
        "quarterstaff",
        "AC 16 | speed 30 | saves 2 5 1 0 3 -1 | 4 lb | quarterstaff +5 1d8+3 bludgeoning",
    );
    check(
        "Monk: Martial Arts",
        "human monk",
        11,
        scores,
        "shortsword",
        "AC 16 | speed 50 | saves 4 7 1 0 3 -1 | 2 lb | shortsword +7 1d8+3 piercing",
    );
    check(
        "Monk: Martial Arts",
        "human monk",
        5,
        scores,
        "club shield",
        &format!("AC 15 | speed 30 | saves 3 6 1 0 3 -1 | 8 lb | club +3 1d4 bludgeoning | {clumsy}"),
    );
}

#[test]
fn saving_throws_follow_the_class() {
    let scores = [16, 10, 14, 8, 12, 18];
    check("Paladin: Saving Throws", "human paladin", 5, scores, "", "AC 10 | speed 30 | saves 3 0 2 -1 4 7 | 0 lb");
    check(
        "Paladin: Aura of Protection",
        "human paladin",
        6,
        scores,
        "",
        "AC 10 | speed 30 | saves 7 4 6 3 8 11 | 0 lb",
    );
    check(
        "Paladin: Aura of Protection, at least +1",
        "human paladin",
        6,
        [10; 6],
        "",
        "AC 10 | speed 30 | saves 1 1 1 1 4 4 | 0 lb",
    );
    check("Rogue: Slippery Mind", "human rogue", 14, [10; 6], "", "AC 10 | speed 30 | saves 0 5 0 5 0 0 | 0 lb");
    check("Rogue: Slippery Mind", "human rogue", 15, [10; 6], "", "AC 10 | speed 30 | saves 0 5 0 5 5 0 | 0 lb");
    check("Proficiency Bonus", "human sorcerer", 17, [10; 6], "", "AC 10 | speed 30 | saves 0 0 6 0 0 6 | 0 lb");
}

#[test]
fn magic_armor_and_shields_follow_the_book() {
    let part = "Armor, +1, +2, or +3";
    let scores = [15, 10, 10, 10, 10, 10];
    check(
        part,
        "human fighter",
        1,
        scores,
        "plate-armor+armor-3 shield+shield-2",
        "AC 25 | speed 30 | saves 4 0 2 0 0 0 | 71 lb | stealth_disadvantage",
    );
    check(
        part,
        "elf ranger",
        1,
        [10, 18, 10, 10, 10, 10],
        "hide-armor+armor-1",
        "AC 15 | speed 30 | saves 2 6 0 0 0 0 | 12 lb",
    );
    let part = "Mithral Armor";
    check(
        part,
        "human fighter",
        1,
        [8, 10, 10, 10, 10, 10],
        "plate-armor+mithral-armor",
        "AC 18 | speed 30 | saves 1 0 2 0 0 0 | 65 lb",
    );
    check(
        part,
        "human cleric",
        1,
        [8, 14, 10, 10, 10, 10],
        "half-plate-armor+mithral-armor",
        "AC 17 | speed 30 | saves -1 2 0 0 2 2 | 40 lb",
    );
}

#[test]
fn worn_magic_counts_once_attuned() {
    let scores = [10, 14, 14, 16, 10, 10];
    let part = "Bracers of Defense";
    let who = "human wizard";
    check(part, who, 1, scores, "@bracers-of-defense", "AC 14 | speed 30 | saves 0 2 2 5 2 0 | 0 lb");
    check(part, who, 1, scores, "bracers-of-defense", "AC 12 | speed 30 | saves 0 2 2 5 2 0 | 0 lb");
    check(part, "human cleric", 1, scores, "@bracers-of-defense shield", "AC 14 | speed 30 | saves 0 2 2 3 2 2 | 6 lb");
    check(
        part,
        "human cleric",
        1,
        scores,
        "@bracers-of-defense breastplate",
        "AC 16 | speed 30 | saves 0 2 2 3 2 2 | 20 lb",
    );
    check(
        "Bracers of Defense with Unarmored Defense",
        "human monk",
        1,
        [10, 16, 10, 10, 16, 10],
        "@bracers-of-defense",
        "AC 18 | speed 30 | saves 2 5 0 0 3 0 | 0 lb",
    );
    let part = "Cloak of Protection, Ring of Protection";
    check(
        part,
        who,
        1,
        scores,
        "@cloak-of-protection @ring-of-protection",
        "AC 14 | speed 30 | saves 2 4 4 7 4 2 | 0 lb",
    );
    check(part, who, 1, scores, "~@cloak-of-protection", "AC 12 | speed 30 | saves 0 2 2 5 2 0 | 0 lb");
    check(
        "Combining Magical Effects: two of one item count once",
        who,
        1,
        scores,
        "ring-of-protection @ring-of-protection",
        "AC 13 | speed 30 | saves 1 3 3 6 3 1 | 0 lb",
    );
    let part = "Stone of Good Luck: carried is enough, attuned it must be";
    check(part, who, 1, scores, "~@stone-of-good-luck-luckstone", "AC 12 | speed 30 | saves 1 3 3 6 3 1 | 0 lb");
    check(part, who, 1, scores, "~stone-of-good-luck-luckstone", "AC 12 | speed 30 | saves 0 2 2 5 2 0 | 0 lb");
}

#[test]
fn magic_changes_ability_scores() {
    let scores = [8, 14, 12, 10, 10, 10];
    let who = "human fighter";
    check("Amulet of Health", who, 1, scores, "@amulet-of-health", "AC 12 | speed 30 | saves 1 2 6 0 0 0 | 0 lb");
    check(
        "Amulet of Health, unattuned",
        who,
        1,
        scores,
        "amulet-of-health",
        "AC 12 | speed 30 | saves 1 2 3 0 0 0 | 0 lb",
    );
    let strong = [20, 14, 12, 10, 10, 10];
    let ogre = "Gauntlets of Ogre Power";
    check(
        ogre,
        who,
        1,
        scores,
        "@gauntlets-of-ogre-power greatsword",
        "AC 12 | speed 30 | saves 6 2 3 0 0 0 | 6 lb | greatsword +6 2d6+4 slashing",
    );
    check(
        "Gauntlets of Ogre Power: no effect on the stronger",
        who,
        1,
        strong,
        "@gauntlets-of-ogre-power",
        "AC 12 | speed 30 | saves 7 2 3 0 0 0 | 0 lb",
    );
    check(
        "Gauntlets of Ogre Power carry plate",
        who,
        1,
        scores,
        "@gauntlets-of-ogre-power plate-armor",
        "AC 18 | speed 30 | saves 6 2 3 0 0 0 | 65 lb | stealth_disadvantage",
    );
    for (belt, save) in [("hill", 7), ("stone", 8), ("frost", 8), ("fire", 9), ("cloud", 10), ("storm", 11)] {
        check(
            "Belt of Giant Strength",
            who,
            1,
            scores,
            &format!("@belt-of-giant-strength-{belt}"),
            &format!("AC 12 | speed 30 | saves {save} 2 3 0 0 0 | 0 lb"),
        );
    }
    check("Belt of Dwarvenkind", who, 1, scores, "@belt-of-dwarvenkind", "AC 12 | speed 30 | saves 1 2 4 0 0 0 | 0 lb");
    let hardy = [8, 14, 19, 10, 10, 10];
    check(
        "Belt of Dwarvenkind: at most 20",
        who,
        1,
        hardy,
        "@belt-of-dwarvenkind",
        "AC 12 | speed 30 | saves 1 2 7 0 0 0 | 0 lb",
    );
    check(
        "Headband of Intellect",
        "human wizard",
        1,
        [10; 6],
        "@headband-of-intellect",
        "AC 10 | speed 30 | saves 0 0 0 6 2 0 | 0 lb",
    );
}

#[test]
fn speed_follows_race_armor_and_exhaustion() {
    let weak = [8, 10, 10, 10, 10, 10];
    let part = "Boots of Striding and Springing";
    let boots = "@boots-of-striding-and-springing";
    check(part, "dwarf fighter", 1, weak, boots, "AC 10 | speed 30 | saves 1 0 2 0 0 0 | 0 lb");
    check(
        part,
        "halfling fighter",
        1,
        weak,
        &format!("{boots} plate-armor"),
        "AC 18 | speed 30 | saves 1 0 2 0 0 0 | 65 lb | stealth_disadvantage",
    );
    check(
        "Boots of Striding and Springing with Fast Movement",
        "dwarf barbarian",
        5,
        weak,
        boots,
        "AC 10 | speed 40 | saves 2 0 3 0 0 0 | 0 lb",
    );
    let sheet = |speed| format!("AC 10 | speed {speed} | saves 1 0 2 0 0 0 | 0 lb");
    let part = "Exhaustion: Speed";
    for (levels, speed) in [(1, 30), (2, 15), (4, 15), (5, 0)] {
        check(part, "human fighter", 1, weak, &"!exhaustion ".repeat(levels), &sheet(speed));
    }
    check(part, "halfling fighter", 1, weak, "!exhaustion !exhaustion", &sheet(12));
    for condition in ["grappled", "paralyzed", "petrified", "restrained", "stunned", "unconscious"] {
        check("Conditions: Speed", "human fighter", 1, weak, &format!("!{condition}"), &sheet(0));
    }
    for condition in ["blinded", "charmed", "deafened", "frightened", "incapacitated", "invisible", "poisoned", "prone"]
    {
        check("Conditions: Speed", "human fighter", 1, weak, &format!("!{condition}"), &sheet(30));
    }
}
