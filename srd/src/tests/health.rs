//! Hit points, dying, resting, levels.

use crate::code;
use crate::wire::RejectionCode;

use super::book::equipped;
use super::{CATALOGUE, newcomer, play, play_with, refusal, veteran};
use crate::{Character, Life};

/// `20/31 +5 conscious`: current, maximum and temporary hit points, life; for the dying also the saves: `dying 1:2`.
fn state(character: &Character) -> String {
    let temporary = match character.temporary_hitpoints() {
        0 => String::new(),
        more => format!(" +{more}"),
    };
    let saves = match character.death_saves() {
        saves if saves == Default::default() => String::new(),
        saves => format!(" {}:{}", saves.successes(), saves.failures()),
    };
    let (now, most, life) = (character.hitpoints(), character.max_hitpoints(), character.life().as_str());
    format!("{now}/{most}{temporary} {life}{saves}")
}

fn hit(delta: i64) -> String {
    format!(r#"{{"modify_hitpoints": {{"delta": {delta}}}}}"#)
}

#[track_caller]
fn check(section: &str, start: &Character, actions: &[&str], dice: &[u32], expected: &str) {
    assert_eq!(state(&play_with(start, actions, dice)), expected, "{section}: {actions:?}");
}

const SAVE: &str = r#"{"roll_death_save": {}}"#;
const CRITICAL: &str = r#"{"modify_hitpoints": {"delta": -1, "critical": true}}"#;

#[test]
fn a_new_character_has_the_hit_points_of_the_book() {
    let cases = [
        ("human barbarian", 12),
        ("human wizard", 6),
        ("human fighter", 10),
        ("human monk", 8),
        ("dwarf/hill-dwarf fighter", 12),
        ("dwarf fighter", 11),
    ];
    for (who, expected) in cases {
        let character = newcomer(who, [10; 6]);
        assert_eq!((character.hitpoints(), character.max_hitpoints()), (expected, expected), "{who}");
    }
    assert_eq!(newcomer("elf wizard", [10, 10, 3, 10, 10, 10]).max_hitpoints(), 2);
    // At least 1 per level.
    assert_eq!(veteran("elf wizard", 20, [10, 10, 1, 10, 10, 10]).max_hitpoints(), 20);
}

#[test]
fn damage_and_healing_follow_the_book() {
    let fighter = veteran("human fighter", 3, [10, 10, 14, 10, 10, 10]);
    assert_eq!(state(&fighter), "28/28 conscious");
    check("Damage", &fighter, &[&hit(-10)], &[], "18/28 conscious");
    check("Healing", &fighter, &[&hit(-10), &hit(4)], &[], "22/28 conscious");
    check("Healing: never above the maximum", &fighter, &[&hit(-10), &hit(400)], &[], "28/28 conscious");
    check("Dropping to 0 Hit Points", &fighter, &[&hit(-28)], &[], "0/28 dying");
    check("Instant Death: one short of it", &fighter, &[&hit(-55)], &[], "0/28 dying");
    check("Instant Death", &fighter, &[&hit(-56)], &[], "0/28 dead");
    check("Instant Death: no number is too large", &fighter, &[&hit(-9_007_199_254_740_991)], &[], "0/28 dead");
    check("Healing wakes", &fighter, &[&hit(-28), &hit(1)], &[], "1/28 conscious");
    assert_eq!(refusal(&fighter, &hit(0)), RejectionCode::MALFORMED);
}

#[test]
fn temporary_hit_points_follow_the_book() {
    let fighter = veteran("human fighter", 3, [10, 10, 14, 10, 10, 10]);
    let grant = |amount: i64| format!(r#"{{"grant_temporary_hitpoints": {{"amount": {amount}}}}}"#);
    let part = "Temporary Hit Points";
    check(part, &fighter, &[&grant(5)], &[], "28/28 +5 conscious");
    check(part, &fighter, &[&grant(5), &grant(3)], &[], "28/28 +5 conscious");
    check(part, &fighter, &[&grant(5), &grant(8)], &[], "28/28 +8 conscious");
    check(part, &fighter, &[&grant(5), &hit(-7)], &[], "26/28 conscious");
    check(part, &fighter, &[&grant(5), &hit(-3), &hit(10)], &[], "28/28 +2 conscious");
    check(part, &fighter, &[&grant(5), &hit(-60)], &[], "0/28 dying");
    check(part, &fighter, &[&grant(5), &hit(-61)], &[], "0/28 dead");
    check("They wake nobody", &fighter, &[&hit(-28), &grant(5)], &[], "0/28 +5 dying");
    check("They absorb damage at 0", &fighter, &[&hit(-28), &grant(5), &hit(-5)], &[], "0/28 dying");
    check("What is left over at 0 counts", &fighter, &[&hit(-28), &grant(5), &hit(-6)], &[], "0/28 dying 0:1");
    check("A long rest ends them", &fighter, &[&grant(5), r#"{"long_rest": {}}"#], &[], "28/28 conscious");
    assert_eq!(refusal(&fighter, &grant(0)), RejectionCode::MALFORMED);
    assert_eq!(refusal(&fighter, &grant(1_000_001)), RejectionCode::LIMIT_EXCEEDED);
}

#[test]
fn death_saves_follow_the_book() {
    let fighter = veteran("human fighter", 3, [10, 10, 14, 10, 10, 10]);
    let down = play(&fighter, &[&hit(-28)]);
    let part = "Death Saving Throws";
    check(part, &down, &[SAVE], &[10], "0/28 dying 1:0");
    check(part, &down, &[SAVE], &[9], "0/28 dying 0:1");
    check(part, &down, &[SAVE], &[1], "0/28 dying 0:2");
    check(part, &down, &[SAVE], &[20], "1/28 conscious");
    check(part, &down, &[SAVE, SAVE, SAVE], &[10, 15, 19], "0/28 stable");
    check(part, &down, &[SAVE, SAVE, SAVE], &[9, 15, 1], "0/28 dead 1:3");
    check(part, &down, &[SAVE, SAVE, SAVE, SAVE, SAVE], &[2, 15, 10, 3, 12], "0/28 stable");
    check("Damage at 0 Hit Points", &down, &[&hit(-1)], &[], "0/28 dying 0:1");
    check("Damage at 0 Hit Points: critical", &down, &[CRITICAL], &[], "0/28 dying 0:2");
    check("Damage at 0 Hit Points: critical", &down, &[CRITICAL, CRITICAL], &[], "0/28 dead 0:3");
    check("Damage at 0 Hit Points: the maximum kills", &down, &[&hit(-28)], &[], "0/28 dead");
    check("Healing resets the saves", &down, &[SAVE, &hit(5), &hit(-5)], &[5], "0/28 dying");
    check("Stabilizing a Creature", &down, &[SAVE, r#"{"stabilize": {}}"#], &[5], "0/28 stable");
    check("Stable, then hurt", &down, &[r#"{"stabilize": {}}"#, &hit(-2)], &[], "0/28 dying 0:1");
    for start in [&fighter, &play(&down, &[r#"{"stabilize": {}}"#])] {
        assert_eq!(refusal(start, SAVE), code::NOT_DYING);
        assert_eq!(refusal(start, r#"{"stabilize": {}}"#), code::NOT_DYING);
    }
}

#[test]
fn magic_and_luck_help_death_saves() {
    let fighter = equipped("human fighter", 3, [10, 10, 14, 10, 10, 10], "@cloak-of-protection");
    let down = play(&fighter, &[&hit(-28)]);
    check("Cloak of Protection", &down, &[SAVE], &[9], "0/28 dying 1:0");
    check("Cloak of Protection", &down, &[SAVE], &[8], "0/28 dying 0:1");
    check("Cloak of Protection: a 1 is a 1", &down, &[SAVE], &[1], "0/28 dying 0:2");
    check("Cloak of Protection: 20 is what the die shows", &down, &[SAVE], &[19], "0/28 dying 1:0");
    let halfling = play(&veteran("halfling fighter", 1, [10; 6]), &[&hit(-10)]);
    check("Halfling: Lucky", &halfling, &[SAVE], &[1, 12], "0/10 dying 1:0");
    check("Halfling: Lucky, once", &halfling, &[SAVE], &[1, 1], "0/10 dying 0:2");
}

#[test]
fn the_dead_can_only_be_revived_or_renamed() {
    let dead = play(&veteran("human fighter", 3, [10, 10, 14, 10, 10, 10]), &[&hit(-56)]);
    for action in [
        hit(5).as_str(),
        hit(-5).as_str(),
        SAVE,
        r#"{"stabilize": {}}"#,
        r#"{"long_rest": {}}"#,
        r#"{"short_rest": {"hit_dice": 0}}"#,
        r#"{"add_item": {"item": "club", "quantity": 1}}"#,
        r#"{"modify_currency": {"gp": 1}}"#,
        r#"{"gain_experience": {"amount": 1}}"#,
        r#"{"add_condition": {"condition": "prone"}}"#,
        // Even an action that makes no sense.
        r#"{"modify_hitpoints": {"delta": 0}}"#,
    ] {
        assert_eq!(refusal(&dead, action), code::DEAD, "{action}");
    }
    assert_eq!(play(&dead, &[r#"{"rename": {"name": "Ghost"}}"#]).name(), "Ghost");
    check("Revival", &dead, &[r#"{"revive": {"hitpoints": 1}}"#], &[], "1/28 conscious");
    check("Revival: never above the maximum", &dead, &[r#"{"revive": {"hitpoints": 999}}"#], &[], "28/28 conscious");
    assert_eq!(refusal(&dead, r#"{"revive": {"hitpoints": 0}}"#), RejectionCode::MALFORMED);
    assert_eq!(refusal(&dead, r#"{"revive": {"hitpoints": 1000001}}"#), RejectionCode::LIMIT_EXCEEDED);
    let alive = veteran("human fighter", 3, [10; 6]);
    assert_eq!(refusal(&alive, r#"{"revive": {"hitpoints": 1}}"#), code::INVALID_CHOICE);
}

#[test]
fn death_ends_attunement() {
    let scores = [10, 10, 10, 10, 10, 10];
    let fighter = equipped("human fighter", 3, scores, "@amulet-of-health");
    assert_eq!(fighter.max_hitpoints(), 34);
    let dead = play(&fighter, &[&hit(-500)]);
    assert_eq!((dead.attuned().len(), dead.max_hitpoints()), (0, 22));
}

#[test]
fn the_sixth_level_of_exhaustion_kills() {
    let fighter = veteran("human fighter", 3, [10, 10, 14, 10, 10, 10]);
    let tire = r#"{"add_condition": {"condition": "exhaustion"}}"#;
    let rest = r#"{"remove_condition": {"condition": "exhaustion"}}"#;
    check("Exhaustion, level 3", &fighter, &[tire; 3], &[], "28/28 conscious");
    check("Exhaustion, level 4: half the maximum", &fighter, &[tire; 4], &[], "14/14 conscious");
    check(
        "Exhaustion: nobody is healed by rest from it",
        &fighter,
        &[tire, tire, tire, tire, rest],
        &[],
        "14/28 conscious",
    );
    check("Exhaustion, level 6", &fighter, &[tire; 6], &[], "0/14 dead");
    let dead = play(&fighter, &[tire; 6]);
    assert_eq!((dead.exhaustion(), dead.conditions().len()), (6, 0));
    let revived = play(&dead, &[r#"{"revive": {"hitpoints": 5}}"#]);
    assert_eq!((state(&revived).as_str(), revived.exhaustion()), ("5/14 conscious", 5));
    assert_eq!(refusal(&fighter, rest), code::INVALID_CHOICE);
}

#[test]
fn rests_follow_the_book() {
    let fighter = veteran("human fighter", 5, [10, 10, 14, 10, 10, 10]);
    assert_eq!(state(&fighter), "44/44 conscious");
    let short = |dice: i64| format!(r#"{{"short_rest": {{"hit_dice": {dice}}}}}"#);
    let long = r#"{"long_rest": {}}"#;
    check("Short Rest", &fighter, &[&hit(-30), &short(2)], &[4, 7], "29/44 conscious");
    check("Short Rest: nothing to spend", &fighter, &[&hit(-30), &short(0)], &[], "14/44 conscious");
    check("Long Rest", &fighter, &[&hit(-30), long], &[], "44/44 conscious");
    let spent = play_with(&fighter, &[&hit(-30), &short(5)], &[1, 1, 1, 1, 1]);
    assert_eq!((spent.hit_dice(), spent.hitpoints()), (0, 29));
    assert_eq!(refusal(&spent, &short(1)), code::NO_HIT_DICE);
    assert_eq!(refusal(&fighter, &short(6)), code::NO_HIT_DICE);
    assert_eq!(refusal(&fighter, &short(9_007_199_254_740_991)), code::NO_HIT_DICE);
    assert_eq!(refusal(&fighter, &short(-1)), RejectionCode::MALFORMED);
    // Half the dice, rounded down, at least one.
    assert_eq!(play(&spent, &[long]).hit_dice(), 2);
    assert_eq!(play(&spent, &[long, long, long]).hit_dice(), 5);
    let novice = play_with(&veteran("human fighter", 1, [10; 6]), &[&short(1)], &[1]);
    assert_eq!(play(&novice, &[long]).hit_dice(), 1);
    // A bad constitution never makes a hit die do damage.
    let frail = veteran("human wizard", 2, [10, 10, 4, 10, 10, 10]);
    check("Short Rest: at least 0", &frail, &[&hit(-1), &short(1)], &[2], "3/4 conscious");
    let tired = equipped("human fighter", 5, [10, 10, 14, 10, 10, 10], "!exhaustion !exhaustion");
    assert_eq!(play(&tired, &[long]).exhaustion(), 1);
}

#[test]
fn a_dying_character_cannot_rest() {
    let down = play(&veteran("human fighter", 3, [10, 10, 14, 10, 10, 10]), &[&hit(-28)]);
    assert_eq!(refusal(&down, r#"{"long_rest": {}}"#), code::INVALID_CHOICE);
    assert_eq!(refusal(&down, r#"{"short_rest": {"hit_dice": 1}}"#), code::INVALID_CHOICE);
    let stable = play(&down, &[r#"{"stabilize": {}}"#]);
    assert_eq!(refusal(&stable, r#"{"long_rest": {}}"#), code::INVALID_CHOICE);
    check("A stable one may", &stable, &[r#"{"short_rest": {"hit_dice": 1}}"#], &[6], "8/28 conscious");
}

#[test]
fn levels_follow_the_book() {
    let gain = |amount: i64| format!(r#"{{"gain_experience": {{"amount": {amount}}}}}"#);
    let average = r#"{"level_up": {"hitpoints": "average"}}"#;
    let roll = r#"{"level_up": {"hitpoints": "roll"}}"#;
    let novice = veteran("human fighter", 1, [10, 10, 14, 10, 10, 10]);
    assert_eq!(refusal(&novice, average), code::NOT_ENOUGH_EXPERIENCE);
    let ready = play(&novice, &[&gain(299)]);
    assert_eq!(refusal(&ready, average), code::NOT_ENOUGH_EXPERIENCE);
    let ready = play(&ready, &[&gain(1)]);
    check("Beyond 1st Level: the average, rounded up", &ready, &[average], &[], "12/20 conscious");
    check("Beyond 1st Level: a roll", &ready, &[roll], &[3], "12/17 conscious");
    let second = play(&ready, &[average]);
    assert_eq!((second.level(), second.hit_dice(), second.hit_point_dice()), (2, 2, &[10, 6][..]));
    assert_eq!(refusal(&second, average), code::NOT_ENOUGH_EXPERIENCE);
    for amount in [0, -5] {
        assert_eq!(refusal(&novice, &gain(amount)), RejectionCode::MALFORMED);
    }
    assert_eq!(refusal(&novice, &gain(2_000_000_001)), RejectionCode::LIMIT_EXCEEDED);
    let rich = play(&novice, &[&gain(2_000_000_000)]);
    assert_eq!(refusal(&rich, &gain(1)), RejectionCode::LIMIT_EXCEEDED);
    let mut old = rich;
    while old.level() < 20 {
        let needed = CATALOGUE.class(old.class()).expect("its class").improves_at(old.level() + 1);
        let plain = [r#"{"level_up": {"hitpoints": "average", "abilities": {"str": 1, "dex": 1}}}"#, average];
        old = play(&old, &[plain[usize::from(!needed)]]);
    }
    // 10 + 2, and nineteen times 6 + 2.
    assert_eq!((old.max_hitpoints(), old.abilities().numbers()), (164, [17, 17, 14, 10, 10, 10]));
    assert_eq!(refusal(&old, average), RejectionCode::LIMIT_EXCEEDED);
}

#[test]
fn an_improvement_adds_two_points_up_to_twenty() {
    let mut third = veteran("human fighter", 3, [19, 10, 15, 10, 10, 10]);
    third.vitals.experience = 1_000_000;
    let level_up = |abilities: &str| format!(r#"{{"level_up": {{"hitpoints": "average", "abilities": {abilities}}}}}"#);
    let scores = |abilities: &str| play(&third, &[&level_up(abilities)]).abilities().numbers();
    assert_eq!(scores(r#"{"dex": 2}"#), [19, 12, 15, 10, 10, 10]);
    assert_eq!(scores(r#"{"str": 1, "wis": 1}"#), [20, 10, 15, 10, 11, 10]);
    for wrong in [
        r#"{"str": 2}"#,
        r#"{"dex": 1}"#,
        r#"{"dex": 3}"#,
        r#"{"dex": 2, "wis": 1}"#,
        r#"{"dex": 2, "wis": 0}"#,
        r#"{"dex": 3, "wis": -1}"#,
        r#"{"dex": 1, "wis": 1, "cha": 1}"#,
        "{}",
    ] {
        assert_eq!(refusal(&third, &level_up(wrong)), code::INVALID_CHOICE, "{wrong}");
    }
    assert_eq!(refusal(&third, r#"{"level_up": {"hitpoints": "average"}}"#), code::INVALID_CHOICE);
    // A better constitution counts for every level: 3 before, 4 now, and the new level's 6.
    assert_eq!(third.max_hitpoints(), 28);
    assert_eq!(play(&third, &[&level_up(r#"{"con": 1, "dex": 1}"#)]).max_hitpoints(), 10 + 6 * 3 + 3 * 4);
    let mut second = veteran("human fighter", 2, [10; 6]);
    second.vitals.experience = 1_000_000;
    assert_eq!(refusal(&second, &level_up(r#"{"dex": 2}"#)), code::INVALID_CHOICE);
    assert_eq!(play(&second, &[&level_up("{}")]).level(), 3);
}

#[test]
fn a_character_with_all_scores_at_the_limit_still_gains_levels() {
    let mut third = veteran("human fighter", 3, [20, 20, 20, 20, 20, 19]);
    third.vitals.experience = 1_000_000;
    let level_up = |abilities: &str| format!(r#"{{"level_up": {{"hitpoints": "average", "abilities": {abilities}}}}}"#);
    assert_eq!(refusal(&third, &level_up("{}")), code::INVALID_CHOICE);
    let fourth = play(&third, &[&level_up(r#"{"cha": 1}"#)]);
    let mut fifth = play(&fourth, &[r#"{"level_up": {"hitpoints": "average"}}"#]);
    fifth = play(&fifth, &[r#"{"level_up": {"hitpoints": "average"}}"#]);
    assert_eq!((fifth.level(), fifth.life()), (6, Life::Conscious));
}

#[test]
fn a_constitution_from_magic_changes_the_maximum() {
    let fighter = equipped("human fighter", 4, [10; 6], "@amulet-of-health");
    assert_eq!(state(&fighter), "28/44 conscious");
    let full = play(&fighter, &[&hit(100)]);
    let bare = play(&full, &[r#"{"unequip_item": {"slot": "neck"}}"#]);
    assert_eq!(state(&bare), "28/28 conscious");
    check(
        "and the amulet's hit points are gone",
        &bare,
        &[r#"{"equip_item": {"item": "amulet-of-health"}}"#],
        &[],
        "28/44 conscious",
    );
    check("Attunement", &full, &[r#"{"end_attunement": {"item": "amulet-of-health"}}"#], &[], "28/28 conscious");
}
