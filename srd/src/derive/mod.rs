//! Computes the derived sheet: all numbers that follow from a character by the rules.

mod attack;
mod defense;
mod flags;
mod magic;
mod movement;

use crate::request::Ability;

pub(super) use magic::Worn;

use super::ability::{Abilities, proficiency_bonus};
use super::catalogue::{Catalogue, Class, Gifts, Gives, MILLIPOUNDS, Race, Subrace};
use super::character::{Character, Life};
use crate::derived::{Derived, Flags};

/// Pounds carried per point of strength. Source: SRD 5.1, "Lifting and Carrying".
const CARRYING_LB_PER_STRENGTH: i32 = 15;

/// Coins per pound. Source: SRD 5.1, "Equipment", "Coinage".
const COINS_PER_POUND: i64 = 50;

/// The skill behind passive perception.
const PERCEPTION: &str = "perception";

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
    let entries = character.build.inventory.stacks().iter();
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
