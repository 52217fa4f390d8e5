//! The maps and lists within a character.

use castellan_protocol::{Ability, Slot};
use serde::ser::{Serialize, SerializeMap, SerializeSeq, SerializeStruct, Serializer};

use castellan_srd::{Abilities, Attack, Character, DeathSaves, Derived, Entry, Inventory};

/// A number for each ability.
pub(super) struct Scores<'a>(pub(super) &'a Abilities);

impl Serialize for Scores<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_struct("Scores", Ability::ALL.len())?;
        for ability in Ability::ALL {
            map.serialize_field(ability.as_str(), &self.0.get(*ability))?;
        }
        map.end()
    }
}

/// Death saves so far.
pub(super) struct Saves(pub(super) DeathSaves);

impl Serialize for Saves {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_struct("DeathSaves", 2)?;
        map.serialize_field("successes", &self.0.successes())?;
        map.serialize_field("failures", &self.0.failures())?;
        map.end()
    }
}

/// The slots that hold something.
pub(super) struct Worn<'a>(pub(super) &'a Character);

impl Serialize for Worn<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let worn = || Slot::ALL.iter().filter_map(|slot| Some((slot.as_str(), self.0.worn(*slot)?)));
        let mut map = serializer.serialize_map(Some(worn().count()))?;
        for (slot, item) in worn() {
            map.serialize_entry(slot, &item)?;
        }
        map.end()
    }
}

/// Everything carried.
pub(super) struct Items<'a>(pub(super) &'a Inventory);

impl Serialize for Items<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let entries = self.0.entries();
        let mut list = serializer.serialize_seq(Some(entries.len()))?;
        for entry in entries {
            list.serialize_element(&Units(entry))?;
        }
        list.end()
    }
}

struct Units<'a>(&'a Entry);

impl Serialize for Units<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_struct("InventoryEntry", 2)?;
        map.serialize_field("item", &self.0.item())?;
        map.serialize_field("quantity", &self.0.quantity())?;
        map.end()
    }
}

/// Fields of `derived`.
pub(super) const DERIVED_FIELDS: usize = 13;

/// What follows from a character.
pub(super) struct DerivedView<'a>(pub(super) &'a Derived);

impl Serialize for DerivedView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let derived = self.0;
        let mut map = serializer.serialize_struct("Derived", DERIVED_FIELDS)?;
        map.serialize_field("armor_class", &derived.armor_class())?;
        map.serialize_field("speed", &derived.speed())?;
        map.serialize_field("initiative", &derived.initiative())?;
        map.serialize_field("proficiency_bonus", &derived.proficiency_bonus())?;
        map.serialize_field("passive_perception", &derived.passive_perception())?;
        map.serialize_field("abilities", &Scores(derived.abilities()))?;
        map.serialize_field("modifiers", &Scores(derived.modifiers()))?;
        map.serialize_field("saving_throws", &Scores(derived.saving_throws()))?;
        map.serialize_field("skills", &Skills(derived))?;
        map.serialize_field("carrying_capacity", &derived.carrying_capacity())?;
        map.serialize_field("carried_weight", &derived.carried_weight())?;
        map.serialize_field("attacks", &Attacks(derived.attacks()))?;
        map.serialize_field("flags", &FlagNames(derived))?;
        map.end()
    }
}

struct Skills<'a>(&'a Derived);

impl Serialize for Skills<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let skills = self.0.skills();
        let mut map = serializer.serialize_map(Some(skills.len()))?;
        for (skill, bonus) in skills {
            map.serialize_entry(skill, bonus)?;
        }
        map.end()
    }
}

struct Attacks<'a>(&'a [Attack]);

impl Serialize for Attacks<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.0.len()))?;
        for attack in self.0 {
            list.serialize_element(&AttackView(attack))?;
        }
        list.end()
    }
}

struct AttackView<'a>(&'a Attack);

impl Serialize for AttackView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_struct("Attack", 4)?;
        map.serialize_field("item", &self.0.item())?;
        map.serialize_field("attack_bonus", &self.0.attack_bonus())?;
        map.serialize_field("damage", self.0.damage().as_str())?;
        map.serialize_field("damage_type", self.0.damage_type())?;
        map.end()
    }
}

struct FlagNames<'a>(&'a Derived);

impl Serialize for FlagNames<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let flags = self.0.flags();
        let mut list = serializer.serialize_seq(Some(flags.len()))?;
        for flag in flags.iter() {
            list.serialize_element(flag.as_str())?;
        }
        list.end()
    }
}
