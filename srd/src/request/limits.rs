//! Bounds of the game that both sides know, with those of the protocol.

pub use castellan_protocol::limits::*;

/// Most coins of one kind that a character may have.
pub const COINS_MAX: i64 = 2_000_000_000;

/// Most units of an item in one inventory entry.
pub const QUANTITY_MAX: i64 = 1_000_000;

/// Longest character name, in Unicode scalar values, after trimming and NFC.
pub const NAME_SCALARS_MAX: usize = 40;
