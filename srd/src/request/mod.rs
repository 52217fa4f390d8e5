//! The game's part of what clients send: actions and creations, with their bounds.

mod action;
mod creation;
mod goods;
pub mod limits;

pub use action::*;
pub use creation::NewCharacter;
pub use goods::{Coin, Goods};
