//! Reads items and magic from their entries.

use crate::request::{Ability, Slot};
use toml::Value;

use super::dice_text::DiceText;
use super::entry::{Place, TableReader};
use super::item::{Armor, ArmorKind, Effect, Item, MILLIPOUNDS, Magic, Purpose, Range, Weapon};
use crate::ability::MAGIC_SCORE_MAX;
use crate::symbol::Symbol;

/// Highest price of a bundle, in copper. Times the largest quantity it stays far within 64 bits.
const COST_CP_MAX: i64 = 1_000_000_000;
/// Highest weight of a bundle, in pounds. Times the largest quantity and inventory it stays far within 64 bits.
const WEIGHT_LB_MAX: f64 = 1_000_000.0;
/// Largest bundle.
const SOLD_IN_MAX: i64 = 1_000_000;
/// Largest bonus of an effect, and highest armour class.
const BONUS_MAX: i32 = 100;
/// Longest distance, in feet.
const DISTANCE_FT_MAX: i32 = 10_000;

/// Magic that creates variants of mundane items.
#[derive(Debug)]
pub(super) struct Enchantment {
    pub(super) place: Place,
    pub(super) id: Symbol,
    pub(super) name: String,
    pub(super) applies_to: Vec<Target>,
    pub(super) except: Vec<Symbol>,
    /// True if its variants cannot be given away or traded.
    pub(super) bound: bool,
    pub(super) magic: Magic,
}

/// The kind of item that an enchantment applies to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    Weapon,
    Armor(ArmorKind),
}

impl Target {
    fn from_name(name: &str) -> Option<Self> {
        if name == "weapon" { Some(Self::Weapon) } else { ArmorKind::from_name(name).map(Self::Armor) }
    }

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Weapon => "weapon",
            Self::Armor(kind) => kind.as_str(),
        }
    }
}

/// A `[[magic]]` entry: an item or an enchantment.
pub(super) enum MagicEntry {
    Item(Box<Item>),
    Enchantment(Enchantment),
}

/// Reads an `[[item]]`.
pub(super) fn item(entry: &TableReader<'_>) -> Item {
    let sold_in = entry.integer_if_present("sold_in", 1..=SOLD_IN_MAX).unwrap_or(1);
    let cost_cp = Some(entry.integer("cost_cp", 0..=COST_CP_MAX)).filter(|cost_cp| *cost_cp > 0);
    let (weight_lb, unit_weight_millipounds) = weight(entry, sold_in);
    let weapon = entry.table_if_present("weapon").map(|table| weapon(&table));
    let armor = entry.table_if_present("armor").and_then(|table| armor(&table));
    let purpose = match (weapon, armor) {
        (Some(_), Some(_)) => {
            entry.complain("armor", "an item must be a weapon or armor, not both");
            Purpose::Gear
        }
        (Some(weapon), None) => Purpose::Weapon(weapon),
        (None, Some(armor)) => Purpose::Armor(armor),
        (None, None) => Purpose::Gear,
    };
    let item = Item {
        id: entry.id(),
        name: entry.text("name").to_owned(),
        category: entry.text("category").to_owned(),
        group: entry.text_if_present("group").map(str::to_owned),
        cost_cp,
        weight_lb,
        sold_in,
        unit_weight_millipounds,
        bound: entry.flag("bound"),
        contents: units(entry, "contents"),
        purpose,
        magic: None,
    };
    entry.finish();
    item
}

/// The given weight, and the weight of one unit in millipounds.
fn weight(entry: &TableReader<'_>, sold_in: i64) -> (Option<f64>, i64) {
    let Some(weight_lb) = entry.number_if_present("weight_lb") else { return (None, 0) };
    if !(0.0..=WEIGHT_LB_MAX).contains(&weight_lb) {
        entry.complain("weight_lb", format!("must be from 0 to {WEIGHT_LB_MAX} pounds"));
        return (None, 0);
    }
    let millipounds = weight_lb * MILLIPOUNDS as f64;
    // The cast is exact: the number is whole, not negative and at most 10^9.
    let whole = millipounds.round() as i64;
    if (millipounds - whole as f64).abs() > 1e-6 || whole % sold_in != 0 {
        entry.complain("weight_lb", "the weight of one unit must be a multiple of 0.001 pounds");
    }
    (Some(weight_lb), whole / sold_in)
}

/// A list of `{ item, quantity }`.
pub(super) fn units(entry: &TableReader<'_>, field: &'static str) -> Vec<(Symbol, i32)> {
    let unit = |table: TableReader<'_>| {
        let unit = (Symbol::new(table.text("item")), table.small("quantity", 1..=1000));
        table.finish();
        unit
    };
    entry.tables(field).into_iter().map(unit).collect()
}

