//! The game's rules, pure: a character, an action, a catalogue and dice in; the next character or a violation out.
//!
//! No clock, no I/O except a catalogue's files, no randomness except the given dice. The rules are those of the System
//! Reference Document 5.1; each function names its source there.
//!
//! - [`create`] makes a character, [`apply`] changes it, [`derive`](derive()) computes its sheet.
//! - [`Catalogue`] contains items, classes, races, skills and conditions.
//! - [`Dice`] are a keyed stream: the same intent on the same state rolls the same.
//! - [`stored`] reads stored characters in every schema version so far.

mod ability;
mod actions;
mod catalogue;
mod character;
pub mod code;
mod creation;
mod derive;
mod derived;
mod game;
mod goods;
mod inventory;
mod money;
mod name;
mod request;
pub mod stored;
mod symbol;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;
pub mod wire;

pub use ability::{
    Abilities, CREATION_SCORE_MAX, CREATION_SCORE_MIN, EXPERIENCE_MAX, LEVEL_MAX, MAGIC_SCORE_MAX, SCORE_MAX,
    experience_of_level, modifier, proficiency_bonus,
};
pub use actions::{applied, apply};
pub use castellan_game::{Dice, Touched, Violation};
pub use catalogue::{
    Armor, ArmorKind, Catalogue, CatalogueErrors, Choice, Class, Condition, DiceText, Effect, Feature, Gifts, Gives,
    Item, MILLIPOUNDS, Magic, Mistake, Options, Purpose, Race, Range, Skill, Subrace, Training, Weapon,
};
pub use character::{ATTUNED_MAX, CONDITIONS_MAX, Character, DeathSaves, EXHAUSTION_MAX, Life, SLOTS};
pub use creation::create;
pub use derive::{derive, derive_into};
pub use derived::{Attack, DamageText, Derived, Flag, Flags, Skills};
pub use game::Srd;
pub use inventory::{INVENTORY_ENTRIES_MAX, Inventory, Stack};
pub use money::Purse;
pub use request::{Coin, Goods};
pub use symbol::Symbol;
