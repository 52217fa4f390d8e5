//! Classes, races, skills and conditions.

use crate::request::Ability;

use super::dice_text::DiceText;
use super::item::{ArmorKind, Weapon};
use crate::ability::Abilities;
use crate::symbol::Symbol;

/// A class.
#[derive(Debug, Clone)]
pub struct Class {
    pub(super) id: Symbol,
    pub(super) name: String,
    pub(super) hit_die: i32,
    pub(super) saving_throws: Vec<Ability>,
    pub(super) proficiencies: Vec<Symbol>,
    pub(super) training: Training,
    pub(super) skills: Choice,
    pub(super) tool_choices: Vec<Choice>,
    pub(super) improvement_levels: Vec<i32>,
    pub(super) spellcasting_ability: Option<Ability>,
    /// One row per level; empty for classes without spells.
    pub(super) spell_slots: Vec<Vec<i32>>,
    pub(super) starting_equipment: Vec<(Symbol, i32)>,
    pub(super) features: Vec<Feature>,
}

/// A choice of some entries of a list.
#[derive(Debug, Clone, Default)]
pub struct Choice {
    pub(super) choose: usize,
    pub(super) from: Vec<Symbol>,
}

/// The armour and weapons that a class is trained in.
#[derive(Debug, Clone, Default)]
pub struct Training {
    pub(super) armor: [bool; ArmorKind::ALL.len()],
    pub(super) simple: bool,
    pub(super) martial: bool,
}

/// A feature that a class gives from a level on.
#[derive(Debug, Clone)]
pub struct Feature {
    pub(super) level: i32,
    pub(super) gives: Gives,
}

/// The effect of a feature.
#[derive(Debug, Clone)]
pub enum Gives {
    /// Armour class without armour: 10 + dexterity + this ability.
    UnarmoredDefense {
        /// The ability.
        ability: Ability,
        /// True if a shield is allowed.
        shield: bool,
    },
    /// Feet added unless heavy armour is worn.
    SpeedWithoutHeavyArmor(i32),
    /// Feet added without armour and shield.
    SpeedUnarmored(i32),
    /// Dexterity and this die for monk weapons, if better.
    MartialArts(DiceText),
    /// Half the proficiency bonus on checks without proficiency.
    HalfProficiency,
    /// This ability's modifier, at least 1, on all saving throws.
    AddsToSavingThrows(Ability),
    /// Proficiency in these saving throws.
    SavingThrows(Vec<Ability>),
}

/// A race or a subrace.
#[derive(Debug, Clone)]
pub struct Race {
    pub(super) id: Symbol,
    pub(super) name: String,
    pub(super) speed_ft: i32,
    pub(super) small: bool,
    pub(super) ability_bonuses: Abilities,
    pub(super) traits: Vec<Symbol>,
    pub(super) ignores_armor_speed_penalty: bool,
    pub(super) subraces: Vec<Symbol>,
    pub(super) gifts: Gifts,
}

/// A subrace.
#[derive(Debug, Clone)]
pub struct Subrace {
    pub(super) id: Symbol,
    pub(super) name: String,
    pub(super) race: Symbol,
    pub(super) ability_bonuses: Abilities,
    pub(super) traits: Vec<Symbol>,
    pub(super) gifts: Gifts,
}

/// The combined effects of all traits of a race or subrace.
#[derive(Debug, Clone, Default)]
pub struct Gifts {
    pub(super) skills: Vec<Symbol>,
    pub(super) choose_skills: usize,
    pub(super) hitpoints_per_level: i32,
    pub(super) weapon_proficiencies: Vec<Symbol>,
    pub(super) rerolls_ones: bool,
}

/// A skill.
#[derive(Debug, Clone)]
pub struct Skill {
    pub(super) id: Symbol,
    pub(super) name: String,
    pub(super) ability: Ability,
}

/// A condition.
#[derive(Debug, Clone)]
pub struct Condition {
    pub(super) id: Symbol,
    pub(super) name: String,
    pub(super) cannot_move: bool,
}

impl Class {
    /// Its id.
    pub const fn id(&self) -> Symbol {
        self.id
    }

