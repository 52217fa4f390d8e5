//! Items and coins, as gifts and trades name them.

use std::collections::BTreeMap;

use castellan_protocol::wire::{Cursor, Wire};
use castellan_protocol::{wire_map, wire_names};
use serde::{Deserialize, Serialize};

wire_names! {
    /// A kind of coin.
    Coin("a coin: cp, sp, ep, gp or pp") {
        /// Copper, the unit of all prices.
        "cp" => Copper,
        /// Silver: 10 copper.
        "sp" => Silver,
        /// Electrum: 50 copper.
        "ep" => Electrum,
        /// Gold: 100 copper.
        "gp" => Gold,
        /// Platinum: 1,000 copper.
        "pp" => Platinum,
    }
}

/// Items and coins.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Goods {
    /// Units of each item, by the item's id: 1 to 1,000,000.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub items: BTreeMap<String, i64>,
    /// Coins of each kind: 1 to 2,000,000,000.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub currency: BTreeMap<Coin, i64>,
}

wire_map! {
    /// Goods on the wire.
    action Fields {
        items: Option<BTreeMap<String, i64>>,
        currency: Option<BTreeMap<Coin, i64>>,
    }
}

/// Neither list need be there.
impl<'de> Wire<'de> for Goods {
    fn read<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Fields { items, currency } = Fields::read(deserializer)?;
        Ok(Self { items: items.unwrap_or_default(), currency: currency.unwrap_or_default() })
    }

    fn quick(cursor: &mut Cursor<'de>) -> Option<Self> {
        let Fields { items, currency } = Fields::quick(cursor)?;
        Some(Self { items: items.unwrap_or_default(), currency: currency.unwrap_or_default() })
    }
}
