//! A character's sheet as clients see it.

pub use crate::fields::Sheet;
pub use crate::fields::parts::{Attack, Currency, DeathSaves, Derived, InventoryEntry, Scores};
