//! temp
#![allow(missing_docs, unused)]
use castellan_protocol::*;
#[derive(Debug)]
pub struct Catalogue;
impl Catalogue {
    pub fn embedded() -> Self {
        Self
    }
}
#[derive(Debug, Clone, PartialEq)]
pub struct Character {
    pub name: String,
}
impl Character {
    pub fn name(&self) -> &str {
        &self.name
    }
    pub fn dice_rolled(&self) -> u64 {
        0
    }
}
#[derive(Debug, Default)]
pub struct Derived;
pub struct Violation {
    pub code: RejectionCode,
    pub message: std::borrow::Cow<'static, str>,
}
pub struct Dice;
impl Dice {
    pub fn new(_: &[u8], _: CharacterId, _: RequestId, _: u64) -> Self {
        Self
    }
}
pub fn create(_: &NewCharacter, _: &Catalogue) -> Result<Character, Violation> {
    Ok(Character { name: String::new() })
}
pub fn apply(_: &mut Character, _: &Action, _: &Catalogue, _: &mut Dice) -> Result<(), Violation> {
    Ok(())
}
pub fn derive_into(_: &Character, _: &Catalogue, _: &mut Derived) {}
pub mod stored {
    pub const SCHEMA_VERSION: i32 = 1;
    pub fn decode(_: i32, _: &str) -> Result<super::Character, String> {
        Ok(super::Character { name: String::new() })
    }
}
