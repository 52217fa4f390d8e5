//! Items, their slots and their effects.

use crate::request::{Ability, Slot};

use super::dice_text::DiceText;
use crate::symbol::Symbol;

/// Millipounds in a pound: in millipounds, weights add up without rounding.
pub const MILLIPOUNDS: i64 = 1000;

/// An item of the catalogue.
#[derive(Debug, Clone)]
pub struct Item {
    pub(super) id: Symbol,
    pub(super) name: String,
    pub(super) category: String,
    /// A finer group, such as `ammunition`.
    pub(super) group: Option<String>,
    /// Price of a bundle in copper; `None` if it is not for sale.
    pub(super) cost_cp: Option<i64>,
    /// Weight of a bundle in pounds, as in the file.
    pub(super) weight_lb: Option<f64>,
    /// Units in a bundle.
    pub(super) sold_in: i64,
    /// Weight of one unit, in millipounds.
    pub(super) unit_weight_millipounds: i64,
    /// True if it cannot be given away or traded.
    pub(super) bound: bool,
    pub(super) contents: Vec<(Symbol, i32)>,
    pub(super) purpose: Purpose,
    pub(super) magic: Option<Magic>,
}

/// The purpose of an item.
#[derive(Debug, Clone)]
pub enum Purpose {
    /// Wielded.
    Weapon(Weapon),
    /// Worn as armour, or held as a shield.
    Armor(Armor),
    /// Worn elsewhere.
    Worn(&'static [Slot]),
    /// Works from the pack.
    Carried,
    /// Used up; heals these dice.
    Consumable(DiceText),
    /// Anything else.
    Gear,
}

/// A weapon's numbers.
#[derive(Debug, Clone)]
pub struct Weapon {
    pub(super) martial: bool,
    pub(super) ranged: bool,
    pub(super) damage: Option<DiceText>,
    pub(super) damage_type: Option<Symbol>,
    pub(super) two_handed_damage: Option<DiceText>,
    pub(super) properties: Vec<Symbol>,
    pub(super) proficiency: Symbol,
    pub(super) range_ft: Option<Range>,
    pub(super) throw_range_ft: Option<Range>,
    pub(super) finesse: bool,
    pub(super) light: bool,
    pub(super) heavy: bool,
    pub(super) two_handed: bool,
    pub(super) monk: bool,
}

/// The range of a weapon, in feet.
#[derive(Debug, Clone, Copy)]
pub struct Range {
    pub(super) normal: i32,
    pub(super) long: Option<i32>,
}

/// A kind of armour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArmorKind {
    /// Light armour.
    Light,
    /// Medium armour.
    Medium,
    /// Heavy armour.
    Heavy,
    /// A shield.
    Shield,
}

impl ArmorKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Light, Self::Medium, Self::Heavy, Self::Shield];

    /// Its name in the catalogue.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Light => "light",
            Self::Medium => "medium",
            Self::Heavy => "heavy",
            Self::Shield => "shield",
        }
    }

    pub(super) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

/// The numbers of armour or of a shield.
#[derive(Debug, Clone, Copy)]
pub struct Armor {
    pub(super) kind: ArmorKind,
    pub(super) base: i32,
    pub(super) adds_dex: bool,
    pub(super) dex_max: Option<i32>,
    pub(super) strength_min: i32,
    pub(super) stealth_disadvantage: bool,
}

/// The magic of an item.
#[derive(Debug, Clone)]
pub struct Magic {
    pub(super) rarity: String,
    pub(super) attunement: bool,
    pub(super) effects: Vec<Effect>,
}

/// The effect of a magic item on a sheet.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Effect {
    /// Raises the score to this number, if it is lower.
    SetAbilityMin(Ability, i32),
    /// Raises the score by the first number, up to the second.
    AddAbility(Ability, i32, i32),
    /// Added to the armour class.
    ArmorClass {
        /// The bonus.
        bonus: i32,
        /// Only without armour.
        no_armor: bool,
        /// Only without a shield.
        no_shield: bool,
    },
    /// Added to all saving throws.
    SavingThrows(i32),
    /// Added to all ability checks.
    AbilityChecks(i32),
    /// Raises the speed to this many feet, if it is lower.
    SpeedMin(i32),
    /// Neither armour nor load slows the wearer.
    IgnoresSpeedPenalties,
    /// Added to attack and damage of this weapon.
    AttackAndDamage(i32),
    /// The armour no longer hinders stealth.
    NoStealthDisadvantage,
    /// The armour needs no strength.
    NoStrengthMin,
    /// A consumable heals this many hit points.
    Heal(DiceText),
}