fn weapon(table: &TableReader<'_>) -> Weapon {
    let kind = |simple: &str, other: &str, name: &str| match name {
        _ if name == simple => Some(false),
        _ if name == other => Some(true),
        _ => None,
    };
    let properties = table.texts("properties");
    let has = |property| properties.contains(&property);
    let weapon = Weapon {
        martial: table.choice("category", "`simple` or `martial`", |name| kind("simple", "martial", name))
            == Some(true),
        ranged: table.choice("range", "`melee` or `ranged`", |name| kind("melee", "ranged", name)) == Some(true),
        damage: dice_if_present(table, "damage"),
        damage_type: table.text_if_present("damage_type").map(Symbol::new),
        two_handed_damage: dice_if_present(table, "two_handed_damage"),
        proficiency: Symbol::new(table.text("proficiency")),
        range_ft: range(table, "range_ft"),
        throw_range_ft: range(table, "throw_range_ft"),
        finesse: has("finesse"),
        light: has("light"),
        heavy: has("heavy"),
        two_handed: has("two-handed"),
        monk: has("monk"),
        properties: properties.iter().map(|property| Symbol::new(property)).collect(),
    };
    if weapon.two_handed_damage.is_some() != has("versatile") {
        table.complain("two_handed_damage", "required for `versatile` weapons, forbidden for others");
    }
    table.finish();
    weapon
}

fn range(table: &TableReader<'_>, field: &'static str) -> Option<Range> {
    let table = table.table_if_present(field)?;
    let range = Range {
        normal: table.small("normal", 0..=DISTANCE_FT_MAX),
        long: table.small_if_present("long", 0..=DISTANCE_FT_MAX),
    };
    table.finish();
    Some(range)
}

fn dice_if_present(table: &TableReader<'_>, field: &'static str) -> Option<DiceText> {
    let text = table.text_if_present(field)?;
    let dice = DiceText::parse(text);
    if dice.is_none() {
        table.complain(field, "must be dice such as `1d8` or `2d4+2`");
    }
    dice
}

fn armor(table: &TableReader<'_>) -> Option<Armor> {
    let kind = table.choice("kind", "`light`, `medium`, `heavy` or `shield`", ArmorKind::from_name);
    let base = table.small("base", 0..=BONUS_MAX);
    let adds_dex = table.flag("adds_dex");
    let dex_max = table.small_if_present("dex_max", 0..=BONUS_MAX);
    let strength_min = table.small("strength_min", 0..=MAGIC_SCORE_MAX);
    let stealth_disadvantage = table.flag("stealth_disadvantage");
    table.finish();
    Some(Armor { kind: kind?, base, adds_dex, dex_max, strength_min, stealth_disadvantage })
}

/// Reads a `[[magic]]`.
pub(super) fn magic(entry: &TableReader<'_>) -> Option<MagicEntry> {
    let id = entry.id();
    let name = entry.text("name").to_owned();
    let slot = entry.text_if_present("slot");
    let applies_to = entry.texts_if_present("applies_to");
    let except = entry.texts_if_present("except").into_iter().map(Symbol::new).collect();
    let magic = Magic {
        rarity: entry.text("rarity").to_owned(),
        attunement: entry.flag("attunement"),
        effects: entry.tables("effects").iter().filter_map(effect).collect(),
    };
    let bound = entry.flag("bound");
    let cost_cp = entry.integer_if_present("cost_cp", 0..=COST_CP_MAX).filter(|cost_cp| *cost_cp > 0);
    let (weight_lb, unit_weight_millipounds) = weight(entry, 1);
    entry.finish();
    match slot {
        Some(slot) if applies_to.is_empty() => {
            let purpose = purpose(entry, slot, &magic)?;
            Some(MagicEntry::Item(Box::new(Item {
                id,
                name,
                category: "magic-item".to_owned(),
                group: None,
                cost_cp,
                weight_lb,
                sold_in: 1,
                unit_weight_millipounds,
                bound,
                contents: Vec::new(),
                purpose,
                magic: Some(magic),
            })))
        }
        None if !applies_to.is_empty() => {
            let targets: Option<Vec<_>> = applies_to.iter().map(|name| Target::from_name(name)).collect();
            let Some(applies_to) = targets else {
                entry.complain("applies_to", "must list `weapon`, `light`, `medium`, `heavy` or `shield`");
                return None;
            };
            if cost_cp.is_some() || weight_lb.is_some() {
                let why = "remove cost_cp and weight_lb: a variant has no price, and it weighs as much as its item";
                entry.complain("cost_cp", why);
            }
            let place = entry.place();
            Some(MagicEntry::Enchantment(Enchantment { place, id, name, applies_to, except, bound, magic }))
        }
        _ => {
            entry.complain("slot", "set exactly one of `slot` and `applies_to`");
            None
        }
    }
}

