//! The derived sheet: all numbers that the rules compute from a character.

mod attack;
mod defense;
mod flags;
mod magic;
mod movement;

use std::ops::{Deref, DerefMut};

use crate::wire::Ability;

pub use attack::{Attack, DamageText};
pub use flags::{Flag, Flags};
pub(super) use magic::Worn;

use super::ability::{Abilities, proficiency_bonus};
use super::catalogue::{Catalogue, Class, Gifts, Gives, MILLIPOUNDS, Race, Subrace};
use super::character::{Character, Life};
use super::symbol::Symbol;

/// Pounds carried per point of strength. Source: SRD 5.1, "Lifting and Carrying".
const CARRYING_LB_PER_STRENGTH: i32 = 15;

/// Coins per pound. Source: SRD 5.1, "Equipment", "Coinage".
const COINS_PER_POUND: i64 = 50;

/// The skill behind passive perception.
const PERCEPTION: &str = "perception";

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
    pub(super) carried_millipounds: i64,
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
    /// An empty sheet, for [`derive_into`].
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
        super::catalogue::pounds(self.carried_millipounds)
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

/// A character's race and class; `None` if the catalogue no longer has them.
struct Nature<'c> {
    class: Option<&'c Class>,
    race: Option<&'c Race>,
    subrace: Option<&'c Subrace>,
    level: i32,
}

impl<'c> Nature<'c> {
    fn of(character: &Character, catalogue: &'c Catalogue) -> Self {
        Self {
            class: catalogue.class(character.build.class),
            race: catalogue.race(character.build.race),
            subrace: character.build.subrace.and_then(|subrace| catalogue.subrace(subrace)),
            level: character.build.level,
        }
    }

    /// The class's features at this level.
    fn features(&self) -> impl Iterator<Item = &'c Gives> {
        let level = self.level;
        self.class.into_iter().flat_map(move |class| class.features(level))
    }

    /// The gifts of race and subrace.
    fn gifts(&self) -> impl Iterator<Item = &'c Gifts> {
        self.race.map(Race::gifts).into_iter().chain(self.subrace.map(Subrace::gifts))
    }
}

/// Computes the derived sheet of a character.
pub fn derive(character: &Character, catalogue: &Catalogue) -> Derived {
    let mut derived = Derived::default();
    derive_into(character, catalogue, &mut derived);
    derived
}

/// Like [`derive()`], into an existing sheet. Allocates only if the sheet grows.
pub fn derive_into(character: &Character, catalogue: &Catalogue, derived: &mut Derived) {
    let worn = Worn::of(character, catalogue);
    let nature = Nature::of(character, catalogue);
    derived.flags = Flags::default();
    derived.proficiency_bonus = proficiency_bonus(character.build.level);
    derived.abilities = worn.effective(&character.build.abilities);
    derived.modifiers = derived.abilities.modifiers();
    derived.carrying_capacity = derived.abilities.get(Ability::Strength) * CARRYING_LB_PER_STRENGTH;
    derived.carried_millipounds = carried(character, catalogue);
    derived.armor_class = defense::armor_class(&worn, &nature, &derived.modifiers);
    derived.saving_throws = saving_throws(character, &worn, &nature, derived);
    derive_skills(character, catalogue, &worn, &nature, derived);
    flags::raise_for_wear(&worn, &nature, &mut derived.flags);
    derived.speed = movement::speed(character, catalogue, &worn, &nature, derived);
    derived.attacks.clear();
    derived.attacks.extend(attack::attacks(&worn, &nature, derived).into_iter().flatten());
}

/// Carried weight, in millipounds.
fn carried(character: &Character, catalogue: &Catalogue) -> i64 {
    let weigh = |id, quantity| catalogue.item(id).map_or(0, |item| item.unit_weight_millipounds() * quantity);
    let entries = character.build.inventory.entries().iter();
    let items: i64 = entries.map(|entry| weigh(entry.item, i64::from(entry.quantity))).sum();
    items + character.vitals.purse.count() * MILLIPOUNDS / COINS_PER_POUND
}

/// Saving throw bonuses. Source: SRD 5.1, "Saving Throws".
fn saving_throws(character: &Character, worn: &Worn<'_>, nature: &Nature<'_>, derived: &Derived) -> Abilities {
    let mut bonuses = derived.modifiers;
    let mut extra = worn.bonuses.saving_throws;
    let mut proficient = [false; 6];
    for ability in nature.class.map_or(&[][..], Class::saving_throws) {
        proficient[*ability as usize] = true;
    }
    for gives in nature.features() {
        match gives {
            Gives::SavingThrows(abilities) => abilities.iter().for_each(|ability| proficient[*ability as usize] = true),
            Gives::AddsToSavingThrows(ability) if character.vitals.life == Life::Conscious => {
                extra += derived.modifiers.get(*ability).max(1);
            }
            _ => {}
        }
    }
    for ability in Ability::ALL {
        let proficiency = if proficient[*ability as usize] { derived.proficiency_bonus } else { 0 };
        *bonuses.get_mut(*ability) += proficiency + extra;
    }
    bonuses
}

/// Skill bonuses, passive perception and initiative: all are ability checks. Source: SRD 5.1, "Ability Checks".
fn derive_skills(
    character: &Character,
    catalogue: &Catalogue,
    worn: &Worn<'_>,
    nature: &Nature<'_>,
    derived: &mut Derived,
) {
    let bonus = derived.proficiency_bonus;
    let has_half = nature.features().any(|gives| matches!(gives, Gives::HalfProficiency));
    let untrained = if has_half { bonus / 2 } else { 0 } + worn.bonuses.ability_checks;
    let trained = bonus + worn.bonuses.ability_checks;
    derived.skills.clear();
    derived.passive_perception = 10 + derived.modifiers.get(Ability::Wisdom) + untrained;
    for skill in catalogue.skills() {
        let proficiency = match skill.id() {
            id if character.build.expertise.contains(&id) => trained + bonus,
            id if character.build.skills.contains(&id) => trained,
            _ => untrained,
        };
        let number = derived.modifiers.get(skill.ability()) + proficiency;
        derived.skills.push((skill.id(), number));
        if skill.id().as_str() == PERCEPTION {
            derived.passive_perception = 10 + number;
        }
    }
    derived.initiative = derived.modifiers.get(Ability::Dexterity) + untrained;
}
