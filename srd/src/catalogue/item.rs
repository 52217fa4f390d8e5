//! Items: what they are, where they go, what they do.

use castellan_protocol::{Ability, Slot};

use super::dice_text::DiceText;
use crate::symbol::Symbol;

/// Thousandths of a pound in a pound: the unit in which weights add up without rounding.
pub const MILLIPOUNDS: i64 = 1000;

/// An item of the catalogue.
#[derive(Debug, Clone)]
pub struct Item {
    pub(super) id: Symbol,
    pub(super) name: String,
    pub(super) category: String,
    /// A finer group, such as `ammunition`.
    pub(super) group: Option<String>,
    /// Price of a bundle in copper; `None` where it is not for sale.
    pub(super) cost_cp: Option<i64>,
    /// Weight of a bundle in pounds, as the file gives it.
    pub(super) weight_lb: Option<f64>,
    /// Units in a bundle.
    pub(super) sold_in: i64,
    /// Weight of one unit, in thousandths of a pound.
    pub(super) unit_weight_millipounds: i64,
    pub(super) contents: Vec<(Symbol, i32)>,
    pub(super) purpose: Purpose,
    pub(super) magic: Option<Magic>,
}

/// What an item is for.
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

/// How far a weapon reaches, in feet.
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

/// What makes an item magic.
#[derive(Debug, Clone)]
pub struct Magic {
    pub(super) rarity: String,
    pub(super) attunement: bool,
    pub(super) effects: Vec<Effect>,
}

/// What a magic item does to a sheet.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Effect {
    /// The score is this, where it is not higher already.
    SetAbilityMin(Ability, i32),
    /// The score grows by the first number, not above the second.
    AddAbility(Ability, i32, i32),
    /// Added to the armour class.
    ArmorClass {
        /// How much.
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
    /// The speed is this many feet, where it is not higher already.
    SpeedMin(i32),
    /// Neither armour nor load slows.
    IgnoresSpeedPenalties,
    /// Added to attack and damage of the weapon itself.
    AttackAndDamage(i32),
    /// The armour no longer hinders stealth.
    NoStealthDisadvantage,
    /// The armour asks for no strength.
    NoStrengthMin,
    /// What a consumable heals.
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

    /// What it is for.
    pub const fn purpose(&self) -> &Purpose {
        &self.purpose
    }

    /// Weight of one unit, in thousandths of a pound.
    pub const fn unit_weight_millipounds(&self) -> i64 {
        self.unit_weight_millipounds
    }

    /// Whether its magic needs attunement.
    pub fn needs_attunement(&self) -> bool {
        self.magic.as_ref().is_some_and(|magic| magic.attunement)
    }

    /// What its magic does.
    pub fn effects(&self) -> &[Effect] {
        self.magic.as_ref().map_or(&[], |magic| &magic.effects)
    }

    /// What units cost, in copper: whole bundles at the catalogue's price, parts of one in proportion, rounded up.
    ///
    /// `None` where it is not for sale. Quantities are at most 1,000,000 and prices bounded, so this cannot overflow.
    pub fn price_cp(&self, quantity: i32) -> Option<i64> {
        let cost_cp = self.cost_cp? * i64::from(quantity);
        Some((cost_cp + self.sold_in - 1) / self.sold_in)
    }

    /// What units bring, in copper: half of what they are worth, rounded down for the deal as a whole.
    pub fn proceeds_cp(&self, quantity: i32) -> Option<i64> {
        Some(self.cost_cp? * i64::from(quantity) / (2 * self.sold_in))
    }

    /// Slots that it can be put into, the first choice first.
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

    /// Whether it is wielded with both hands.
    pub fn is_two_handed(&self) -> bool {
        self.weapon().is_some_and(|weapon| weapon.two_handed)
    }
}

impl Weapon {
    /// Whether it is a martial weapon, not a simple one.
    pub const fn is_martial(&self) -> bool {
        self.martial
    }

    /// Whether it is a ranged weapon, not a melee one.
    pub const fn is_ranged(&self) -> bool {
        self.ranged
    }

    /// What it does in one hand.
    pub const fn damage(&self) -> Option<DiceText> {
        self.damage
    }

    /// What a versatile weapon does in both hands.
    pub const fn two_handed_damage(&self) -> Option<DiceText> {
        self.two_handed_damage
    }

    /// Such as `slashing`.
    pub const fn damage_type(&self) -> Option<Symbol> {
        self.damage_type
    }

    /// The name under which classes and traits list it by itself.
    pub const fn proficiency(&self) -> Symbol {
        self.proficiency
    }

    /// Strength or dexterity, whichever is better.
    pub const fn is_finesse(&self) -> bool {
        self.finesse
    }

    /// Good for fighting with two weapons.
    pub const fn is_light(&self) -> bool {
        self.light
    }

    /// Too big for small wielders.
    pub const fn is_heavy(&self) -> bool {
        self.heavy
    }

    /// A weapon of the monk's martial arts.
    pub const fn is_monk(&self) -> bool {
        self.monk
    }
}

impl Armor {
    /// Its kind.
    pub const fn kind(&self) -> ArmorKind {
        self.kind
    }

    /// The armour class of the armour, or what the shield adds.
    pub const fn base(&self) -> i32 {
        self.base
    }

    /// What of a dexterity modifier counts with it.
    pub fn dexterity_bonus(&self, modifier: i32) -> i32 {
        match (self.adds_dex, self.dex_max) {
            (false, _) => 0,
            (true, Some(most)) => modifier.min(most),
            (true, None) => modifier,
        }
    }

    /// The strength below which it slows; 0 for none.
    pub const fn strength_min(&self) -> i32 {
        self.strength_min
    }

    /// Whether it hinders stealth.
    pub const fn has_stealth_disadvantage(&self) -> bool {
        self.stealth_disadvantage
    }
}