impl Item {
    /// Its id.
    pub const fn id(&self) -> Symbol {
        self.id
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its purpose.
    pub const fn purpose(&self) -> &Purpose {
        &self.purpose
    }

    /// Weight of one unit, in millipounds.
    pub const fn unit_weight_millipounds(&self) -> i64 {
        self.unit_weight_millipounds
    }

    /// Returns true if it cannot be given away or traded.
    pub const fn is_bound(&self) -> bool {
        self.bound
    }

    /// Returns true if its magic needs attunement.
    pub fn needs_attunement(&self) -> bool {
        self.magic.as_ref().is_some_and(|magic| magic.attunement)
    }

    /// The effects of its magic.
    pub fn effects(&self) -> &[Effect] {
        self.magic.as_ref().map_or(&[], |magic| &magic.effects)
    }

    /// Price of some units, in copper. Part of a bundle costs its share, rounded up.
    ///
    /// `None` if it is not for sale. Cannot overflow: quantities are at most 1,000,000 and prices are bounded.
    pub fn price_cp(&self, quantity: i32) -> Option<i64> {
        let cost_cp = self.cost_cp? * i64::from(quantity);
        Some((cost_cp + self.sold_in - 1) / self.sold_in)
    }

    /// Proceeds of some units, in copper: half of their value. The total is rounded down.
    pub fn proceeds_cp(&self, quantity: i32) -> Option<i64> {
        Some(self.cost_cp? * i64::from(quantity) / (2 * self.sold_in))
    }

    /// Slots that it fits, the preferred one first.
    pub fn slots(&self) -> &'static [Slot] {
        match &self.purpose {
            Purpose::Weapon(weapon) if weapon.two_handed => &[Slot::MainHand],
            Purpose::Weapon(_) => &[Slot::MainHand, Slot::OffHand],
            Purpose::Armor(armor) if armor.kind == ArmorKind::Shield => &[Slot::Shield],
            Purpose::Armor(_) => &[Slot::Armor],
            Purpose::Worn(slots) => slots,
            Purpose::Carried | Purpose::Consumable(_) | Purpose::Gear => &[],
        }
    }

    /// Its numbers as a weapon.
    pub const fn weapon(&self) -> Option<&Weapon> {
        if let Purpose::Weapon(weapon) = &self.purpose { Some(weapon) } else { None }
    }

    /// Its numbers as armour or shield.
    pub const fn armor(&self) -> Option<&Armor> {
        if let Purpose::Armor(armor) = &self.purpose { Some(armor) } else { None }
    }

    /// Returns true if it is wielded with both hands.
    pub fn is_two_handed(&self) -> bool {
        self.weapon().is_some_and(|weapon| weapon.two_handed)
    }
}

impl Weapon {
    /// True for a martial weapon, false for a simple one.
    pub const fn is_martial(&self) -> bool {
        self.martial
    }

    /// True for a ranged weapon, false for a melee one.
    pub const fn is_ranged(&self) -> bool {
        self.ranged
    }

    /// Damage in one hand.
    pub const fn damage(&self) -> Option<DiceText> {
        self.damage
    }

    /// Damage of a versatile weapon in both hands.
    pub const fn two_handed_damage(&self) -> Option<DiceText> {
        self.two_handed_damage
    }

    /// Type of the damage, such as `slashing`.
    pub const fn damage_type(&self) -> Option<Symbol> {
        self.damage_type
    }

    /// Its name in the proficiencies of classes and traits.
    pub const fn proficiency(&self) -> Symbol {
        self.proficiency
    }

    /// True if it uses the better of strength and dexterity.
    pub const fn is_finesse(&self) -> bool {
        self.finesse
    }

    /// True if it suits fighting with two weapons.
    pub const fn is_light(&self) -> bool {
        self.light
    }

    /// True if it is too big for small wielders.
    pub const fn is_heavy(&self) -> bool {
        self.heavy
    }

    /// True for a weapon of the monk's martial arts.
    pub const fn is_monk(&self) -> bool {
        self.monk
    }
}

impl Armor {
    /// Its kind.
    pub const fn kind(&self) -> ArmorKind {
        self.kind
    }

    /// The armour's armour class, or the shield's bonus.
    pub const fn base(&self) -> i32 {
        self.base
    }

    /// The part of a dexterity modifier that counts with it.
    pub fn dexterity_bonus(&self, modifier: i32) -> i32 {
        match (self.adds_dex, self.dex_max) {
            (false, _) => 0,
            (true, Some(most)) => modifier.min(most),
            (true, None) => modifier,
        }
    }

    /// Strength needed to wear it without being slowed; 0 for none.
    pub const fn strength_min(&self) -> i32 {
        self.strength_min
    }

    /// Returns true if it hinders stealth.
    pub const fn has_stealth_disadvantage(&self) -> bool {
        self.stealth_disadvantage
    }
}
