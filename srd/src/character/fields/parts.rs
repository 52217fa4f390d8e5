//! The parts of a character that have fields of their own, as clients see them and as they are packed.

use std::collections::BTreeMap;

use castellan_game::{Field, Restore, record};
use castellan_protocol::pack;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::ability::{Abilities, MAGIC_SCORE_MAX};
use crate::character::{self, Equipment, Life};
use crate::derived::{self, Flags, Skills};
use crate::inventory::{INVENTORY_ENTRIES_MAX, Inventory, Stack};
use crate::money::Purse;
use crate::request::Coin;
use crate::request::limits::QUANTITY_MAX;
use crate::request::{Ability, Slot};
use crate::symbol::Symbol;

record! {
    /// Death saves so far: three of a kind decide.
    pub struct DeathSaves, of character::DeathSaves {
        /// Successes.
        successes: i32 = successes,
        /// Failures.
        failures: i32 = failures,
    }
}

record! {
    /// Units of one item.
    pub struct InventoryEntry, of Stack {
        /// The item's id.
        item: Symbol = item,
        /// 1 to 1,000,000.
        quantity: i32 = quantity,
    }
}

record! {
    /// The values that the rules compute from the rest of a character.
    pub struct Derived, of derived::Derived {
        /// Armour class.
        armor_class: i32 = armor_class,
        /// Walking speed, in feet per round.
        speed: i32 = speed,
        /// Initiative bonus.
        initiative: i32 = initiative,
        /// Proficiency bonus.
        proficiency_bonus: i32 = proficiency_bonus,
        /// 10 plus the perception bonus.
        passive_perception: i32 = passive_perception,
        /// Effective scores, items included.
        abilities: Abilities = abilities,
        /// Ability modifiers of the effective scores.
        modifiers: Abilities = modifiers,
        /// Saving throw bonuses.
        saving_throws: Abilities = saving_throws,
        /// Skill bonuses by skill id.
        skills: Skills = skills,
        /// In pounds.
        carrying_capacity: i32 = carrying_capacity,
        /// In pounds, coins included.
        carried_weight: f64 = carried_weight(),
        /// One for each weapon wielded.
        attacks: Vec<derived::Attack> = attacks,
        /// Hindrances that change no number, such as `stealth_disadvantage`.
        flags: Flags = flags,
    }
}

record! {
    /// The numbers of a wielded weapon.
    pub struct Attack, of derived::Attack {
        /// The weapon's item id.
        item: Symbol = item,
        /// Added to the d20.
        attack_bonus: i32 = attack_bonus,
        /// Dice and bonus, such as `1d8+4`.
        damage: String = damage().as_str(),
        /// Such as `slashing`.
        damage_type: String = damage_type(),
    }
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

impl Field for Abilities {
    type Wire = Scores;

    /// All six in one piece if each is a single byte.
    fn pack(&self, out: &mut Vec<u8>) {
        let mut packed = *b"\x86\xa3str\0\xa3dex\0\xa3con\0\xa3int\0\xa3wis\0\xa3cha\0";
        /// Bytes before the first number, and from one number to the next.
        const FIRST: usize = 5;
        const STEP: usize = 5;
        let numbers = self.numbers();
        if numbers.iter().all(|number| (-32..=127).contains(number)) {
            for (index, number) in numbers.into_iter().enumerate() {
                // The low byte of a number in this range is its packed form.
                packed[FIRST + STEP * index] = number as u8;
            }
            return out.extend_from_slice(&packed);
        }
        pack::entries(out, Ability::ALL.len());
        for (ability, number) in Ability::ALL.iter().zip(numbers) {
            pack::text(out, ability.as_str());
            pack::signed(out, number.into());
        }
    }

    fn schema() -> Value {
        numbers(Ability::ALL.iter().map(|ability| ability.as_str()))
    }
}

impl Restore for Abilities {
    fn restore(wire: Scores) -> Result<Self, &'static str> {
        let score = |number| within(number, 1, MAGIC_SCORE_MAX);
        let Scores { str, dex, con, int, wis, cha } = wire;
        Ok(Self::new([score(str)?, score(dex)?, score(con)?, score(int)?, score(wis)?, score(cha)?]))
    }
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

impl Field for Purse {
    type Wire = Currency;

    fn pack(&self, out: &mut Vec<u8>) {
        pack::entries(out, Coin::ALL.len());
        for &coin in Coin::ALL {
            pack::text(out, coin.as_str());
            pack::signed(out, self.coins(coin));
        }
    }

