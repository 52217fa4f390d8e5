//! Classes, races, skills and conditions.

use castellan_protocol::Ability;

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
    /// A row for each level; empty for classes without spells.
    pub(super) spell_slots: Vec<Vec<i32>>,
    pub(super) starting_equipment: Vec<(Symbol, i32)>,
    pub(super) features: Vec<Feature>,
}

/// So many of a list.
#[derive(Debug, Clone, Default)]
pub struct Choice {
    pub(super) choose: usize,
    pub(super) from: Vec<Symbol>,
}

/// What a class can wear and wield.
#[derive(Debug, Clone, Default)]
pub struct Training {
    pub(super) armor: [bool; ArmorKind::ALL.len()],
    pub(super) simple: bool,
    pub(super) martial: bool,
}

/// Something that a class gives from a level on.
#[derive(Debug, Clone)]
pub struct Feature {
    pub(super) level: i32,
    pub(super) gives: Gives,
}

/// What a feature gives.
#[derive(Debug, Clone)]
pub enum Gives {
    /// Without armour 10 + dexterity + this ability.
    UnarmoredDefense {
        /// The ability.
        ability: Ability,
        /// Whether it holds with a shield.
        shield: bool,
    },
    /// Feet added unless heavy armour is worn.
    SpeedWithoutHeavyArmor(i32),
    /// Feet added without armour and shield.
    SpeedUnarmored(i32),
    /// Dexterity and this die, if better, for monk weapons.
    MartialArts(DiceText),
    /// Half the proficiency bonus where there is no proficiency.
    HalfProficiency,
    /// This modifier, at least 1, on all saving throws.
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

/// What traits do to a sheet, all of one race or subrace together.
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

    /// Saving throws that it is proficient in from the first level on.
    pub fn saving_throws(&self) -> &[Ability] {
        &self.saving_throws
    }

    /// The skills that are chosen at creation.
    pub const fn skills(&self) -> &Choice {
        &self.skills
    }

    /// Whether an ability score improvement comes with a level.
    pub fn improves_at(&self, level: i32) -> bool {
        self.improvement_levels.contains(&level)
    }

    /// Items that it starts with.
    pub fn starting_equipment(&self) -> &[(Symbol, i32)] {
        &self.starting_equipment
    }

    /// What it gives at a level, the lowest first.
    pub fn features(&self, level: i32) -> impl Iterator<Item = &Gives> {
        self.features.iter().filter(move |feature| feature.level <= level).map(|feature| &feature.gives)
    }

    /// Whether it can wear such armour or hold a shield.
    pub const fn wears(&self, kind: ArmorKind) -> bool {
        self.training.armor[kind as usize]
    }

    /// Whether it can wield a weapon, by kind or by name.
    pub fn wields(&self, weapon: &Weapon) -> bool {
        let by_kind = if weapon.is_martial() { self.training.martial } else { self.training.simple };
        by_kind || self.proficiencies.contains(&weapon.proficiency())
    }
}

impl Choice {
    /// How many are chosen.
    pub const fn choose(&self) -> usize {
        self.choose
    }

    /// What they are chosen from.
    pub fn from(&self) -> &[Symbol] {
        &self.from
    }
}

impl Race {
    /// Its id.
    pub const fn id(&self) -> Symbol {
        self.id
    }

    /// Walking speed, in feet a round.
    pub const fn speed_ft(&self) -> i32 {
        self.speed_ft
    }

    /// Whether its members are small.
    pub const fn is_small(&self) -> bool {
        self.small
    }

    /// Whether armour never slows its members.
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

    /// What its traits do.
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

    /// What its traits do.
    pub const fn gifts(&self) -> &Gifts {
        &self.gifts
    }
}

impl Gifts {
    /// Skills that they give.
    pub fn skills(&self) -> &[Symbol] {
        &self.skills
    }

    /// Skills that may be chosen freely.
    pub const fn choose_skills(&self) -> usize {
        self.choose_skills
    }

    /// Hit points more with each level.
    pub const fn hitpoints_per_level(&self) -> i32 {
        self.hitpoints_per_level
    }

    /// Whether they teach to wield a weapon.
    pub fn wields(&self, weapon: &Weapon) -> bool {
        self.weapon_proficiencies.contains(&weapon.proficiency())
    }

    /// Whether a 1 on a death save is rolled again.
    pub const fn rerolls_ones(&self) -> bool {
        self.rerolls_ones
    }
}

impl Skill {
    /// Its id.
    pub const fn id(&self) -> Symbol {
        self.id
    }

    /// The ability that it is tied to.
    pub const fn ability(&self) -> Ability {
        self.ability
    }
}

impl Condition {
    /// Its id.
    pub const fn id(&self) -> Symbol {
        self.id
    }

    /// Whether those who have it cannot move.
    pub const fn cannot_move(&self) -> bool {
        self.cannot_move
    }
}
