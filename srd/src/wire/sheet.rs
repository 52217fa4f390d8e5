//! A character's sheet as clients see it.

pub use crate::character::fields::Sheet;
pub use crate::character::fields::parts::{Attack, Currency, DeathSaves, Derived, InventoryEntry, Scores};
