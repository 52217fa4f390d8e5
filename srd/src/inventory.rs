//! The inventory.

use crate::request::limits::QUANTITY_MAX;

use super::symbol::Symbol;
use castellan_game::Violation;

/// Most entries of an inventory.
///
/// Far more than the catalogue's mundane items. Even with the longest ids such a character fits a server frame.
pub const INVENTORY_ENTRIES_MAX: usize = 400;

/// Units of one item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stack {
    pub(super) item: Symbol,
    pub(super) quantity: i32,
}

impl Stack {
    /// The item.
    pub const fn item(&self) -> Symbol {
        self.item
    }

    /// Units, 1 to 1,000,000.
    pub const fn quantity(&self) -> i32 {
        self.quantity
    }
}

/// All carried items, including worn ones.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Inventory(Vec<Stack>);

impl Clone for Inventory {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }

    fn clone_from(&mut self, source: &Self) {
        self.0.clone_from(&source.0);
    }
}

impl Inventory {
    /// An inventory with these stacks. Several stacks may hold the same item.
    pub(super) const fn from_stacks(stacks: Vec<Stack>) -> Self {
        Self(stacks)
    }

    /// All stacks, in the order in which the items were added.
    pub fn stacks(&self) -> &[Stack] {
        &self.0
    }

    /// Units of an item in all entries.
    pub fn quantity(&self, item: Symbol) -> i64 {
        self.0.iter().filter(|entry| entry.item == item).map(|entry| i64::from(entry.quantity)).sum()
    }

    /// Adds units, 1 to 1,000,000.
    ///
    /// # Errors
    ///
    /// `limit_exceeded`: too many units of the item, or too many entries.
    pub(super) fn add(&mut self, item: Symbol, quantity: i32) -> Result<(), Violation> {
        if self.quantity(item) + i64::from(quantity) > QUANTITY_MAX {
            return Err(Violation::limit(format!("quantity: at most {QUANTITY_MAX} units of one item")));
        }
        if let Some(entry) = self.0.iter_mut().find(|entry| entry.item == item) {
            entry.quantity += quantity;
        } else if self.0.len() < INVENTORY_ENTRIES_MAX {
            self.0.push(Stack { item, quantity });
        } else {
            return Err(Violation::limit(format!(
                "item: the inventory already has {INVENTORY_ENTRIES_MAX} kinds of items, the most allowed"
            )));
        }
        Ok(())
    }

    /// Removes units, last entries first, and never more than there are.
    pub(super) fn remove(&mut self, item: Symbol, quantity: i32) {
        let mut left = quantity;
        for entry in self.0.iter_mut().rev().filter(|entry| entry.item == item) {
            let taken = left.min(entry.quantity);
            entry.quantity -= taken;
            left -= taken;
        }
        self.0.retain(|entry| entry.quantity > 0);
    }
}
