//! A character in MessagePack, written by hand.
//!
//! Writing an answer is the dearest part of an intent: through serde it is some three hundred small writes, each with
//! its own length and marker. Here a key is one constant that holds its marker already. The bytes are those that
//! serde's writer gives; a property holds that for any character.

use castellan_protocol::Slot;

use super::msgpack::{elements, entries, integer, key, scores, signed, text, unsigned};
use super::timestamp::Timestamp;
use super::{CharacterView, Header};
use castellan_srd::{Character, Coin, Derived, Symbol};

impl CharacterView<'_> {
    /// Appends the character in MessagePack.
    pub fn pack(&self, out: &mut Vec<u8>) {
        let Self { header, character, derived } = *self;
        pack_head(out, header, character);
        pack_experience(out, character);
        pack_training(out, character);
        pack_wounds(out, character);
        pack_gear(out, character, derived);
        pack_version(out, header);
        pack_birth(out, header);
        pack_update(out, header);
    }
}

/// The map's beginning and the fields from `id` to `level`.
pub(super) fn pack_head(out: &mut Vec<u8>, header: &Header, character: &Character) {
    let mut uuid = [0; uuid::fmt::Hyphenated::LENGTH];
    entries(out, super::SHARED_FIELDS + usize::from(character.subrace().is_some()) + 1);
    key!(out, "id");
    text(out, header.id.uuid().as_hyphenated().encode_lower(&mut uuid));
    key!(out, "user_id");
    text(out, header.user.uuid().as_hyphenated().encode_lower(&mut uuid));
    key!(out, "name");
    text(out, character.name());
    key!(out, "race");
    symbol(out, character.race());
    if let Some(subrace) = character.subrace() {
        key!(out, "subrace");
        symbol(out, subrace);
    }
    key!(out, "class");
    symbol(out, character.class());
    key!(out, "level");
    integer(out, character.level());
}

/// `experience`.
pub(super) fn pack_experience(out: &mut Vec<u8>, character: &Character) {
    key!(out, "experience");
    integer(out, character.experience());
}

/// `abilities` and `skills`.
pub(super) fn pack_training(out: &mut Vec<u8>, character: &Character) {
    key!(out, "abilities");
    scores(out, character.abilities());
    key!(out, "skills");
    symbols(out, character.skills());
}

/// The fields from `hitpoints` to `death_saves`.
pub(super) fn pack_wounds(out: &mut Vec<u8>, character: &Character) {
    key!(out, "hitpoints");
    integer(out, character.hitpoints());
    key!(out, "max_hitpoints");
    integer(out, character.max_hitpoints());
    key!(out, "temporary_hitpoints");
    integer(out, character.temporary_hitpoints());
    key!(out, "hit_dice");
    integer(out, character.hit_dice());
    key!(out, "death_saves");
    entries(out, 2);
    key!(out, "successes");
    integer(out, character.death_saves().successes());
    key!(out, "failures");
    integer(out, character.death_saves().failures());
}

/// The fields from `life` to `derived`.
pub(super) fn pack_gear(out: &mut Vec<u8>, character: &Character, derived: &Derived) {
    key!(out, "life");
    text(out, character.life().as_str());
    key!(out, "conditions");
    symbols(out, character.conditions());
    key!(out, "exhaustion");
    integer(out, character.exhaustion());
    key!(out, "currency");
    entries(out, Coin::ALL.len());
    for coin in Coin::ALL {
        text(out, coin.as_str());
        signed(out, character.purse().coins(coin));
    }
    pack_items(out, character);
    key!(out, "derived");
    pack_derived(out, derived);
}

/// `version` and `last`.
pub(super) fn pack_version(out: &mut Vec<u8>, header: &Header) {
    key!(out, "version");
    unsigned(out, header.version.get());
    key!(out, "last");
    unsigned(out, header.last.get());
}

/// `created_at`.
pub(super) fn pack_birth(out: &mut Vec<u8>, header: &Header) {
    key!(out, "created_at");
    text(out, Timestamp(header.created_at_ms).text().as_str());
}

/// `updated_at`.
pub(super) fn pack_update(out: &mut Vec<u8>, header: &Header) {
    key!(out, "updated_at");
    text(out, Timestamp(header.updated_at_ms).text().as_str());
}

/// The fields `equipment`, `attuned` and `inventory`.
fn pack_items(out: &mut Vec<u8>, character: &Character) {
    key!(out, "equipment");
    let worn = || Slot::ALL.iter().filter_map(|slot| Some((slot.as_str(), character.worn(*slot)?)));
    entries(out, worn().count());
    for (slot, item) in worn() {
        text(out, slot);
        symbol(out, item);
    }
    key!(out, "attuned");
    symbols(out, character.attuned());
    key!(out, "inventory");
    let inventory = character.inventory().entries();
    elements(out, inventory.len());
    for entry in inventory {
        entries(out, 2);
        key!(out, "item");
        symbol(out, entry.item());
        key!(out, "quantity");
        integer(out, entry.quantity());
    }
}

fn pack_derived(out: &mut Vec<u8>, derived: &Derived) {
    entries(out, super::parts::DERIVED_FIELDS);
    key!(out, "armor_class");
    integer(out, derived.armor_class());
    key!(out, "speed");
    integer(out, derived.speed());
    key!(out, "initiative");
    integer(out, derived.initiative());
    key!(out, "proficiency_bonus");
    integer(out, derived.proficiency_bonus());
    key!(out, "passive_perception");
    integer(out, derived.passive_perception());
    key!(out, "abilities");
    scores(out, derived.abilities());
    key!(out, "modifiers");
    scores(out, derived.modifiers());
    key!(out, "saving_throws");
    scores(out, derived.saving_throws());
    key!(out, "skills");
    entries(out, derived.skills().len());
    for (skill, bonus) in derived.skills() {
        symbol(out, *skill);
        integer(out, *bonus);
    }
    key!(out, "carrying_capacity");
    integer(out, derived.carrying_capacity());
    key!(out, "carried_weight");
    out.push(0xcb);
    out.extend_from_slice(&derived.carried_weight().to_be_bytes());
    key!(out, "attacks");
    elements(out, derived.attacks().len());
    for attack in derived.attacks() {
        entries(out, 4);
        key!(out, "item");
        symbol(out, attack.item());
        key!(out, "attack_bonus");
        integer(out, attack.attack_bonus());
        key!(out, "damage");
        text(out, attack.damage().as_str());
        key!(out, "damage_type");
        text(out, attack.damage_type());
    }
    key!(out, "flags");
    elements(out, derived.flags().len());
    for flag in derived.flags().iter() {
        text(out, flag.as_str());
    }
}

fn symbol(out: &mut Vec<u8>, symbol: Symbol) {
    text(out, symbol.as_str());
}

fn symbols(out: &mut Vec<u8>, symbols: &[Symbol]) {
    elements(out, symbols.len());
    for symbol in symbols {
        text(out, symbol.as_str());
    }
}
