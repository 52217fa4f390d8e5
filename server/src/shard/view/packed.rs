//! A character in MessagePack, written by hand.
//!
//! Writing an answer is the dearest part of an intent: through serde it is some three hundred small writes, each with
//! its own length and marker. Here a key is one constant that holds its marker already. The bytes are those that
//! serde's writer gives; a property holds that for any character.

use castellan_protocol::{Ability, Codec, RequestId, ServerFrame, Slot, Version};

use super::CharacterView;
use super::timestamp::Timestamp;
use crate::rules::{Abilities, Character, Coin, Derived, Symbol};

/// Room that is made at once for a frame, in bytes: enough for most characters.
const USUAL_BYTES: usize = 2048;

/// Longest text, and most entries of a map or list, whose number stands in the marker.
///
/// Source: the MessagePack specification, "Formats".
const FIX_TEXT_BYTES_MAX: usize = 31;
const FIX_ENTRIES_MAX: usize = 15;

/// A text of at most 31 bytes behind its marker.
const fn fix_text<const N: usize>(text: &str) -> [u8; N] {
    assert!(text.len() + 1 == N && text.len() <= FIX_TEXT_BYTES_MAX);
    let mut packed = [0; N];
    packed[0] = 0xa0 | text.len() as u8;
    let mut index = 1;
    while index < N {
        packed[index] = text.as_bytes()[index - 1];
        index += 1;
    }
    packed
}

/// Appends a short text that is known beforehand, as one constant.
macro_rules! key {
    ($out:expr, $text:literal) => {{
        const PACKED: [u8; $text.len() + 1] = fix_text($text);
        $out.extend_from_slice(&PACKED);
    }};
}

/// Writes a frame: by hand where it brings a character in MessagePack, else as the codec does.
pub(in crate::shard) fn encode_frame(codec: Codec, frame: &ServerFrame<CharacterView<'_>>, out: &mut Vec<u8>) {
    if codec != Codec::MessagePack {
        return codec.encode(frame, out);
    }
    out.reserve(USUAL_BYTES);
    match frame {
        ServerFrame::Applied(applied) => {
            entries(out, 1);
            key!(out, "applied");
            entries(out, 3 + usize::from(applied.duplicate));
            id(out, applied.id);
            character(out, &applied.character, applied.durable);
            if applied.duplicate {
                key!(out, "duplicate");
                out.push(0xc3);
            }
        }
        ServerFrame::Conflict(conflict) => {
            entries(out, 1);
            key!(out, "conflict");
            entries(out, 3);
            id(out, conflict.id);
            character(out, &conflict.character, conflict.durable);
        }
        ServerFrame::State(state) => {
            entries(out, 1);
            key!(out, "state");
            entries(out, 2 + usize::from(state.id.is_some()));
            character(out, &state.character, state.durable);
            if let Some(request) = state.id {
                id(out, request);
            }
        }
        _ => codec.encode(frame, out),
    }
}

fn id(out: &mut Vec<u8>, request: RequestId) {
    key!(out, "id");
    unsigned(out, request.get());
}

fn character(out: &mut Vec<u8>, view: &CharacterView<'_>, durable: Version) {
    key!(out, "character");
    view.pack(out);
    key!(out, "durable");
    unsigned(out, durable.get());
}

impl CharacterView<'_> {
    /// Appends the character in MessagePack.
    pub fn pack(&self, out: &mut Vec<u8>) {
        let Self { header, character, derived } = *self;
        let mut uuid = [0; uuid::fmt::Hyphenated::LENGTH];
        entries(out, super::SHARED_FIELDS + usize::from(character.subrace().is_some()) + 1);
        key!(out, "id");
        text(out, header.id.uuid().as_hyphenated().encode_lower(&mut uuid));
        key!(out, "user_id");
        text(out, header.user.uuid().as_hyphenated().encode_lower(&mut uuid));
        pack_state(out, character);
        key!(out, "derived");
        pack_derived(out, derived);
        key!(out, "version");
        unsigned(out, header.version.get());
        key!(out, "last");
        unsigned(out, header.last.get());
        key!(out, "created_at");
        text(out, Timestamp(header.created_at_ms).text().as_str());
        key!(out, "updated_at");
        text(out, Timestamp(header.updated_at_ms).text().as_str());
    }
}

