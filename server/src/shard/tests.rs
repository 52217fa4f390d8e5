//! Users and characters for the tests of the shards.

use castellan_srd::wire::{Ability, CharacterId, NewCharacter, UserId};
use uuid::Uuid;

pub(super) fn user(number: u128) -> UserId {
    UserId::from_uuid(Uuid::from_u128(number))
}

pub(super) fn character(number: u128) -> CharacterId {
    CharacterId::from_uuid(Uuid::from_u128(number))
}

pub(super) fn fighter() -> NewCharacter {
    NewCharacter {
        name: "Brannor".to_owned(),
        race: "human".to_owned(),
        subrace: None,
        class: "fighter".to_owned(),
        abilities: Ability::ALL.iter().map(|ability| (*ability, 12)).collect(),
        skills: None,
    }
}
