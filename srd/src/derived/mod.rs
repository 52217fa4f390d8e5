//! The derived sheet: the values that `derive` computes from a character.

mod attack;
mod flags;

use std::ops::{Deref, DerefMut};

pub use attack::{Attack, DamageText};
pub use flags::{Flag, Flags};

use crate::ability::Abilities;
use crate::symbol::Symbol;

/// All numbers that the rules compute from a character. Never stored.
///
/// The numbers are final. Hindrances that change no number are in `flags`, except the effects of conditions and
/// exhaustion on rolls: clients see these in the character.
#[derive(Debug, Clone, PartialEq)]
pub struct Derived {
    pub(crate) armor_class: i32,
    pub(crate) speed: i32,
    pub(crate) initiative: i32,
    pub(crate) proficiency_bonus: i32,
    pub(crate) passive_perception: i32,
    pub(crate) abilities: Abilities,
    pub(crate) modifiers: Abilities,
    pub(crate) saving_throws: Abilities,
    pub(crate) skills: Skills,
    pub(crate) carrying_capacity: i32,
    pub(crate) carried_millipounds: i64,
    pub(crate) attacks: Vec<Attack>,
    pub(crate) flags: Flags,
}

/// The bonus of each skill.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Skills(Vec<(Symbol, i32)>);

impl Deref for Skills {
    type Target = Vec<(Symbol, i32)>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for Skills {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

impl Default for Derived {
    /// An empty sheet, for `derive_into`.
    fn default() -> Self {
        Self {
            armor_class: 0,
            speed: 0,
            initiative: 0,
            proficiency_bonus: 0,
            passive_perception: 0,
            abilities: Abilities::default(),
            modifiers: Abilities::default(),
            saving_throws: Abilities::default(),
            skills: Skills::default(),
            carrying_capacity: 0,
            carried_millipounds: 0,
            attacks: Vec::new(),
            flags: Flags::default(),
        }
    }
}

impl Derived {
    /// Armour class.
    pub const fn armor_class(&self) -> i32 {
        self.armor_class
    }

    /// Walking speed, in feet per round.
    pub const fn speed(&self) -> i32 {
        self.speed
    }

    /// Initiative bonus.
    pub const fn initiative(&self) -> i32 {
        self.initiative
    }

    /// Proficiency bonus.
    pub const fn proficiency_bonus(&self) -> i32 {
        self.proficiency_bonus
    }

    /// 10 plus the perception bonus.
    pub const fn passive_perception(&self) -> i32 {
        self.passive_perception
    }

    /// Effective scores, with items.
    pub const fn abilities(&self) -> &Abilities {
        &self.abilities
    }

    /// Modifiers of the effective scores.
    pub const fn modifiers(&self) -> &Abilities {
        &self.modifiers
    }

    /// Saving throw bonuses.
    pub const fn saving_throws(&self) -> &Abilities {
        &self.saving_throws
    }

    /// The bonus of each skill, in the catalogue's order.
    pub fn skills(&self) -> &[(Symbol, i32)] {
        &self.skills
    }

    /// Carrying capacity, in pounds.
    pub const fn carrying_capacity(&self) -> i32 {
        self.carrying_capacity
    }

    /// Carried weight with coins, in millipounds.
    pub const fn carried_millipounds(&self) -> i64 {
        self.carried_millipounds
    }

    /// Carried weight with coins, in pounds.
    pub fn carried_weight(&self) -> f64 {
        crate::catalogue::pounds(self.carried_millipounds)
    }

    /// One attack for each wielded weapon, the main hand first.
    pub fn attacks(&self) -> &[Attack] {
        &self.attacks
    }

    /// Hindrances that change no number.
    pub const fn flags(&self) -> Flags {
        self.flags
    }
}
