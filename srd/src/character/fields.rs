//! The fields of a character, and one table of them for answers, rows, merge patches and the JSON Schema.

pub(crate) mod parts;

use crate::ability::{Abilities, EXPERIENCE_MAX, LEVEL_MAX};
use castellan_game::Corrupt;

use crate::character::{ATTUNED_MAX, Character, DeathSaves, EXHAUSTION_MAX, Equipment, Life};
use crate::derived::Derived;
use crate::inventory::Inventory;
use crate::money::Purse;
use crate::symbol::Symbol;

/// Most hit points and temporary hit points in any schema version.
const HITPOINTS_MAX: i32 = 1_000_000;

/// The part of a character that intents change most.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Vitals {
    pub(crate) experience: i32,
    pub(crate) hitpoints: i32,
    pub(crate) max_hitpoints: i32,
    pub(crate) temporary_hitpoints: i32,
    pub(crate) hit_dice: i32,
    pub(crate) death_saves: DeathSaves,
    pub(crate) life: Life,
    pub(crate) exhaustion: i32,
    pub(crate) purse: Purse,
    pub(crate) dice_rolled: u64,
}

/// The part of a character that most intents leave unchanged: identity, abilities and possessions.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Build {
    pub(crate) name: String,
    pub(crate) race: Symbol,
    pub(crate) subrace: Option<Symbol>,
    pub(crate) class: Symbol,
    pub(crate) level: i32,
    pub(crate) abilities: Abilities,
    pub(crate) skills: Vec<Symbol>,
    pub(crate) expertise: Vec<Symbol>,
    /// The hit die's result at each level, first level first. Its length is the level.
    pub(crate) hit_point_dice: Vec<u8>,
    pub(crate) conditions: Vec<Symbol>,
    pub(crate) equipment: Equipment,
    pub(crate) attuned: Vec<Symbol>,
    pub(crate) inventory: Inventory,
}

impl Vitals {
    /// Returns true if all fields that the derived sheet depends on or is shown with are the same.
    pub(crate) fn has_sheet_of(&self, other: &Self) -> bool {
        // Names every field, so that a new one cannot be forgotten here.
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

castellan_game::fields! {
    /// A character's sheet. Lists of names (conditions, flags, slots) are open: clients ignore unknown names.
    pub struct Sheet, of Character, derived Derived;
    pub(crate) struct Row, restored into Whole;
    kept {
        /// 1 to 40 Unicode scalars; need not be unique.
        name: String = build.name,
        /// The race's id.
        race: Symbol = build.race,
        /// The subrace's id, if there is one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        subrace: Option<Symbol> = build.subrace,
        /// The class's id.
        class: Symbol = build.class,
        /// 1 to 20.
        level: i32 = build.level [1..=LEVEL_MAX],
    }
    fresh {
        /// Experience points.
        experience: i32 = vitals.experience [0..=EXPERIENCE_MAX],
    }
    kept {
        /// The character's own scores, race and improvements included, items not.
        abilities: Abilities = build.abilities,
        /// Ids of the skills that it is proficient in.
        skills: Vec<Symbol> = build.skills,
    }
    fresh {
        /// Present hit points.
        hitpoints: i32 = vitals.hitpoints [0..=HITPOINTS_MAX],
        /// Most that healing restores.
        max_hitpoints: i32 = vitals.max_hitpoints [1..=HITPOINTS_MAX],
        /// Taken first by damage.
        temporary_hitpoints: i32 = vitals.temporary_hitpoints [0..=HITPOINTS_MAX],
        /// Hit dice left to spend.
        hit_dice: i32 = vitals.hit_dice [0..=LEVEL_MAX],
        /// Death saves so far.
        death_saves: DeathSaves = vitals.death_saves,
    }
    kept {
        /// `conscious`, `dying`, `stable` or `dead`.
        life: Life = vitals.life,
        /// Ids of conditions, exhaustion not among them.
        conditions: Vec<Symbol> = build.conditions,
        /// Levels of exhaustion, 0 to 6.
        exhaustion: i32 = vitals.exhaustion [0..=EXHAUSTION_MAX],
        /// Coins.
        currency: Purse = vitals.purse,
        /// The item in each slot that holds one.
        equipment: Equipment = build.equipment,
        /// Items attuned to, three at the most.
        attuned: Vec<Symbol> = build.attuned,
        /// All carried items, including worn ones.
        inventory: Inventory = build.inventory,
    }
    ;
    shown {
        /// The values that the server computes from the rest.
        derived: Derived = |derived| derived,
    }
    stored {
        /// The hit die's result at each level.
        hit_point_dice: Vec<u8> = build.hit_point_dice,
        /// Ids of the skills with doubled proficiency.
        expertise: Vec<Symbol> = build.expertise,
        /// Dice that the server has rolled for it.
        dice_rolled: u64 = vitals.dice_rolled,
    }
}

/// A character in pieces, while it is read from its row.
#[derive(Debug, Default)]
pub(crate) struct Whole {
    pub(crate) vitals: Vitals,
    pub(crate) build: Build,
}

impl Whole {
    /// Checks the fields against each other.
    pub(crate) fn into_character(self) -> Result<Character, Corrupt> {
        let Self { vitals, build } = self;
        let impossible = |field, message| Err(Corrupt::Impossible { field, message });
        if i32::try_from(build.hit_point_dice.len()).ok() != Some(build.level) {
            return impossible("hit_point_dice", "must have one entry per level");
        }
        if build.attuned.len() > ATTUNED_MAX {
            return impossible("attuned", "has more than three entries");
        }
        if vitals.hitpoints > vitals.max_hitpoints {
            return impossible("hitpoints", "out of bounds");
        }
        if vitals.hit_dice > build.level {
            return impossible("hit_dice", "out of bounds");
        }
        if (vitals.life == Life::Conscious) != (vitals.hitpoints > 0) {
            return impossible("life", "contradicts the hit points");
        }
        Ok(Character::new(vitals, build))
    }
}

impl Row {
    /// Checks every field, and the fields against each other.
    pub(crate) fn into_character(self) -> Result<Character, castellan_game::Corrupt> {
        self.restore()?.into_character()
    }
}