    fn schema() -> Value {
        numbers(Coin::ALL.iter().map(|coin| coin.as_str()))
    }
}

impl Restore for Purse {
    fn restore(wire: Currency) -> Result<Self, &'static str> {
        let Currency { cp, sp, ep, gp, pp } = wire;
        Self::from_coins([cp, sp, ep, gp, pp]).ok_or("out of bounds")
    }
}

impl Field for Symbol {
    type Wire = String;

    fn pack(&self, out: &mut Vec<u8>) {
        pack::text(out, self.as_str());
    }

    fn schema() -> Value {
        str::schema()
    }
}

impl Restore for Symbol {
    fn restore(wire: String) -> Result<Self, &'static str> {
        Ok(Self::new(&wire))
    }
}

impl Field for Life {
    type Wire = String;

    fn pack(&self, out: &mut Vec<u8>) {
        pack::text(out, self.as_str());
    }

    fn schema() -> Value {
        json!({"type": "string", "enum": Self::ALL.map(Self::as_str)})
    }
}

impl Restore for Life {
    fn restore(wire: String) -> Result<Self, &'static str> {
        Self::from_name(&wire).ok_or("unknown")
    }
}

impl Restore for character::DeathSaves {
    fn restore(wire: DeathSaves) -> Result<Self, &'static str> {
        let saves = |number, message| within(number, 0, 3).map_err(|_| message);
        let successes = saves(wire.successes, "successes must be 0 to 3")?;
        Ok(Self { successes, failures: saves(wire.failures, "failures must be 0 to 3")? })
    }
}

impl Field for Equipment {
    type Wire = BTreeMap<String, String>;

    fn pack(&self, out: &mut Vec<u8>) {
        let worn = || Slot::ALL.iter().filter_map(|slot| Some((slot.as_str(), self[*slot as usize]?)));
        pack::entries(out, worn().count());
        for (slot, item) in worn() {
            pack::text(out, slot);
            item.pack(out);
        }
    }

    fn schema() -> Value {
        json!({"type": "object", "additionalProperties": {"type": "string"}})
    }
}

impl Restore for Equipment {
    fn restore(wire: BTreeMap<String, String>) -> Result<Self, &'static str> {
        let mut equipment = Self::default();
        for (slot, item) in &wire {
            let slot = Slot::from_name(slot).ok_or("has an unknown slot")?;
            equipment[slot as usize] = Some(Symbol::new(item));
        }
        Ok(equipment)
    }
}

impl Field for Inventory {
    type Wire = Vec<InventoryEntry>;

    fn pack(&self, out: &mut Vec<u8>) {
        self.stacks().pack(out);
    }

    fn schema() -> Value {
        json!({"type": "array", "items": Stack::schema(), "maxItems": INVENTORY_ENTRIES_MAX})
    }
}

impl Restore for Inventory {
    fn restore(wire: Vec<InventoryEntry>) -> Result<Self, &'static str> {
        const MOST: i32 = QUANTITY_MAX as i32;
        let entry = |line: InventoryEntry| -> Result<Stack, &'static str> {
            Ok(Stack { item: Symbol::new(&line.item), quantity: within(line.quantity, 1, MOST)? })
        };
        Ok(Self::from_stacks(wire.into_iter().map(entry).collect::<Result<_, _>>()?))
    }
}

impl Field for Skills {
    type Wire = BTreeMap<String, i64>;

    fn pack(&self, out: &mut Vec<u8>) {
        pack::entries(out, self.len());
        for (skill, bonus) in self.iter() {
            skill.pack(out);
            bonus.pack(out);
        }
    }

    fn schema() -> Value {
        json!({"type": "object", "additionalProperties": {"type": "integer"}})
    }
}

impl Field for Flags {
    type Wire = Vec<String>;

    fn pack(&self, out: &mut Vec<u8>) {
        pack::elements(out, self.len());
        self.iter().for_each(|flag| flag.as_str().pack(out));
    }

    fn schema() -> Value {
        <[String]>::schema()
    }
}

/// A map with a number for each of these names.
fn numbers<'a>(names: impl Iterator<Item = &'a str>) -> Value {
    let names: Vec<_> = names.collect();
    let properties: serde_json::Map<_, _> =
        names.iter().map(|name| ((*name).to_owned(), json!({"type": "integer"}))).collect();
    json!({"type": "object", "properties": properties, "required": names})
}

fn within(number: i64, least: i32, most: i32) -> Result<i32, &'static str> {
    i32::try_from(number).ok().filter(|number| (least..=most).contains(number)).ok_or("out of bounds")
}
