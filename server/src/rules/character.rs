//! The character that the rules know.

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
/// [`apply`](super::apply) only. `clone_from` reuses what the target has allocated.
#[derive(Debug, PartialEq, Eq)]
pub struct Character {
    pub(super) name: String,
    pub(super) race: Symbol,
    pub(super) subrace: Option<Symbol>,
    pub(super) class: Symbol,
    pub(super) level: i32,
    pub(super) experience: i32,
    pub(super) abilities: Abilities,
    pub(super) skills: Vec<Symbol>,
    pub(super) expertise: Vec<Symbol>,
    pub(super) hitpoints: i32,
    pub(super) max_hitpoints: i32,
    pub(super) temporary_hitpoints: i32,
    pub(super) hit_dice: i32,
    /// What the hit die of each level showed, the first level's first: its length is the level.
    pub(super) hit_point_dice: Vec<u8>,
    pub(super) death_saves: DeathSaves,
    pub(super) life: Life,
    pub(super) conditions: Vec<Symbol>,
    pub(super) exhaustion: i32,
    pub(super) purse: Purse,
    pub(super) equipment: [Option<Symbol>; SLOTS],
    pub(super) attuned: Vec<Symbol>,
    pub(super) inventory: Inventory,
    pub(super) dice_rolled: u64,
}

impl Clone for Character {
    fn clone(&self) -> Self {
        Self {
            name: self.name.clone(),
            skills: self.skills.clone(),
            expertise: self.expertise.clone(),
            hit_point_dice: self.hit_point_dice.clone(),
            conditions: self.conditions.clone(),
            attuned: self.attuned.clone(),
            inventory: self.inventory.clone(),
            ..*self
        }
    }

    fn clone_from(&mut self, source: &Self) {
        // Every field is named, so that a new one cannot be forgotten here.
        let Self {
            name,
            race,
            subrace,
            class,
            level,
            experience,
            abilities,
            skills,
            expertise,
            hitpoints,
            max_hitpoints,
            temporary_hitpoints,
            hit_dice,
            hit_point_dice,
            death_saves,
            life,
            conditions,
            exhaustion,
            purse,
            equipment,
            attuned,
            inventory,
            dice_rolled,
        } = self;
        name.clone_from(&source.name);
        skills.clone_from(&source.skills);
        expertise.clone_from(&source.expertise);
        hit_point_dice.clone_from(&source.hit_point_dice);
        conditions.clone_from(&source.conditions);
        attuned.clone_from(&source.attuned);
        inventory.clone_from(&source.inventory);
        *race = source.race;
        *subrace = source.subrace;
        *class = source.class;
        *level = source.level;
        *experience = source.experience;
        *abilities = source.abilities;
        *hitpoints = source.hitpoints;
        *max_hitpoints = source.max_hitpoints;
        *temporary_hitpoints = source.temporary_hitpoints;
        *hit_dice = source.hit_dice;
        *death_saves = source.death_saves;
        *life = source.life;
        *exhaustion = source.exhaustion;
        *purse = source.purse;
        *equipment = source.equipment;
        *dice_rolled = source.dice_rolled;
    }
}

