//! Creation of characters.

use std::collections::BTreeMap;

use crate::code;
use crate::code::invalid_choice;
use crate::request::{Ability, NewCharacter};

use super::ability::{Abilities, CREATION_SCORE_MAX, CREATION_SCORE_MIN};
use super::actions::refresh_maximum;
use super::catalogue::{Catalogue, Class, Gifts, Race, Skill, Subrace};
use super::character::fields::{Build, Vitals};
use super::character::{Character, Equipment};
use super::inventory::Inventory;
use super::name;
use super::symbol::Symbol;
use castellan_game::{Violation, quote};

/// Creates a character of the first level, with the class's starting equipment and no coins.
///
/// The subrace is optional. Skills are either left out (or empty), or exactly as many as the class allows, from its
/// list, plus up to as many free choices as the race allows. The race's own skills are added; choosing one of them too
/// is allowed.
///
/// # Errors
///
/// `invalid_name`, `invalid_choice`, and `malformed` if an ability is missing.
pub fn create(new: &NewCharacter, catalogue: &Catalogue) -> Result<Character, Violation> {
    let name = name::clean(&new.name)?;
    let race = choose("race", &new.race, catalogue.races(), Race::id)?;
    let subrace = match &new.subrace {
        Some(chosen) => Some(subrace(race, chosen, catalogue)?),
        None => None,
    };
    let class = choose("class", &new.class, catalogue.classes(), Class::id)?;
    let abilities = scores(&new.abilities, race, subrace)?;
    let gifts: Vec<&Gifts> = std::iter::once(race.gifts()).chain(subrace.map(Subrace::gifts)).collect();
    let skills = skills(new.skills.as_deref().unwrap_or_default(), class, &gifts, catalogue)?;
    let mut inventory = Inventory::default();
    for (item, quantity) in class.starting_equipment() {
        inventory.add(*item, *quantity)?;
    }
    let build = Build {
        name,
        race: race.id(),
        subrace: subrace.map(Subrace::id),
        class: class.id(),
        level: 1,
        abilities,
        skills,
        expertise: Vec::new(),
        hit_point_dice: vec![u8::try_from(class.hit_die()).expect("a catalogue's hit dice have at most 100 sides")],
        conditions: Vec::new(),
        equipment: Equipment::default(),
        attuned: Vec::new(),
        inventory,
    };
    let vitals = Vitals { hit_dice: 1, ..Vitals::default() };
    let mut character = Character::new(vitals, build);
    refresh_maximum(&mut character, catalogue);
    character.vitals.hitpoints = character.vitals.max_hitpoints;
    Ok(character)
}

fn choose<'c, T>(field: &str, chosen: &str, offered: &'c [T], id: impl Fn(&T) -> Symbol) -> Result<&'c T, Violation> {
    offered
        .iter()
        .find(|entry| id(entry).as_str() == chosen)
        .ok_or_else(|| invalid_choice(format!("{field}: no such {field} `{}`; see GET /catalogue", quote(chosen))))
}

fn subrace<'c>(race: &Race, chosen: &str, catalogue: &'c Catalogue) -> Result<&'c Subrace, Violation> {
    let subrace = choose("subrace", chosen, catalogue.subraces(), Subrace::id)?;
    if race.subraces().contains(&subrace.id()) {
        return Ok(subrace);
    }
    Err(invalid_choice(format!("subrace: `{}` is not a subrace of `{}`", subrace.id(), race.id())))
}

/// The six scores with the bonuses of race and subrace.
fn scores(given: &BTreeMap<Ability, i64>, race: &Race, subrace: Option<&Subrace>) -> Result<Abilities, Violation> {
    let mut scores = Abilities::default();
    for ability in Ability::ALL {
        let Some(score) = given.get(ability) else {
            return Err(Violation::malformed(format!("abilities: `{ability}` is missing; give all six")));
        };
        let bounds = CREATION_SCORE_MIN..=CREATION_SCORE_MAX;
        let score = i32::try_from(*score).ok().filter(|score| bounds.contains(score)).ok_or_else(|| {
            let message = format!("abilities.{ability}: must be from {CREATION_SCORE_MIN} to {CREATION_SCORE_MAX}");
            invalid_choice(message)
        })?;
        let bonus = race.ability_bonuses().get(*ability);
        let subrace_bonus = subrace.map_or(0, |subrace| subrace.ability_bonuses().get(*ability));
        *scores.get_mut(*ability) = score + bonus + subrace_bonus;
    }
    Ok(scores)
}

fn skills(chosen: &[String], class: &Class, gifts: &[&Gifts], catalogue: &Catalogue) -> Result<Vec<Symbol>, Violation> {
    let mut skills = Vec::with_capacity(chosen.len());
    for name in chosen {
        let skill = choose("skill", name, catalogue.skills(), Skill::id)?.id();
        if skills.contains(&skill) {
            return Err(Violation::new(code::INVALID_CHOICE, format!("skills: `{skill}` is chosen twice")));
        }
        skills.push(skill);
    }
    let of_class = class.skills().choose();
    let of_race: usize = gifts.iter().map(|gifts| gifts.choose_skills()).sum();
    let foreign = skills.iter().filter(|skill| !class.skills().from().contains(skill)).count();
    if !skills.is_empty() && !(of_class..=of_class + of_race).contains(&skills.len()) {
        let message =
            format!("skills: choose {of_class} for the class {}, and up to {of_race} more for the race", class.id());
        return Err(invalid_choice(message));
    }
    // Skills outside the class's list count as free choices of the race.
    if foreign > skills.len().saturating_sub(of_class) {
        let from: Vec<_> = class.skills().from().iter().map(|skill| skill.as_str()).collect();
        let message = format!("skills: choose {of_class} for the class {} from {}", class.id(), from.join(", "));
        return Err(invalid_choice(message));
    }
    for skill in gifts.iter().flat_map(|gifts| gifts.skills()) {
        if !skills.contains(skill) {
            skills.push(*skill);
        }
    }
    Ok(skills)
}
