//! A character as clients see it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::id::{CharacterId, RequestId, UserId, Version};

/// A character's whole state.
///
/// Lists of names (conditions, flags, slots) are open: a client passes over what it does not know.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Character {
    /// Its id.
    pub id: CharacterId,
    /// Its owner.
    pub user_id: UserId,
    /// 1 to 40 Unicode scalars; need not be unique.
    pub name: String,
    /// The race's id.
    pub race: String,
    /// The subrace's id, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subrace: Option<String>,
    /// The class's id.
    pub class: String,
    /// 1 to 20.
    pub level: i64,
    /// Experience points.
    pub experience: i64,
    /// The character's own scores, race and improvements included, items not.
    pub abilities: Scores,
    /// Ids of the skills that it is proficient in.
    pub skills: Vec<String>,
    /// Present hit points.
    pub hitpoints: i64,
    /// Most that healing restores.
    pub max_hitpoints: i64,
    /// Taken first by damage.
    pub temporary_hitpoints: i64,
    /// Hit dice left to spend.
    pub hit_dice: i64,
    /// Death saves so far.
    pub death_saves: DeathSaves,
    /// `conscious`, `dying`, `stable` or `dead`.
    pub life: String,
    /// Ids of conditions, exhaustion not among them.
    pub conditions: Vec<String>,
    /// Levels of exhaustion, 0 to 6.
    pub exhaustion: i64,
    /// Coins.
    pub currency: Currency,
    /// The item in each slot that holds one.
    pub equipment: BTreeMap<String, String>,
    /// Items attuned to, three at the most.
    pub attuned: Vec<String>,
    /// Everything carried, what is worn included.
    pub inventory: Vec<InventoryEntry>,
    /// What the server computes from the rest.
    pub derived: Derived,
    /// Names this state.
    pub version: Version,
    /// The id of the intent that made this state; 0: none yet.
    pub last: RequestId,
    /// RFC 3339, UTC.
    pub created_at: String,
    /// RFC 3339, UTC.
    pub updated_at: String,
}

/// A number for each ability.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scores {
    /// Strength.
    pub str: i64,
    /// Dexterity.
    pub dex: i64,
    /// Constitution.
    pub con: i64,
    /// Intelligence.
    pub int: i64,
    /// Wisdom.
    pub wis: i64,
    /// Charisma.
    pub cha: i64,
}

/// Death saves so far: three of a kind decide.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeathSaves {
    /// Successes.
    pub successes: i64,
    /// Failures.
    pub failures: i64,
}

/// Coins by kind, each 0 to 2,000,000,000.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Currency {
    /// Copper.
    pub cp: i64,
    /// Silver.
    pub sp: i64,
    /// Electrum.
    pub ep: i64,
    /// Gold.
    pub gp: i64,
    /// Platinum.
    pub pp: i64,
}

/// Units of one item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InventoryEntry {
    /// The item's id.
    pub item: String,
    /// 1 to 1,000,000.
    pub quantity: i64,
}

/// What follows from the rest of a character by the rules.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Derived {
    /// Armour class.
    pub armor_class: i64,
    /// Walking speed, in feet a round.
    pub speed: i64,
    /// Initiative bonus.
    pub initiative: i64,
    /// Proficiency bonus.
    pub proficiency_bonus: i64,
    /// 10 plus the perception bonus.
    pub passive_perception: i64,
    /// Effective scores, items included.
    pub abilities: Scores,
    /// Ability modifiers of the effective scores.
    pub modifiers: Scores,
    /// Saving throw bonuses.
    pub saving_throws: Scores,
    /// Skill bonuses by skill id.
    pub skills: BTreeMap<String, i64>,
    /// In pounds.
    pub carrying_capacity: i64,
    /// In pounds, coins included.
    pub carried_weight: f64,
    /// One for each weapon wielded.
    pub attacks: Vec<Attack>,
    /// What else shows, such as `stealth_disadvantage`.
    pub flags: Vec<String>,
}

/// What a wielded weapon does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attack {
    /// The weapon's item id.
    pub item: String,
    /// Added to the d20.
    pub attack_bonus: i64,
    /// Dice and bonus, such as `1d8+4`.
    pub damage: String,
    /// Such as `slashing`.
    pub damage_type: String,
}
