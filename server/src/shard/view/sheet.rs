//! A packed character of which most is packed beforehand.
//!
//! Most intents change hit points, experience and little else. What stays (names, gear, the derived sheet) is nine tenths
//! of an answer, so an entry keeps it packed: answering then is a few copies around a few numbers.

use super::packed::{
    pack_birth, pack_experience, pack_gear, pack_head, pack_training, pack_update, pack_version, pack_wounds,
};
use super::{CharacterView, Header};
use castellan_srd::Character;

/// Parts that stay, in their order: the head, training, gear with the derived sheet, the birth.
const PARTS: usize = 4;

/// The parts of a character that stay the same while actions touch its vitals only ([`Touched`]), in MessagePack.
#[derive(Debug, Default)]
pub(in crate::shard) struct Sheet {
    bytes: Vec<u8>,
    ends: [usize; PARTS],
}

impl Sheet {
    /// Whether the parts have to be packed before they are used.
    pub(in crate::shard) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The parts are no longer those of the character.
    pub(in crate::shard) fn clear(&mut self) {
        self.bytes.clear();
    }

    /// Packs the parts.
    pub(in crate::shard) fn pack(&mut self, view: &CharacterView<'_>) {
        let CharacterView { header, character, derived } = *view;
        let bytes = &mut self.bytes;
        bytes.clear();
        pack_head(bytes, header, character);
        self.ends[0] = bytes.len();
        pack_training(bytes, character);
        self.ends[1] = bytes.len();
        pack_gear(bytes, character, derived);
        self.ends[2] = bytes.len();
        pack_birth(bytes, header);
        self.ends[3] = bytes.len();
    }

    fn part(&self, number: usize) -> &[u8] {
        let begin = if number == 0 { 0 } else { self.ends[number - 1] };
        &self.bytes[begin..self.ends[number]]
    }
}

/// A character with the parts that stay.
#[derive(Debug, Clone, Copy)]
pub(in crate::shard) struct SheetView<'a> {
    pub(in crate::shard) header: &'a Header,
    pub(in crate::shard) character: &'a Character,
    pub(in crate::shard) sheet: &'a Sheet,
}

impl SheetView<'_> {
    /// Appends the character in MessagePack, the same bytes as [`CharacterView::pack`].
    pub(in crate::shard) fn pack(&self, out: &mut Vec<u8>) {
        let Self { header, character, sheet } = *self;
        out.extend_from_slice(sheet.part(0));
        pack_experience(out, character);
        out.extend_from_slice(sheet.part(1));
        pack_wounds(out, character);
        out.extend_from_slice(sheet.part(2));
        pack_version(out, header);
        out.extend_from_slice(sheet.part(3));
        pack_update(out, header);
    }
}