    /// Sides of its hit die.
    pub const fn hit_die(&self) -> i32 {
        self.hit_die
    }

    /// Saving throws with proficiency from the first level on.
    pub fn saving_throws(&self) -> &[Ability] {
        &self.saving_throws
    }

    /// The choice of skills at creation.
    pub const fn skills(&self) -> &Choice {
        &self.skills
    }

    /// Returns true if a level brings an ability score improvement.
    pub fn improves_at(&self, level: i32) -> bool {
        self.improvement_levels.contains(&level)
    }

    /// Starting equipment.
    pub fn starting_equipment(&self) -> &[(Symbol, i32)] {
        &self.starting_equipment
    }

    /// All features up to a level, lowest level first.
    pub fn features(&self, level: i32) -> impl Iterator<Item = &Gives> {
        self.features.iter().filter(move |feature| feature.level <= level).map(|feature| &feature.gives)
    }

    /// Returns true if the class is trained in this kind of armour.
    pub const fn wears(&self, kind: ArmorKind) -> bool {
        self.training.armor[kind as usize]
    }

    /// Returns true if the class is trained in a weapon, by kind or by name.
    pub fn wields(&self, weapon: &Weapon) -> bool {
        let by_kind = if weapon.is_martial() { self.training.martial } else { self.training.simple };
        by_kind || self.proficiencies.contains(&weapon.proficiency())
    }
}

impl Choice {
    /// Number of entries to choose.
    pub const fn choose(&self) -> usize {
        self.choose
    }

    /// The list to choose from.
    pub fn from(&self) -> &[Symbol] {
        &self.from
    }
}

impl Race {
    /// Its id.
    pub const fn id(&self) -> Symbol {
        self.id
    }

    /// Walking speed, in feet per round.
    pub const fn speed_ft(&self) -> i32 {
        self.speed_ft
    }

    /// Returns true if its members are small.
    pub const fn is_small(&self) -> bool {
        self.small
    }

    /// Returns true if armour never slows its members.
    pub const fn ignores_armor_speed_penalty(&self) -> bool {
        self.ignores_armor_speed_penalty
    }

    /// Added to the scores at creation.
    pub const fn ability_bonuses(&self) -> &Abilities {
        &self.ability_bonuses
    }

    /// Its subraces.
    pub fn subraces(&self) -> &[Symbol] {
        &self.subraces
    }

    /// The effects of its traits.
    pub const fn gifts(&self) -> &Gifts {
        &self.gifts
    }
}

impl Subrace {
    /// Its id.
    pub const fn id(&self) -> Symbol {
        self.id
    }

    /// Added to the scores at creation.
    pub const fn ability_bonuses(&self) -> &Abilities {
        &self.ability_bonuses
    }

    /// The effects of its traits.
    pub const fn gifts(&self) -> &Gifts {
        &self.gifts
    }
}

impl Gifts {
    /// Skills that the traits give.
    pub fn skills(&self) -> &[Symbol] {
        &self.skills
    }

    /// Number of freely chosen skills.
    pub const fn choose_skills(&self) -> usize {
        self.choose_skills
    }

    /// Additional hit points per level.
    pub const fn hitpoints_per_level(&self) -> i32 {
        self.hitpoints_per_level
    }

    /// Returns true if the traits give proficiency with a weapon.
    pub fn wields(&self, weapon: &Weapon) -> bool {
        self.weapon_proficiencies.contains(&weapon.proficiency())
    }

    /// Returns true if a 1 on a death save is rolled again.
    pub const fn rerolls_ones(&self) -> bool {
        self.rerolls_ones
    }
}

impl Skill {
    /// Its id.
    pub const fn id(&self) -> Symbol {
        self.id
    }

    /// The ability of its checks.
    pub const fn ability(&self) -> Ability {
        self.ability
    }
}

impl Condition {
    /// Its id.
    pub const fn id(&self) -> Symbol {
        self.id
    }

    /// Returns true if it prevents movement.
    pub const fn cannot_move(&self) -> bool {
        self.cannot_move
    }
}
