//! Worn items and their active magic.

use crate::request::Slot;

use crate::ability::{Abilities, MAGIC_SCORE_MAX};
use crate::catalogue::{Armor, ArmorKind, Catalogue, Effect, Item, Purpose};
use crate::character::Character;
use crate::request::Ability;
use crate::symbol::Symbol;

/// The worn and wielded items of a character, and the sum of their magic.
pub(crate) struct Worn<'c> {
    pub(super) armor: Option<&'c Armor>,
    pub(super) shield: Option<&'c Armor>,
    pub(super) main_hand: Option<&'c Item>,
    pub(super) off_hand: Option<&'c Item>,
    pub(super) bonuses: Bonuses,
}

/// The sum of all active magic.
#[derive(Debug, Default)]
pub(crate) struct Bonuses {
    /// The score is at least this.
    ability_min: Abilities,
    ability_add: Abilities,
    /// The score up to which `ability_add` counts.
    ability_add_max: Abilities,
    pub(super) armor_class: i32,
    pub(super) saving_throws: i32,
    pub(super) ability_checks: i32,
    pub(super) speed_min: i32,
    pub(super) ignores_speed_penalties: bool,
}

impl<'c> Worn<'c> {
    /// Looks at every slot, and at the items that work from the pack.
    pub(crate) fn of(character: &Character, catalogue: &'c Catalogue) -> Self {
        let item = |slot| character.worn(slot).and_then(|id| catalogue.item(id));
        let armor = |slot, shield: bool| {
            item(slot).and_then(Item::armor).filter(|armor| (armor.kind() == ArmorKind::Shield) == shield)
        };
        let mut worn = Self {
            armor: armor(Slot::Armor, false),
            shield: armor(Slot::Shield, true),
            main_hand: item(Slot::MainHand),
            off_hand: item(Slot::OffHand),
            bonuses: Bonuses::default(),
        };
        for (index, slot) in Slot::ALL.iter().enumerate() {
            let Some(id) = character.worn(*slot) else { continue };
            // Two copies of an item count once. Source: SRD 5.1, "Combining Magical Effects".
            if !character.build.equipment[..index].contains(&Some(id)) {
                worn.count(character, catalogue, id);
            }
        }
        // Items that work from the pack need attunement, so only attuned items can count.
        for id in &character.build.attuned {
            let carried = |item: &Item| matches!(item.purpose(), Purpose::Carried);
            if catalogue.item(*id).is_some_and(carried) && character.build.inventory.quantity(*id) > 0 {
                worn.count(character, catalogue, *id);
            }
        }
        worn
    }

    fn count(&mut self, character: &Character, catalogue: &Catalogue, id: Symbol) {
        let Some(item) = catalogue.item(id) else { return };
        if item.effects().is_empty() || (item.needs_attunement() && !character.build.attuned.contains(&id)) {
            return;
        }
        let bonuses = &mut self.bonuses;
        for effect in item.effects() {
            match *effect {
                Effect::SetAbilityMin(ability, score) => {
                    let least = bonuses.ability_min.get_mut(ability);
                    *least = score.max(*least);
                }
                Effect::AddAbility(ability, bonus, most) => {
                    *bonuses.ability_add.get_mut(ability) += bonus;
                    let highest = bonuses.ability_add_max.get_mut(ability);
                    *highest = most.max(*highest);
                }
                Effect::ArmorClass { bonus, no_armor, no_shield } => {
                    let hindered = (no_armor && self.armor.is_some()) || (no_shield && self.shield.is_some());
                    bonuses.armor_class += if hindered { 0 } else { bonus };
                }
                Effect::SavingThrows(bonus) => bonuses.saving_throws += bonus,
                Effect::AbilityChecks(bonus) => bonuses.ability_checks += bonus,
                Effect::SpeedMin(feet) => bonuses.speed_min = feet.max(bonuses.speed_min),
                Effect::IgnoresSpeedPenalties => bonuses.ignores_speed_penalties = true,
                // These concern only the weapon, the armour or the potion itself.
                Effect::AttackAndDamage(_)
                | Effect::NoStealthDisadvantage
                | Effect::NoStrengthMin
                | Effect::Heal(_) => {}
            }
        }
    }

    /// The bonus from magic on every saving throw.
    pub(crate) const fn saving_throw_bonus(&self) -> i32 {
        self.bonuses.saving_throws
    }

    /// The scores with magic: first the items that set a score, then those that add to it. At most 30.
    pub(crate) fn effective(&self, own: &Abilities) -> Abilities {
        let mut scores = *own;
        for ability in Ability::ALL {
            let score = own.get(*ability).max(self.bonuses.ability_min.get(*ability));
            let added = score + self.bonuses.ability_add.get(*ability);
            let lifted = score.max(added.min(self.bonuses.ability_add_max.get(*ability)));
            *scores.get_mut(*ability) = lifted.min(MAGIC_SCORE_MAX);
        }
        scores
    }
}