impl Character {
    /// Whether everything is the same but what an adventure wears off: hit points, temporary hit points, hit dice, death
    /// saves, experience and the dice rolled. The derived sheet follows from none of these.
    pub fn has_sheet_of(&self, other: &Self) -> bool {
        // Every field is named, so that a new one cannot be forgotten here.
        let Self {
            name,
            race,
            subrace,
            class,
            level,
            experience: _,
            abilities,
            skills,
            expertise,
            hitpoints: _,
            max_hitpoints: _,
            temporary_hitpoints: _,
            hit_dice: _,
            hit_point_dice: _,
            death_saves: _,
            life,
            conditions,
            exhaustion,
            purse,
            equipment,
            attuned,
            inventory,
            dice_rolled: _,
        } = self;
        (*race, *subrace, *class, *level, *life, *exhaustion)
            == (other.race, other.subrace, other.class, other.level, other.life, other.exhaustion)
            && *purse == other.purse
            && *equipment == other.equipment
            && *inventory == other.inventory
            && *attuned == other.attuned
            && *conditions == other.conditions
            && *abilities == other.abilities
            && *skills == other.skills
            && *expertise == other.expertise
            && *name == other.name
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its race.
    pub const fn race(&self) -> Symbol {
        self.race
    }

    /// Its subrace, where it has one.
    pub const fn subrace(&self) -> Option<Symbol> {
        self.subrace
    }

    /// Its class.
    pub const fn class(&self) -> Symbol {
        self.class
    }

    /// 1 to 20.
    pub const fn level(&self) -> i32 {
        self.level
    }

    /// Experience points.
    pub const fn experience(&self) -> i32 {
        self.experience
    }

    /// Its own scores, race and improvements included, items not.
    pub const fn abilities(&self) -> &Abilities {
        &self.abilities
    }

    /// Skills that it is proficient in.
    pub fn skills(&self) -> &[Symbol] {
        &self.skills
    }

    /// Skills in which its proficiency counts twice.
    pub fn expertise(&self) -> &[Symbol] {
        &self.expertise
    }

    /// Present hit points, 0 to the maximum.
    pub const fn hitpoints(&self) -> i32 {
        self.hitpoints
    }

    /// The maximum, items and exhaustion included.
    pub const fn max_hitpoints(&self) -> i32 {
        self.max_hitpoints
    }

    /// Temporary hit points.
    pub const fn temporary_hitpoints(&self) -> i32 {
        self.temporary_hitpoints
    }

    /// Hit dice left to spend, 0 to the level.
    pub const fn hit_dice(&self) -> i32 {
        self.hit_dice
    }

    /// What the hit die of each level showed.
    pub fn hit_point_dice(&self) -> &[u8] {
        &self.hit_point_dice
    }

    /// Death saves so far.
    pub const fn death_saves(&self) -> DeathSaves {
        self.death_saves
    }

    /// Whether it stands.
    pub const fn life(&self) -> Life {
        self.life
    }

    /// Its conditions, exhaustion not among them.
    pub fn conditions(&self) -> &[Symbol] {
        &self.conditions
    }

    /// Levels of exhaustion, 0 to 6.
    pub const fn exhaustion(&self) -> i32 {
        self.exhaustion
    }

    /// Its coins.
    pub const fn purse(&self) -> &Purse {
        &self.purse
    }

    /// Its coins, as the wire counts them.
    pub fn currency(&self) -> Currency {
        let coins = |coin| self.purse.coins(coin);
        Currency {
            cp: coins(Coin::Copper),
            sp: coins(Coin::Silver),
            ep: coins(Coin::Electrum),
            gp: coins(Coin::Gold),
            pp: coins(Coin::Platinum),
        }
    }

    /// What a slot holds.
    pub const fn worn(&self, slot: Slot) -> Option<Symbol> {
        self.equipment[slot as usize]
    }

    /// Items that it is attuned to, three at the most.
    pub fn attuned(&self) -> &[Symbol] {
        &self.attuned
    }

    /// Everything carried, what is worn included.
    pub const fn inventory(&self) -> &Inventory {
        &self.inventory
    }

    /// Dice that the server has rolled for it so far: part of what seeds the next.
    pub const fn dice_rolled(&self) -> u64 {
        self.dice_rolled
    }

    /// Slots that hold an item of this id.
    pub(super) fn units_worn(&self, item: Symbol) -> i64 {
        self.equipment.iter().filter(|worn| **worn == Some(item)).map(|_| 1).sum()
    }

    /// An id that a client named: of the catalogue, or of the inventory, which may hold what the catalogue has lost.
    pub(super) fn find_item(&self, name: &str, catalogue: &Catalogue) -> Option<Symbol> {
        let known = catalogue.item_named(name).map(|item| item.id());
        known.or_else(|| self.inventory.entries().iter().map(|entry| entry.item).find(|item| item.as_str() == name))
    }
}