/// The fields from `name` to `inventory`.
fn pack_state(out: &mut Vec<u8>, character: &Character) {
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
    key!(out, "experience");
    integer(out, character.experience());
    key!(out, "abilities");
    scores(out, character.abilities());
    key!(out, "skills");
    symbols(out, character.skills());
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

/// A number for each ability, all of them in one piece where each is a single byte.
fn scores(out: &mut Vec<u8>, scores: &Abilities) {
    let mut packed = *b"\x86\xa3str\0\xa3dex\0\xa3con\0\xa3int\0\xa3wis\0\xa3cha\0";
    /// Bytes before the first number, and from one number to the next.
    const FIRST: usize = 5;
    const STEP: usize = 5;
    let numbers = scores.numbers();
    if numbers.iter().all(|number| (-32..=127).contains(number)) {
        for (index, number) in numbers.into_iter().enumerate() {
            // The low byte of a number in this range is its packed form.
            packed[FIRST + STEP * index] = number as u8;
        }
        return out.extend_from_slice(&packed);
    }
    entries(out, Ability::ALL.len());
    for (ability, number) in Ability::ALL.iter().zip(numbers) {
        text(out, ability.as_str());
        integer(out, number);
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

/// Begins a map of so many entries. No map of a character has more than 65,535.
fn entries(out: &mut Vec<u8>, count: usize) {
    begin(out, count, 0x80, 0xde);
}

/// Begins a list of so many elements. No list of a character has more than 65,535.
fn elements(out: &mut Vec<u8>, count: usize) {
    begin(out, count, 0x90, 0xdc);
}

fn begin(out: &mut Vec<u8>, count: usize, fix: u8, long: u8) {
    if count <= FIX_ENTRIES_MAX {
        out.push(fix | count as u8);
    } else {
        let [high, low] = u16::try_from(count).expect("far fewer are in a character").to_be_bytes();
        out.extend_from_slice(&[long, high, low]);
    }
}

/// Appends a text. No text of a character has more than 65,535 bytes.
fn text(out: &mut Vec<u8>, text: &str) {
    let length = text.len();
    if length <= FIX_TEXT_BYTES_MAX {
        out.push(0xa0 | length as u8);
    } else if let Ok(length) = u8::try_from(length) {
        out.extend_from_slice(&[0xd9, length]);
    } else {
        let [high, low] = u16::try_from(length).expect("far shorter in a character").to_be_bytes();
        out.extend_from_slice(&[0xda, high, low]);
    }
    out.extend_from_slice(text.as_bytes());
}

fn integer(out: &mut Vec<u8>, number: i32) {
    signed(out, i64::from(number));
}

/// Appends an integer in the shortest form.
fn signed(out: &mut Vec<u8>, number: i64) {
    if let Ok(number) = u64::try_from(number) {
        return unsigned(out, number);
    }
    if number >= -32 {
        out.push(number as u8);
    } else if let Ok(number) = i8::try_from(number) {
        out.extend_from_slice(&[0xd0, number as u8]);
    } else if let Ok(number) = i16::try_from(number) {
        marked(out, 0xd1, number.to_be_bytes());
    } else if let Ok(number) = i32::try_from(number) {
        marked(out, 0xd2, number.to_be_bytes());
    } else {
        marked(out, 0xd3, number.to_be_bytes());
    }
}

/// Appends an integer that is not negative in the shortest form.
fn unsigned(out: &mut Vec<u8>, number: u64) {
    if number < 128 {
        out.push(number as u8);
    } else if let Ok(number) = u8::try_from(number) {
        out.extend_from_slice(&[0xcc, number]);
    } else if let Ok(number) = u16::try_from(number) {
        marked(out, 0xcd, number.to_be_bytes());
    } else if let Ok(number) = u32::try_from(number) {
        marked(out, 0xce, number.to_be_bytes());
    } else {
        marked(out, 0xcf, number.to_be_bytes());
    }
}

fn marked<const N: usize>(out: &mut Vec<u8>, marker: u8, bytes: [u8; N]) {
    out.push(marker);
    out.extend_from_slice(&bytes);
}
