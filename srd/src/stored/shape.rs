//! The current schema of a stored character, with its checks.

use std::collections::BTreeMap;

use castellan_protocol::limits::QUANTITY_MAX;
use castellan_protocol::{Currency, DeathSaves, Scores, Slot};
use serde::Deserialize;

use super::StoredError;
use crate::ability::{Abilities, EXPERIENCE_MAX, LEVEL_MAX, MAGIC_SCORE_MAX};
use crate::character::{self, ATTUNED_MAX, Build, Character, EXHAUSTION_MAX, Life, SLOTS, Vitals};
use crate::inventory::{Entry, Inventory};
use crate::money::Purse;
use crate::symbol::Symbol;

/// The stored fields without the header.
#[derive(Debug, Deserialize)]
pub(super) struct Shape {
    name: String,
    race: String,
    subrace: Option<String>,
    class: String,
    level: i64,
    experience: i64,
    abilities: Scores,
    skills: Vec<String>,
    expertise: Vec<String>,
    hitpoints: i64,
    max_hitpoints: i64,
    temporary_hitpoints: i64,
    hit_dice: i64,
    hit_point_dice: Vec<u8>,
    death_saves: DeathSaves,
    life: String,
    conditions: Vec<String>,
    exhaustion: i64,
    currency: Currency,
    equipment: BTreeMap<String, String>,
    attuned: Vec<String>,
    inventory: Vec<Line>,
    dice_rolled: u64,
}

/// Units of one item.
#[derive(Debug, Deserialize)]
struct Line {
    item: String,
    quantity: i64,
}

/// Most hit points and temporary hit points in any schema version.
const HITPOINTS_MAX: i32 = 1_000_000;

const fn impossible(field: &'static str, message: &'static str) -> StoredError {
    StoredError::Impossible { field, message }
}

fn within(field: &'static str, number: i64, least: i32, most: i32) -> Result<i32, StoredError> {
    let fitting = i32::try_from(number).ok().filter(|number| (least..=most).contains(number));
    fitting.ok_or(impossible(field, "out of bounds"))
}

fn symbols(texts: &[String]) -> Vec<Symbol> {
    texts.iter().map(|text| Symbol::new(text)).collect()
}

impl Shape {
    /// Checks every field and returns the character.
    pub(super) fn into_character(self) -> Result<Character, StoredError> {
        let level = within("level", self.level, 1, LEVEL_MAX)?;
        if i64::try_from(self.hit_point_dice.len()).ok() != Some(self.level) {
            return Err(impossible("hit_point_dice", "must have one entry per level"));
        }
        if self.attuned.len() > ATTUNED_MAX {
            return Err(impossible("attuned", "has more than three entries"));
        }
        let max_hitpoints = within("max_hitpoints", self.max_hitpoints, 1, HITPOINTS_MAX)?;
        let hitpoints = within("hitpoints", self.hitpoints, 0, max_hitpoints)?;
        let life = Life::from_name(&self.life).ok_or(impossible("life", "unknown"))?;
        if (life == Life::Conscious) != (hitpoints > 0) {
            return Err(impossible("life", "contradicts the hit points"));
        }
        let Currency { cp, sp, ep, gp, pp } = self.currency;
        let build = Build {
            level,
            abilities: abilities(&self.abilities)?,
            skills: symbols(&self.skills),
            expertise: symbols(&self.expertise),
            hit_point_dice: self.hit_point_dice,
            conditions: symbols(&self.conditions),
            equipment: equipment(&self.equipment)?,
            attuned: symbols(&self.attuned),
            inventory: inventory(&self.inventory)?,
            race: Symbol::new(&self.race),
            subrace: self.subrace.as_deref().map(Symbol::new),
            class: Symbol::new(&self.class),
            name: self.name,
        };
        let vitals = Vitals {
            experience: within("experience", self.experience, 0, EXPERIENCE_MAX)?,
            hitpoints,
            max_hitpoints,
            temporary_hitpoints: within("temporary_hitpoints", self.temporary_hitpoints, 0, HITPOINTS_MAX)?,
            hit_dice: within("hit_dice", self.hit_dice, 0, level)?,
            death_saves: character::DeathSaves {
                successes: within("death_saves.successes", self.death_saves.successes, 0, 3)?,
                failures: within("death_saves.failures", self.death_saves.failures, 0, 3)?,
            },
            life,
            exhaustion: within("exhaustion", self.exhaustion, 0, EXHAUSTION_MAX)?,
            purse: Purse::from_coins([cp, sp, ep, gp, pp]).ok_or(impossible("currency", "out of bounds"))?,
            dice_rolled: self.dice_rolled,
        };
        Ok(Character::new(vitals, build))
    }
}

fn abilities(scores: &Scores) -> Result<Abilities, StoredError> {
    let score = |number| within("abilities", number, 1, MAGIC_SCORE_MAX);
    let Scores { str, dex, con, int, wis, cha } = *scores;
    Ok(Abilities::new([score(str)?, score(dex)?, score(con)?, score(int)?, score(wis)?, score(cha)?]))
}

fn equipment(worn: &BTreeMap<String, String>) -> Result<[Option<Symbol>; SLOTS], StoredError> {
    let mut equipment = [None; SLOTS];
    for (slot, item) in worn {
        let slot = Slot::from_name(slot).ok_or(impossible("equipment", "has an unknown slot"))?;
        equipment[slot as usize] = Some(Symbol::new(item));
    }
    Ok(equipment)
}

fn inventory(lines: &[Line]) -> Result<Inventory, StoredError> {
    const MOST: i32 = QUANTITY_MAX as i32;
    let entry = |line: &Line| -> Result<Entry, StoredError> {
        let quantity = within("inventory", line.quantity, 1, MOST)?;
        Ok(Entry { item: Symbol::new(&line.item), quantity })
    };
    Ok(Inventory::from_entries(lines.iter().map(entry).collect::<Result<_, _>>()?))
}