fn purpose(entry: &TableReader<'_>, slot: &str, magic: &Magic) -> Option<Purpose> {
    Some(match slot {
        "head" => Purpose::Worn(&[Slot::Head]),
        "neck" => Purpose::Worn(&[Slot::Neck]),
        "cloak" => Purpose::Worn(&[Slot::Cloak]),
        "waist" => Purpose::Worn(&[Slot::Waist]),
        "hands" => Purpose::Worn(&[Slot::Hands]),
        "wrists" => Purpose::Worn(&[Slot::Wrists]),
        "feet" => Purpose::Worn(&[Slot::Feet]),
        "ring" => Purpose::Worn(&[Slot::Ring1, Slot::Ring2]),
        "carried" => Purpose::Carried,
        "consumable" => {
            let heals = magic.effects.iter().find_map(|effect| match effect {
                Effect::Heal(dice) => Some(*dice),
                _ => None,
            });
            if heals.is_none() {
                entry.complain("effects", "a consumable must have the effect `heal`");
            }
            Purpose::Consumable(heals?)
        }
        _ => {
            let slots = "head, neck, cloak, waist, hands, wrists, feet, ring, carried or consumable";
            entry.complain("slot", format!("must be {slots}"));
            return None;
        }
    })
}

fn effect(table: &TableReader<'_>) -> Option<Effect> {
    let (field, effect) = effect_of(table)?;
    let only_if = table.texts_if_present("only_if");
    table.finish();
    let effect = effect.or_else(|| {
        table.complain(field, "not a valid value for this effect");
        None
    })?;
    match effect {
        Effect::ArmorClass { bonus, .. } => {
            if only_if.iter().any(|condition| !["no_armor", "no_shield"].contains(condition)) {
                table.complain("only_if", "must list `no_armor` or `no_shield`");
            }
            let has = |condition| only_if.contains(&condition);
            Some(Effect::ArmorClass { bonus, no_armor: has("no_armor"), no_shield: has("no_shield") })
        }
        effect => {
            if !only_if.is_empty() {
                table.complain("only_if", "allowed only for `armor_class`");
            }
            Some(effect)
        }
    }
}

/// The field that names an effect, and the effect if the field's value is valid.
fn effect_of(table: &TableReader<'_>) -> Option<(&'static str, Option<Effect>)> {
    type Read = fn(&Value) -> Option<Effect>;
    let kinds: [(&'static str, Read); 11] = [
        ("set_ability_min", |value| {
            let (ability, [score]) = scores(value)?;
            Some(Effect::SetAbilityMin(ability, score))
        }),
        ("add_ability", |value| {
            let (ability, [bonus, most]) = scores(value)?;
            Some(Effect::AddAbility(ability, bonus, most))
        }),
        ("armor_class", |value| {
            bonus(value).map(|bonus| Effect::ArmorClass { bonus, no_armor: false, no_shield: false })
        }),
        ("saving_throws", |value| bonus(value).map(Effect::SavingThrows)),
        ("ability_checks", |value| bonus(value).map(Effect::AbilityChecks)),
        ("speed_min_ft", |value| bonus(value).map(Effect::SpeedMin)),
        ("ignores_armor_and_encumbrance_speed_penalty", |value| flag(value, Effect::IgnoresSpeedPenalties)),
        ("attack_and_damage", |value| bonus(value).map(Effect::AttackAndDamage)),
        ("no_stealth_disadvantage", |value| flag(value, Effect::NoStealthDisadvantage)),
        ("no_strength_min", |value| flag(value, Effect::NoStrengthMin)),
        ("heal", |value| value.as_str().and_then(DiceText::parse).map(Effect::Heal)),
    ];
    let mut found = kinds.iter().filter_map(|(field, read)| Some((*field, read(table.raw(field)?))));
    let first = found.next();
    if first.is_none() {
        table.complain("", "an effect needs one of the fields listed at the top of magic.toml");
    }
    if let Some((field, _)) = found.next() {
        table.complain(field, "write each effect in its own table");
    }
    first
}

fn bonus(value: &Value) -> Option<i32> {
    i32::try_from(value.as_integer()?).ok().filter(|bonus| (-BONUS_MAX..=BONUS_MAX).contains(bonus))
}

fn flag(value: &Value, effect: Effect) -> Option<Effect> {
    value.as_bool()?.then_some(effect)
}

/// An ability followed by `N` numbers.
fn scores<const N: usize>(value: &Value) -> Option<(Ability, [i32; N])> {
    let (ability, numbers) = value.as_array()?.split_first()?;
    let numbers = super::entry::integers(&Value::Array(numbers.to_vec()), &(1..=MAGIC_SCORE_MAX))?;
    Some((Ability::from_name(ability.as_str()?)?, numbers.try_into().ok()?))
}
