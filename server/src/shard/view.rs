//! temp
#![allow(missing_docs, unused, unreachable_pub)]
use crate::rules::*;
use castellan_protocol::{CharacterId, RequestId, UserId, Version};
#[derive(Debug, Clone, Copy)]
pub struct Header {
    pub id: CharacterId,
    pub user: UserId,
    pub version: Version,
    pub last: RequestId,
    pub created_at_ms: i64,
    pub updated_at_ms: i64,
}
#[derive(serde::Serialize)]
pub struct CharacterView<'a> {
    a: &'a str,
}
impl<'a> CharacterView<'a> {
    pub fn new(_: &'a Header, _: &'a Character, _: &'a Derived) -> Self {
        Self { a: "" }
    }
}
#[derive(serde::Serialize)]
pub struct StoredView<'a> {
    a: &'a str,
}
impl<'a> StoredView<'a> {
    pub fn new(_: &'a Header, _: &'a Character) -> Self {
        Self { a: "" }
    }
}
