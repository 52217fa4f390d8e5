//! The character.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use castellan_game::Touched;

use crate::request::Slot;

use super::ability::Abilities;
use super::catalogue::Catalogue;
use super::inventory::Inventory;
use super::money::Purse;
use super::symbol::Symbol;

pub(crate) mod fields;

use fields::{Build, Vitals};

/// Number of slots.
pub const SLOTS: usize = 13;

const _: () = assert!(Slot::ALL.len() == SLOTS, "one slot for each slot of the wire");

/// Most conditions of a character at a time: far more than any game needs.
pub const CONDITIONS_MAX: usize = 64;

/// Most items that a character may be attuned to. Source: SRD 5.1, "Magic Items", "Attunement".
pub const ATTUNED_MAX: usize = 3;

/// Levels of exhaustion that kill. Source: SRD 5.1, "Conditions", "Exhaustion".
pub const EXHAUSTION_MAX: i32 = 6;

/// The state of life.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// Above 0 hit points.
    #[default]
    Conscious,
    /// At 0 hit points, rolling death saves.
    Dying,
    /// At 0 hit points, out of danger.
    Stable,
    /// Can only be revived or renamed.
    Dead,
}

impl Life {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Conscious, Self::Dying, Self::Stable, Self::Dead];

    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Conscious => "conscious",
            Self::Dying => "dying",
            Self::Stable => "stable",
            Self::Dead => "dead",
        }
    }

    /// The state with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|life| life.as_str() == name)
    }
}

/// Death saves so far: 0 to 3 successes and 0 to 3 failures.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct DeathSaves {
    pub(super) successes: i32,
    pub(super) failures: i32,
}

impl DeathSaves {
    /// Successes so far.
    pub const fn successes(self) -> i32 {
        self.successes
    }

    /// Failures so far.
    pub const fn failures(self) -> i32 {
        self.failures
    }
}

/// A character without its header (owner, version and the like).
///
/// Only [`create`](super::create) and [`stored::decode`](super::stored::decode) make one, only
/// [`apply`](super::apply) changes it. A clone is cheap: it shares the build until one of the two changes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Character {
    pub(super) vitals: Vitals,
    pub(super) build: Arc<Build>,
    /// The build before the current action; `None` between actions and while the action has not changed it.
    before: Option<Arc<Build>>,
}

/// The item in each slot.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Equipment([Option<Symbol>; SLOTS]);

impl Deref for Equipment {
    type Target = [Option<Symbol>; SLOTS];

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for Equipment {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

/// An action in progress. Dropping it undoes the action, unless the action succeeded.
struct Attempt<'a> {
    character: &'a mut Character,
    /// The vitals before the action.
    vitals: Vitals,
    succeeded: bool,
}

impl Attempt<'_> {
    fn touched(&self) -> Touched {
        let Character { vitals, build, before } = &*self.character;
        let has_same_build = before.as_ref().is_none_or(|before| before == build);
        if has_same_build && vitals.has_sheet_of(&self.vitals) { Touched::Fresh } else { Touched::Kept }
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        let before = self.character.before.take();
        if !self.succeeded {
            self.character.vitals = self.vitals;
            if let Some(before) = before {
                self.character.build = before;
            }
        }
    }
}

impl Character {
    pub(super) fn new(vitals: Vitals, build: Build) -> Self {
        Self { vitals, build: Arc::new(build), before: None }
    }

    /// The build, for changes by the current action. Clones of the character do not see the change.
    pub(super) fn build_mut(&mut self) -> &mut Build {
        if self.before.is_none() {
            let copy = Arc::new(Build::clone(&self.build));
            self.before = Some(std::mem::replace(&mut self.build, copy));
        }
        Arc::make_mut(&mut self.build)
    }

    /// Runs `act` and returns the kind of fields that it touched. Undoes all changes if `act` fails or panics.
    pub(super) fn attempt<E>(&mut self, act: impl FnOnce(&mut Self) -> Result<(), E>) -> Result<Touched, E> {
        let mut attempt = Attempt { vitals: self.vitals, character: self, succeeded: false };
        act(attempt.character)?;
        attempt.succeeded = true;
        Ok(attempt.touched())
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.build.name
    }

    /// Its race.
    pub fn race(&self) -> Symbol {
        self.build.race
    }

    /// Its subrace, if any.
    pub fn subrace(&self) -> Option<Symbol> {
        self.build.subrace
    }

    /// Its class.
    pub fn class(&self) -> Symbol {
        self.build.class
    }

    /// Level, 1 to 20.
    pub fn level(&self) -> i32 {
        self.build.level
    }

    /// Experience points.
    pub const fn experience(&self) -> i32 {
        self.vitals.experience
    }

    /// Its own scores with race and improvements, without items.
    pub fn abilities(&self) -> &Abilities {
        &self.build.abilities
    }

    /// Skills with proficiency.
    pub fn skills(&self) -> &[Symbol] {
        &self.build.skills
    }

    /// Skills with doubled proficiency.
    pub fn expertise(&self) -> &[Symbol] {
        &self.build.expertise
    }

    /// Current hit points, 0 to the maximum.
    pub const fn hitpoints(&self) -> i32 {
        self.vitals.hitpoints
    }

    /// Maximum of hit points, with items and exhaustion.
    pub const fn max_hitpoints(&self) -> i32 {
        self.vitals.max_hitpoints
    }

    /// Temporary hit points.
    pub const fn temporary_hitpoints(&self) -> i32 {
        self.vitals.temporary_hitpoints
    }

    /// Hit dice left to spend, 0 to the level.
    pub const fn hit_dice(&self) -> i32 {
        self.vitals.hit_dice
    }

    /// The hit die's result at each level.
    pub fn hit_point_dice(&self) -> &[u8] {
        &self.build.hit_point_dice
    }

    /// Death saves so far.
    pub const fn death_saves(&self) -> DeathSaves {
        self.vitals.death_saves
    }

    /// Its state of life.
    pub const fn life(&self) -> Life {
        self.vitals.life
    }

    /// Its conditions, without exhaustion.
    pub fn conditions(&self) -> &[Symbol] {
        &self.build.conditions
    }

    /// Levels of exhaustion, 0 to 6.
    pub const fn exhaustion(&self) -> i32 {
        self.vitals.exhaustion
    }

    /// Its coins.
    pub const fn purse(&self) -> &Purse {
        &self.vitals.purse
    }

    /// The item in a slot.
    pub fn worn(&self, slot: Slot) -> Option<Symbol> {
        self.build.equipment[slot as usize]
    }

    /// Attuned items, at most three.
    pub fn attuned(&self) -> &[Symbol] {
        &self.build.attuned
    }

    /// All carried items, including worn ones.
    pub fn inventory(&self) -> &Inventory {
        &self.build.inventory
    }

    /// Number of dice that the server has rolled for it. Part of the seed of the next roll.
    pub const fn dice_rolled(&self) -> u64 {
        self.vitals.dice_rolled
    }

    /// Number of slots that hold this item.
    pub(super) fn units_worn(&self, item: Symbol) -> i64 {
        self.build.equipment.iter().filter(|worn| **worn == Some(item)).map(|_| 1).sum()
    }

    /// Finds an item by its name: in the catalogue or in the inventory, which may hold items no longer in the
    /// catalogue.
    pub(super) fn find_item(&self, name: &str, catalogue: &Catalogue) -> Option<Symbol> {
        let known = catalogue.item_named(name).map(|item| item.id());
        known
            .or_else(|| self.build.inventory.stacks().iter().map(|entry| entry.item).find(|item| item.as_str() == name))
    }
}
