//! The character that the rules know.

use std::sync::Arc;

use castellan_protocol::{Currency, Slot};

use super::ability::Abilities;
use super::catalogue::Catalogue;
use super::inventory::Inventory;
use super::money::{Coin, Purse};
use super::symbol::Symbol;

/// Slots that a character has.
pub const SLOTS: usize = 13;

const _: () = assert!(Slot::ALL.len() == SLOTS, "a slot for each of the wire's");

/// Conditions that a character may have at a time; more is what no table ever saw.
pub const CONDITIONS_MAX: usize = 64;

/// Items that a character may be attuned to. Source: SRD 5.1, "Magic Items", "Attunement".
pub const ATTUNED_MAX: usize = 3;

/// Levels of exhaustion that kill. Source: SRD 5.1, "Conditions", "Exhaustion".
pub const EXHAUSTION_MAX: i32 = 6;

/// Whether a character stands, falls or has fallen.
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

    /// The one with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|life| life.as_str() == name)
    }
}

/// Death saves so far, each 0 to 3.
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

/// A character: what is stored of it but who it belongs to and which state of it this is.
///
/// Made by [`create`](super::create) or [`stored::decode`](super::stored::decode), changed by
/// [`apply`](super::apply) only. A copy costs next to nothing: it shares the build until one of the two changes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Character {
    pub(super) vitals: Vitals,
    pub(super) build: Arc<Build>,
    /// The build as it was before the action under way; nothing where that has not changed it, and between actions.
    before: Option<Arc<Build>>,
}

/// What wears off in an adventure, and what intents change most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Vitals {
    pub(super) experience: i32,
    pub(super) hitpoints: i32,
    pub(super) max_hitpoints: i32,
    pub(super) temporary_hitpoints: i32,
    pub(super) hit_dice: i32,
    pub(super) death_saves: DeathSaves,
    pub(super) life: Life,
    pub(super) exhaustion: i32,
    pub(super) purse: Purse,
    pub(super) dice_rolled: u64,
}

/// What most intents leave as it is: who a character is, what it can do and what it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Build {
    pub(super) name: String,
    pub(super) race: Symbol,
    pub(super) subrace: Option<Symbol>,
    pub(super) class: Symbol,
    pub(super) level: i32,
    pub(super) abilities: Abilities,
    pub(super) skills: Vec<Symbol>,
    pub(super) expertise: Vec<Symbol>,
    /// What the hit die of each level showed, the first level's first: its length is the level.
    pub(super) hit_point_dice: Vec<u8>,
    pub(super) conditions: Vec<Symbol>,
    pub(super) equipment: [Option<Symbol>; SLOTS],
    pub(super) attuned: Vec<Symbol>,
    pub(super) inventory: Inventory,
}

/// What an action has touched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Touched {
    /// Only what wears off: hit points, temporary hit points, hit dice, death saves, experience and the dice rolled. The
    /// derived sheet follows from none of these.
    Vitals,
    /// More than that.
    Sheet,
}

impl Vitals {
    /// Whether all is the same that the derived sheet follows from or is shown with.
    fn has_sheet_of(&self, other: &Self) -> bool {
        // Every field is named, so that a new one cannot be forgotten here.
        let Self {
            experience: _,
            hitpoints: _,
            max_hitpoints: _,
            temporary_hitpoints: _,
            hit_dice: _,
            death_saves: _,
            life,
            exhaustion,
            purse,
            dice_rolled: _,
        } = self;
        (*life, *exhaustion) == (other.life, other.exhaustion) && *purse == other.purse
    }
}

/// An action under way; its end takes back what it did, unless it succeeded.
struct Attempt<'a> {
    character: &'a mut Character,
    /// Before.
    vitals: Vitals,
    succeeded: bool,
}

impl Attempt<'_> {
    fn touched(&self) -> Touched {
        let Character { vitals, build, before } = &*self.character;
        let has_same_build = before.as_ref().is_none_or(|before| before == build);
        if has_same_build && vitals.has_sheet_of(&self.vitals) { Touched::Vitals } else { Touched::Sheet }
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

    /// The build to be changed by the action under way. What others share of it stays as it is.
    pub(super) fn build_mut(&mut self) -> &mut Build {
        if self.before.is_none() {
            let copy = Arc::new(Build::clone(&self.build));
            self.before = Some(std::mem::replace(&mut self.build, copy));
        }
        Arc::make_mut(&mut self.build)
    }

    /// Does what `act` does and says what it has touched; nothing where it fails, or panics.
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

    /// Its subrace, where it has one.
    pub fn subrace(&self) -> Option<Symbol> {
        self.build.subrace
    }

    /// Its class.
    pub fn class(&self) -> Symbol {
        self.build.class
    }

    /// 1 to 20.
    pub fn level(&self) -> i32 {
        self.build.level
    }

    /// Experience points.
    pub const fn experience(&self) -> i32 {
        self.vitals.experience
    }

    /// Its own scores, race and improvements included, items not.
    pub fn abilities(&self) -> &Abilities {
        &self.build.abilities
    }

    /// Skills that it is proficient in.
    pub fn skills(&self) -> &[Symbol] {
        &self.build.skills
    }

    /// Skills in which its proficiency counts twice.
    pub fn expertise(&self) -> &[Symbol] {
        &self.build.expertise
    }

    /// Present hit points, 0 to the maximum.
    pub const fn hitpoints(&self) -> i32 {
        self.vitals.hitpoints
    }

    /// The maximum, items and exhaustion included.
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

    /// What the hit die of each level showed.
    pub fn hit_point_dice(&self) -> &[u8] {
        &self.build.hit_point_dice
    }

    /// Death saves so far.
    pub const fn death_saves(&self) -> DeathSaves {
        self.vitals.death_saves
    }

    /// Whether it stands.
    pub const fn life(&self) -> Life {
        self.vitals.life
    }

    /// Its conditions, exhaustion not among them.
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

    /// Its coins, as the wire counts them.
    pub fn currency(&self) -> Currency {
        let coins = |coin| self.vitals.purse.coins(coin);
        Currency {
            cp: coins(Coin::Copper),
            sp: coins(Coin::Silver),
            ep: coins(Coin::Electrum),
            gp: coins(Coin::Gold),
            pp: coins(Coin::Platinum),
        }
    }

    /// What a slot holds.
    pub fn worn(&self, slot: Slot) -> Option<Symbol> {
        self.build.equipment[slot as usize]
    }

    /// Items that it is attuned to, three at the most.
    pub fn attuned(&self) -> &[Symbol] {
        &self.build.attuned
    }

    /// Everything carried, what is worn included.
    pub fn inventory(&self) -> &Inventory {
        &self.build.inventory
    }

    /// Dice that the server has rolled for it so far: part of what seeds the next.
    pub const fn dice_rolled(&self) -> u64 {
        self.vitals.dice_rolled
    }

    /// Slots that hold an item of this id.
    pub(super) fn units_worn(&self, item: Symbol) -> i64 {
        self.build.equipment.iter().filter(|worn| **worn == Some(item)).map(|_| 1).sum()
    }

    /// An id that a client named: of the catalogue, or of the inventory, which may hold what the catalogue has lost.
    pub(super) fn find_item(&self, name: &str, catalogue: &Catalogue) -> Option<Symbol> {
        let known = catalogue.item_named(name).map(|item| item.id());
        known.or_else(|| {
            self.build.inventory.entries().iter().map(|entry| entry.item).find(|item| item.as_str() == name)
        })
    }
}
