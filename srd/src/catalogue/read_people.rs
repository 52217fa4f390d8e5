//! Reads classes, races, traits, skills and conditions from their entries.

use crate::request::Ability;

use super::dice_text::DiceText;
use super::entry::TableReader;
use super::item::ArmorKind;
use super::people::{Choice, Class, Condition, Feature, Gifts, Gives, Race, Skill, Subrace, Training};
use super::read_items::units;
use crate::ability::{Abilities, CREATION_SCORE_MAX, LEVEL_MAX, SCORE_MAX};
use crate::symbol::Symbol;

/// Highest walking speed, in feet per round.
const SPEED_FT_MAX: i32 = 1000;
/// Most sides of a hit die: a level's result must fit a byte.
const HIT_DIE_MAX: i32 = 100;
/// Levels of spells.
const SPELL_LEVELS: usize = 9;
/// Most entries chosen from a list.
const CHOOSE_MAX: i32 = 20;

/// A trait with an effect.
#[derive(Debug)]
pub(super) struct Trait {
    pub(super) id: Symbol,
    pub(super) gifts: Gifts,
}

fn symbols(texts: Vec<&str>) -> Vec<Symbol> {
    texts.into_iter().map(Symbol::new).collect()
}

/// Reads a `[[class]]`.
pub(super) fn class(entry: &TableReader<'_>) -> Class {
    let proficiencies = entry.texts("proficiencies");
    let class = Class {
        id: entry.id(),
        name: entry.text("name").to_owned(),
        hit_die: entry.small("hit_die", 1..=HIT_DIE_MAX),
        saving_throws: entry.abilities_if_present("saving_throws"),
        training: training(&proficiencies),
        proficiencies: symbols(proficiencies),
        skills: entry.table_if_present("skills").map(|table| choice(&table)).unwrap_or_default(),
        tool_choices: entry.tables("tool_choices").iter().map(choice).collect(),
        improvement_levels: entry.integers_if_present("ability_score_improvement_levels", 2..=LEVEL_MAX),
        spellcasting_ability: entry.ability_if_present("spellcasting_ability"),
        spell_slots: spell_slots(entry),
        starting_equipment: units(entry, "starting_equipment"),
        features: features(entry),
    };
    entry.finish();
    class
}

fn training(proficiencies: &[&str]) -> Training {
    let has = |name: &str| proficiencies.contains(&name);
    let mut training =
        Training { simple: has("simple-weapons"), martial: has("martial-weapons"), ..Training::default() };
    for (kind, name) in [
        (ArmorKind::Light, "light-armor"),
        (ArmorKind::Medium, "medium-armor"),
        (ArmorKind::Heavy, "heavy-armor"),
        (ArmorKind::Shield, "shields"),
    ] {
        training.armor[kind as usize] = has(name) || (kind != ArmorKind::Shield && has("all-armor"));
    }
    training
}

fn choice(table: &TableReader<'_>) -> Choice {
    let from = symbols(table.texts("from"));
    let choose = usize::try_from(table.small("choose", 0..=CHOOSE_MAX)).unwrap_or(0);
    table.finish();
    let twice = from.iter().enumerate().find(|(index, option)| from[..*index].contains(option));
    if let Some((_, option)) = twice {
        table.complain("from", format!("lists `{option}` twice"));
    }
    if choose > from.len() {
        table.complain("choose", format!("asks for {choose} out of {} options", from.len()));
    }
    Choice { choose, from }
}

fn spell_slots(entry: &TableReader<'_>) -> Vec<Vec<i32>> {
    let Some(rows) = entry.raw("spell_slots_by_level") else { return Vec::new() };
    let row = |row| super::entry::integers(row, &(0..=9)).filter(|slots| slots.len() == SPELL_LEVELS);
    let read: Option<Vec<_>> = rows.as_array().and_then(|rows| rows.iter().map(row).collect());
    match read {
        Some(rows) if rows.len() == LEVEL_MAX as usize => rows,
        _ => {
            entry.complain("spell_slots_by_level", "must be 20 rows of 9 numbers from 0 to 9");
            Vec::new()
        }
    }
}

fn features(entry: &TableReader<'_>) -> Vec<Feature> {
    let mut features: Vec<_> = entry.tables("features").iter().filter_map(feature).collect();
    features.sort_by_key(|feature| feature.level);
    features
}

