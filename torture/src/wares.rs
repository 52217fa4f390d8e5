//! The goods that traders trade: gold pieces and units of one item.

use std::ops::{Add, AddAssign};

use castellan_srd::wire::{Coin, Currency, Goods, InventoryEntry};
use client_sim::recorded::trader::{GP, ITEM, UNITS};

/// An amount of each.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Wares {
    /// Gold pieces.
    pub gp: i64,
    /// Units of the item.
    pub units: i64,
}

impl Wares {
    /// The goods that each trader begins with.
    pub const FIRST: Self = Self { gp: GP, units: UNITS };

    /// Those in a purse and an inventory.
    pub fn read(currency: &Currency, inventory: &[InventoryEntry]) -> Self {
        let stacks = inventory.iter().filter(|entry| entry.item == ITEM);
        Self { gp: currency.gp, units: stacks.map(|entry| entry.quantity).sum() }
    }
}

impl From<&Goods> for Wares {
    fn from(goods: &Goods) -> Self {
        let of = |amount: Option<&i64>| amount.copied().unwrap_or_default();
        Self { gp: of(goods.currency.get(&Coin::Gold)), units: of(goods.items.get(ITEM)) }
    }
}

impl Add for Wares {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { gp: self.gp + other.gp, units: self.units + other.units }
    }
}

impl AddAssign for Wares {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}
