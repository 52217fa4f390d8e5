//! Skills, passive perception and initiative, at creation and on the sheet.

use crate::code;
use crate::wire::{Ability, NewCharacter, RejectionCode};

use super::book::equipped;
use super::{CATALOGUE, build_of};
use crate::{Character, Symbol, Violation, create, derive};

fn made(race: &str, class: &str, skills: Option<&[&str]>) -> Result<Character, Violation> {
    let (race, subrace) = race.split_once('/').map_or((race, None), |(race, subrace)| (race, Some(subrace)));
    let new = NewCharacter {
        name: "Somebody".to_owned(),
        race: race.to_owned(),
        subrace: subrace.map(str::to_owned),
        class: class.to_owned(),
        abilities: Ability::ALL.iter().map(|ability| (*ability, 10)).collect(),
        skills: skills.map(|skills| skills.iter().map(|skill| (*skill).to_owned()).collect()),
    };
    create(&new, &CATALOGUE)
}

#[track_caller]
fn check(race: &str, class: &str, chosen: &[&str], expected: &[&str]) {
    let character = made(race, class, Some(chosen)).expect("by the rules");
    let skills: Vec<_> = character.skills().iter().map(|skill| skill.as_str()).collect();
    assert_eq!(skills, expected, "{race} {class} {chosen:?}");
}

#[track_caller]
fn check_refused(race: &str, class: &str, chosen: &[&str]) {
    let code = made(race, class, Some(chosen)).expect_err("it was not refused").code;
    assert_eq!(code, code::INVALID_CHOICE, "{race} {class} {chosen:?}");
}

#[test]
fn a_class_limits_the_choice_of_skills() {
    check("human", "fighter", &["athletics", "perception"], &["athletics", "perception"]);
    check("human", "fighter", &[], &[]);
    check(
        "human",
        "rogue",
        &["stealth", "deception", "insight", "acrobatics"],
        &["stealth", "deception", "insight", "acrobatics"],
    );
    check("human", "bard", &["survival", "arcana", "history"], &["survival", "arcana", "history"]);
    check_refused("human", "fighter", &["athletics"]);
    check_refused("human", "fighter", &["athletics", "perception", "survival"]);
    check_refused("human", "fighter", &["athletics", "athletics"]);
    check_refused("human", "fighter", &["athletics", "arcana"]);
    check_refused("human", "fighter", &["athletics", "no-such-skill"]);
    check_refused("human", "fighter", &["skill-athletics", "skill-perception"]);
    let left_out = made("human", "fighter", None).expect("skills may be left out");
    assert!(left_out.skills().is_empty());
}

#[test]
fn some_races_add_skills() {
    check("elf/high-elf", "wizard", &["arcana", "history"], &["arcana", "history", "perception"]);
    check("elf", "fighter", &["perception", "athletics"], &["perception", "athletics"]);
    check("half-orc", "barbarian", &["athletics", "nature"], &["athletics", "nature", "intimidation"]);
    check("half-elf", "fighter", &["athletics", "survival"], &["athletics", "survival"]);
    check(
        "half-elf",
        "fighter",
        &["arcana", "athletics", "survival", "religion"],
        &["arcana", "athletics", "survival", "religion"],
    );
    check("half-elf", "fighter", &["athletics", "survival", "acrobatics"], &["athletics", "survival", "acrobatics"]);
    check_refused("half-elf", "fighter", &["arcana", "religion"]);
    check_refused("half-elf", "fighter", &["arcana", "religion", "medicine", "athletics"]);
    check_refused("half-elf", "fighter", &["athletics", "survival", "acrobatics", "history", "insight"]);
}

#[test]
fn creation_adds_the_bonuses_of_race_and_subrace() {
    let cases = [
        ("dwarf/hill-dwarf", [10, 10, 12, 10, 11, 10]),
        ("dwarf", [10, 10, 12, 10, 10, 10]),
        ("elf/high-elf", [10, 12, 10, 11, 10, 10]),
        ("halfling/lightfoot-halfling", [10, 12, 10, 10, 10, 11]),
        ("human", [11, 11, 11, 11, 11, 11]),
        ("dragonborn", [12, 10, 10, 10, 10, 11]),
        ("gnome/rock-gnome", [10, 10, 11, 12, 10, 10]),
        ("half-elf", [10, 10, 10, 10, 10, 12]),
        ("half-orc", [12, 10, 11, 10, 10, 10]),
        ("tiefling", [10, 10, 10, 11, 10, 12]),
    ];
    for (race, expected) in cases {
        let character = made(race, "cleric", None).expect("by the rules");
        assert_eq!(character.abilities().numbers(), expected, "{race}");
    }
}

