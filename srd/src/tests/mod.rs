//! Tests of the rules: worked sheets from the book, and properties of any character and any action.

mod actions;
mod arms;
mod book;
mod facts;
mod health;
mod laws;
mod mistakes;
mod properties;
mod sheets;
mod skills;
mod stored;
mod trade;
mod wearing;

use std::sync::Arc;

use crate::wire::{Ability, Action, NewCharacter, RejectionCode};

use super::character::fields::Build;
use super::{Abilities, Character, Dice, applied, create};
use crate::testing::CATALOGUE;

/// A character's build, for changes that bypass the rules.
fn build_of(character: &mut Character) -> &mut Build {
    Arc::make_mut(&mut character.build)
}

/// An action from the wire's JSON.
#[track_caller]
fn action(json: &str) -> Action {
    serde_json::from_str(json).unwrap_or_else(|error| panic!("{json}: {error}"))
}

/// A character of the first level, such as `dwarf/hill-dwarf fighter`, with these scores before race.
#[track_caller]
fn newcomer(who: &str, scores: [i64; 6]) -> Character {
    let (race, class) = who.split_once(' ').expect("a race and a class");
    let (race, subrace) = match race.split_once('/') {
        Some((race, subrace)) => (race, Some(subrace.to_owned())),
        None => (race, None),
    };
    let new = NewCharacter {
        name: "Somebody".to_owned(),
        race: race.to_owned(),
        subrace,
        class: class.to_owned(),
        abilities: Ability::ALL.iter().copied().zip(scores).collect(),
        skills: None,
    };
    create(&new, &CATALOGUE).expect("a character by the rules")
}

/// A character of any level with exactly these scores, an empty pack and average hit dice.
#[track_caller]
fn veteran(who: &str, level: i32, scores: [i32; 6]) -> Character {
    let mut character = newcomer(who, [10; 6]);
    build_of(&mut character).abilities = Abilities::new(scores);
    build_of(&mut character).inventory = super::Inventory::default();
    let average = CATALOGUE.class(character.build.class).expect("its class").hit_die() / 2 + 1;
    for _ in 1..level {
        build_of(&mut character).hit_point_dice.push(u8::try_from(average).expect("small"));
    }
    build_of(&mut character).level = level;
    character.vitals.hit_dice = level;
    super::actions::refresh_maximum(&mut character, &CATALOGUE);
    character.vitals.hitpoints = character.vitals.max_hitpoints;
    character
}

/// The character after some allowed actions, with the given dice.
#[track_caller]
fn play_with(character: &Character, actions: &[&str], dice: &[u32]) -> Character {
    let mut dice = Dice::scripted(dice);
    let mut now = character.clone();
    for json in actions {
        now = applied(&now, &action(json), &CATALOGUE, &mut dice).unwrap_or_else(|refused| panic!("{json}: {refused}"));
    }
    now
}

/// The character after some allowed actions that roll no dice.
#[track_caller]
fn play(character: &Character, actions: &[&str]) -> Character {
    play_with(character, actions, &[])
}

/// The code of an action's refusal.
#[track_caller]
fn refusal(character: &Character, json: &str) -> RejectionCode {
    match applied(character, &action(json), &CATALOGUE, &mut Dice::scripted(&[])) {
        Ok(_) => panic!("{json} was not refused"),
        Err(violation) => violation.code,
    }
}
