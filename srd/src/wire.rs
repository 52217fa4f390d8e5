//! The wire of this game: the frames of `castellan-protocol` with this game's actions and sheet in them.

pub use castellan_protocol::*;

pub use crate::character::fields::Sheet;
pub use crate::character::fields::parts::{Attack, Currency, DeathSaves, Derived, InventoryEntry, Scores};
pub use crate::request::*;
pub use crate::request::{Action, limits};

/// A character, as clients see it.
pub type Character = castellan_protocol::Character<Sheet>;
/// One client message.
pub type ClientFrame = castellan_protocol::ClientFrame<Action>;
/// Fields of `intent`.
pub type Intent = castellan_protocol::Intent<Action>;
/// One server message.
pub type ServerFrame<C = Character> = castellan_protocol::ServerFrame<C>;
/// One server message on a connection that asked for changes.
pub type ReplyFrame = castellan_protocol::ReplyFrame<Character>;
/// A character in an answer on such a connection.
pub type Told = castellan_protocol::Told<Character>;