fn feature(table: &TableReader<'_>) -> Option<Feature> {
    let level = table.small("level", 1..=LEVEL_MAX);
    let unarmored = table.table_if_present("unarmored_defense").and_then(|table| {
        let ability = table.choice("ability", "an ability", Ability::from_name);
        let shield = table.flag("shield");
        table.finish();
        Some(Gives::UnarmoredDefense { ability: ability?, shield })
    });
    let martial_arts = table.text_if_present("martial_arts").and_then(|text| {
        let dice = DiceText::parse(text);
        if dice.is_none() {
            table.complain("martial_arts", "must be a die such as `1d4`");
        }
        dice.map(Gives::MartialArts)
    });
    let throws = table.abilities_if_present("saving_throws");
    let given = [
        unarmored,
        table.small_if_present("speed_without_heavy_armor_ft", 0..=SPEED_FT_MAX).map(Gives::SpeedWithoutHeavyArmor),
        table.small_if_present("speed_unarmored_ft", 0..=SPEED_FT_MAX).map(Gives::SpeedUnarmored),
        martial_arts,
        table.flag("half_proficiency").then_some(Gives::HalfProficiency),
        table.ability_if_present("adds_to_saving_throws").map(Gives::AddsToSavingThrows),
        (!throws.is_empty()).then_some(Gives::SavingThrows(throws)),
    ];
    table.finish();
    let mut given = given.into_iter().flatten();
    let (first, second) = (given.next(), given.next());
    if first.is_none() || second.is_some() {
        table.complain("", "a feature must have exactly one of the fields listed at the top of classes.toml");
    }
    Some(Feature { level, gives: first? })
}

fn bonuses(entry: &TableReader<'_>) -> Abilities {
    let mut bonuses = Abilities::default();
    if let Some(table) = entry.table_if_present("ability_bonuses") {
        let fields = [
            ("str", Ability::Strength),
            ("dex", Ability::Dexterity),
            ("con", Ability::Constitution),
            ("int", Ability::Intelligence),
            ("wis", Ability::Wisdom),
            ("cha", Ability::Charisma),
        ];
        for (field, ability) in fields {
            // The highest score at creation plus this bonus is at most 20.
            *bonuses.get_mut(ability) = table.small_if_present(field, 0..=SCORE_MAX - CREATION_SCORE_MAX).unwrap_or(0);
        }
        table.finish();
    }
    bonuses
}

/// Reads a `[[race]]`. The effects of its traits are added once all traits are known.
pub(super) fn race(entry: &TableReader<'_>) -> Race {
    let size = |name: &str| match name {
        "small" => Some(true),
        "medium" => Some(false),
        _ => None,
    };
    let race = Race {
        id: entry.id(),
        name: entry.text("name").to_owned(),
        speed_ft: entry.small("speed_ft", 0..=SPEED_FT_MAX),
        small: entry.choice("size", "`small` or `medium`", size) == Some(true),
        ability_bonuses: bonuses(entry),
        traits: symbols(entry.texts("traits")),
        ignores_armor_speed_penalty: entry.flag("ignores_armor_speed_penalty"),
        subraces: symbols(entry.texts_if_present("subraces")),
        gifts: Gifts::default(),
    };
    entry.finish();
    race
}

/// Reads a `[[subrace]]`.
pub(super) fn subrace(entry: &TableReader<'_>) -> Subrace {
    let subrace = Subrace {
        id: entry.id(),
        name: entry.text("name").to_owned(),
        race: Symbol::new(entry.text("race")),
        ability_bonuses: bonuses(entry),
        traits: symbols(entry.texts("traits")),
        gifts: Gifts::default(),
    };
    entry.finish();
    subrace
}

/// Reads a `[[trait]]`.
pub(super) fn racial_trait(entry: &TableReader<'_>) -> Trait {
    let choose = entry.small_if_present("choose_skills", 0..=CHOOSE_MAX).unwrap_or(0);
    let gifts = Gifts {
        skills: symbols(entry.texts_if_present("skills")),
        choose_skills: usize::try_from(choose).unwrap_or(0),
        hitpoints_per_level: entry.small_if_present("hitpoints_per_level", 0..=100).unwrap_or(0),
        weapon_proficiencies: symbols(entry.texts_if_present("weapon_proficiencies")),
        rerolls_ones: entry.flag("rerolls_ones"),
    };
    let id = entry.id();
    entry.finish();
    Trait { id, gifts }
}

/// Reads a `[[skill]]`.
pub(super) fn skill(entry: &TableReader<'_>) -> Skill {
    let ability = entry.choice("ability", "an ability", Ability::from_name).unwrap_or(Ability::Strength);
    let skill = Skill { id: entry.id(), name: entry.text("name").to_owned(), ability };
    entry.finish();
    skill
}

/// Reads a `[[condition]]`.
pub(super) fn condition(entry: &TableReader<'_>) -> Condition {
    let cannot_move = entry.flag("cannot_move");
    let condition = Condition { id: entry.id(), name: entry.text("name").to_owned(), cannot_move };
    entry.finish();
    condition
}