#[test]
fn creation_refuses_choices_outside_the_book() {
    let refused = |race, class| made(race, class, None).expect_err("it was not refused").code;
    assert_eq!(refused("orc", "fighter"), code::INVALID_CHOICE);
    assert_eq!(refused("human", "knight"), code::INVALID_CHOICE);
    assert_eq!(refused("elf/hill-dwarf", "fighter"), code::INVALID_CHOICE);
    assert_eq!(refused("human/high-elf", "fighter"), code::INVALID_CHOICE);
    let with_score = |ability, score: Option<i64>| {
        let mut new = NewCharacter {
            name: "Somebody".to_owned(),
            race: "human".to_owned(),
            subrace: None,
            class: "fighter".to_owned(),
            abilities: Ability::ALL.iter().map(|ability| (*ability, 10)).collect(),
            skills: None,
        };
        match score {
            Some(score) => new.abilities.insert(ability, score),
            None => new.abilities.remove(&ability),
        };
        create(&new, &CATALOGUE).map_err(|refused| refused.code)
    };
    for score in [2, 19, 0, -1, i64::MIN, i64::MAX] {
        assert_eq!(with_score(Ability::Wisdom, Some(score)), Err(code::INVALID_CHOICE), "{score}");
    }
    for score in [3, 18] {
        assert!(with_score(Ability::Wisdom, Some(score)).is_ok(), "{score}");
    }
    assert_eq!(with_score(Ability::Charisma, None), Err(RejectionCode::MALFORMED));
}

#[test]
fn a_new_character_has_its_class_equipment_and_no_coins() {
    let cases = [
        ("barbarian", "explorers-pack:1 javelin:4"),
        ("bard", "leather-armor:1 dagger:1"),
        ("cleric", "shield:1"),
        ("druid", "leather-armor:1 explorers-pack:1"),
        ("fighter", ""),
        ("monk", "dart:10"),
        ("paladin", "chain-mail:1"),
        ("ranger", "longbow:1 arrow:20"),
        ("rogue", "leather-armor:1 dagger:2 thieves-tools:1"),
        ("sorcerer", "dagger:2"),
        ("warlock", "dagger:2 leather-armor:1"),
        ("wizard", "spellbook:1"),
    ];
    for (class, expected) in cases {
        let character = made("human", class, None).expect("by the rules");
        let pack = character.inventory().stacks().iter();
        let pack: Vec<_> = pack.map(|entry| format!("{}:{}", entry.item(), entry.quantity())).collect();
        assert_eq!(pack.join(" "), expected, "{class}");
        assert_eq!(character.purse().count(), 0, "{class}");
    }
}

#[track_caller]
fn check_numbers(section: &str, character: &Character, expected: &[(&str, i32)], initiative: i32, passive: i32) {
    let derived = derive(character, &CATALOGUE);
    for (skill, number) in expected {
        let found = derived.skills().iter().find(|(id, _)| id.as_str() == *skill);
        assert_eq!(found, Some(&(Symbol::new(skill), *number)), "{section}");
    }
    assert_eq!((derived.initiative(), derived.passive_perception()), (initiative, passive), "{section}");
}

#[test]
fn skill_bonuses_follow_the_book() {
    let scores = [16, 14, 10, 8, 12, 10];
    let mut fighter = equipped("human fighter", 5, scores, "");
    check_numbers("Ability Checks", &fighter, &[("athletics", 3), ("arcana", -1)], 2, 11);
    build_of(&mut fighter).skills = vec![Symbol::new("athletics"), Symbol::new("perception")];
    check_numbers("Skills: proficiency", &fighter, &[("athletics", 6), ("perception", 4), ("stealth", 2)], 2, 14);
    build_of(&mut fighter).expertise = vec![Symbol::new("perception")];
    check_numbers("Rogue: Expertise", &fighter, &[("athletics", 6), ("perception", 7)], 2, 17);
    let mut bard = equipped("human bard", 1, scores, "");
    check_numbers("Bard, level 1", &bard, &[("athletics", 3), ("acrobatics", 2)], 2, 11);
    bard = equipped("human bard", 2, scores, "");
    check_numbers("Bard: Jack of All Trades", &bard, &[("athletics", 4), ("acrobatics", 3)], 3, 12);
    bard = equipped("human bard", 17, scores, "");
    build_of(&mut bard).skills = vec![Symbol::new("athletics")];
    check_numbers("Bard: Jack of All Trades", &bard, &[("athletics", 9), ("acrobatics", 5)], 5, 14);
    let lucky = equipped("human fighter", 1, scores, "~@stone-of-good-luck-luckstone");
    check_numbers("Stone of Good Luck", &lucky, &[("athletics", 4), ("arcana", 0)], 3, 12);
}
