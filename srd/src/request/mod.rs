//! The game's part of what clients send: actions and creations, with their bounds.

mod action;
mod creation;
pub mod limits;

pub use action::*;
pub use creation::NewCharacter;
