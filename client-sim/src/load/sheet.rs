//! The part of a character that the checker needs, read without allocating.

use std::fmt;

use castellan_client::ledger::CharacterState;
use castellan_srd::wire::{CharacterId, Currency, Goods, RequestId, Version};
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// A character's state.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct Sheet {
    pub(crate) id: CharacterId,
    pub(crate) version: Version,
    pub(crate) last: RequestId,
    pub(crate) experience: i64,
    pub(crate) hitpoints: i64,
    pub(crate) max_hitpoints: i64,
    pub(crate) temporary_hitpoints: i64,
    pub(crate) life: Life,
    pub(crate) currency: Currency,
    pub(crate) inventory: Inventory,
    pub(crate) equipment: Digest,
    pub(crate) derived: Digest,
    #[serde(default)]
    pub(crate) parcels: Vec<Digest>,
    #[serde(default)]
    pub(crate) offers: Vec<OpenOffer>,
    #[serde(default)]
    pub(crate) waiting: Vec<Waiting>,
}

/// An open offer of the character.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct OpenOffer {
    pub(crate) number: i64,
    #[serde(default)]
    pub(crate) to: Option<CharacterId>,
    pub(crate) gives: Goods,
    pub(crate) wants: Goods,
}

/// Goods that the character cannot carry yet.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct Waiting {
    pub(crate) goods: Goods,
}

impl CharacterState for Sheet {
    fn id(&self) -> CharacterId {
        self.id
    }

    fn version(&self) -> Version {
        self.version
    }

    fn last(&self) -> RequestId {
        self.last
    }
}

/// The state of life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Life {
    Conscious,
    Dying,
    Stable,
    Dead,
    #[serde(other)]
    Unknown,
}

/// The carried items: the number of units, and a digest of the items.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Inventory {
    pub(crate) units: i64,
    digest: u64,
}

impl<'de> Deserialize<'de> for Inventory {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Carried {
            item: Digest,
            quantity: i64,
        }
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Inventory;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of items")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Inventory, A::Error> {
                let mut inventory = Inventory::default();
                while let Some(Carried { item, quantity }) = list.next_element()? {
                    inventory.units = inventory.units.saturating_add(quantity);
                    inventory.digest = mix(mix(inventory.digest, item.0), quantity.unsigned_abs());
                }
                Ok(inventory)
            }
        }
        deserializer.deserialize_seq(Entries)
    }
}

/// A digest of any value: different values have different digests.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Digest(u64);

impl Digest {
    /// Returns true for the digest of an empty map.
    pub(crate) fn is_empty_map(self) -> bool {
        self.0 == tagged(9, 0)
    }
}

/// One step of FNV-1a, over words.
fn mix(hash: u64, word: u64) -> u64 {
    (hash ^ word).wrapping_mul(0x0100_0000_01b3).rotate_left(29)
}

/// A word tagged with the kind of its value.
fn tagged(kind: u64, word: u64) -> u64 {
    mix(mix(0xcbf2_9ce4_8422_2325, kind), word)
}

fn tagged_bytes(kind: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(tagged(kind, bytes.len() as u64), |hash, byte| mix(hash, u64::from(*byte)))
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Digest;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any value")
            }

            fn visit_unit<E>(self) -> Result<Digest, E> {
                Ok(Digest(1))
            }

            fn visit_bool<E>(self, value: bool) -> Result<Digest, E> {
                Ok(Digest(tagged(2, u64::from(value))))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Digest, E> {
                Ok(Digest(tagged(3, value as u64)))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Digest, E> {
                Ok(Digest(tagged(3, value)))
            }

            fn visit_f64<E>(self, value: f64) -> Result<Digest, E> {
                Ok(Digest(tagged(4, value.to_bits())))
            }

            fn visit_str<E>(self, value: &str) -> Result<Digest, E> {
                Ok(Digest(tagged_bytes(5, value.as_bytes())))
            }

            fn visit_bytes<E>(self, value: &[u8]) -> Result<Digest, E> {
                Ok(Digest(tagged_bytes(6, value)))
            }

            fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Digest, D::Error> {
                IgnoredAny::deserialize(deserializer).map(|_| Digest(7))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Digest, A::Error> {
                let mut hash = tagged(8, 0);
                while let Some(Digest(value)) = list.next_element()? {
                    hash = mix(hash, value);
                }
                Ok(Digest(hash))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Digest, A::Error> {
                let mut hash = tagged(9, 0);
                while let Some((Digest(key), Digest(value))) = map.next_entry()? {
                    // The order of a map's entries does not matter.
                    hash = hash.wrapping_add(mix(mix(key, value), 1));
                }
                Ok(Digest(hash))
            }
        }
        deserializer.deserialize_any(Any)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use serde_json::{Value, json};

    /// A healthy character.
    pub(crate) fn sheet(version: u64, last: u64) -> Sheet {
        let value = json!({
            "id": "f81d4fae-7dec-11d0-a765-00a0c91e6bf6", "version": version, "last": last, "name": "unread",
            "experience": 100, "hitpoints": 10, "max_hitpoints": 12, "temporary_hitpoints": 0, "life": "conscious",
            "currency": {"cp": 0, "sp": 0, "ep": 0, "gp": 5, "pp": 0},
            "inventory": [{"item": "torch", "quantity": 2}, {"item": "dagger", "quantity": 1}],
            "equipment": {"main_hand": "dagger"}, "derived": {"armor_class": 12, "attacks": [{"item": "dagger"}]},
        });
        serde_json::from_value(value).expect("a good sheet")
    }

    fn digest(value: Value) -> Digest {
        serde_json::from_str(&value.to_string()).expect("any value has a digest")
    }

    #[test]
    fn different_values_have_different_digests() {
        let values = [
            json!(null),
            json!(true),
            json!(false),
            json!(0),
            json!(1),
            json!(-1),
            json!(1.5),
            json!("1"),
            json!("a"),
            json!([]),
            json!([1]),
            json!([[1]]),
            json!({}),
            json!({"a": 1}),
            json!({"a": 2}),
            json!({"b": 1}),
            json!({"a": {"b": 1}}),
        ];
        for (i, left) in values.iter().enumerate() {
            for (j, right) in values.iter().enumerate() {
                assert_eq!(digest(left.clone()) == digest(right.clone()), i == j, "{left} {right}");
            }
        }
        let ordered = |text: &str| serde_json::from_str::<Digest>(text).expect("JSON");
        assert_eq!(ordered(r#"{"a":1,"b":2}"#), ordered(r#"{"b":2,"a":1}"#));
    }

    #[test]
    fn units_of_an_inventory_are_counted() {
        assert_eq!(sheet(1, 0).inventory.units, 3);
        assert_eq!(sheet(1, 0), sheet(1, 0));
        assert!(digest(json!({})).is_empty_map() && !sheet(1, 0).equipment.is_empty_map());
    }
}
