//! The few forms of MessagePack that a character is written in, each in its shortest encoding, as serde's writer does.

use castellan_protocol::Ability;

use castellan_srd::Abilities;

/// Longest text, and most entries of a map or list, whose number stands in the marker.
///
/// Source: the MessagePack specification, "Formats".
const FIX_TEXT_BYTES_MAX: usize = 31;
const FIX_ENTRIES_MAX: usize = 15;

/// A text of at most 31 bytes behind its marker.
pub(super) const fn fix_text<const N: usize>(text: &str) -> [u8; N] {
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
        const PACKED: [u8; $text.len() + 1] = $crate::shard::view::msgpack::fix_text($text);
        $out.extend_from_slice(&PACKED);
    }};
}
pub(super) use key;

/// A number for each ability, all of them in one piece where each is a single byte.
pub(super) fn scores(out: &mut Vec<u8>, scores: &Abilities) {
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

/// Begins a map of so many entries.
pub(super) fn entries(out: &mut Vec<u8>, count: usize) {
    begin(out, count, 0x80, [0xde, 0xdf]);
}

/// Corrects a map that was begun at `begin`, as one without entries, to so many.
pub(super) fn recount_entries(out: &mut Vec<u8>, begin: usize, count: usize) {
    let body = (count > FIX_ENTRIES_MAX).then(|| out.split_off(begin + 1));
    match body {
        None => out[begin] = 0x80 | count as u8,
        Some(body) => {
            out.truncate(begin);
            entries(out, count);
            out.extend_from_slice(&body);
        }
    }
}

/// Begins a list of so many elements.
pub(super) fn elements(out: &mut Vec<u8>, count: usize) {
    begin(out, count, 0x90, [0xdc, 0xdd]);
}

/// `fix` is the marker that holds the count, `long` are those with two and four bytes behind them.
fn begin(out: &mut Vec<u8>, count: usize, fix: u8, long: [u8; 2]) {
    if count <= FIX_ENTRIES_MAX {
        out.push(fix | count as u8);
    } else if let Ok(count) = u16::try_from(count) {
        marked(out, long[0], count.to_be_bytes());
    } else {
        marked(out, long[1], length(count).to_be_bytes());
    }
}

/// Appends a text.
pub(super) fn text(out: &mut Vec<u8>, text: &str) {
    let bytes = text.len();
    if bytes <= FIX_TEXT_BYTES_MAX {
        out.push(0xa0 | bytes as u8);
    } else if let Ok(bytes) = u8::try_from(bytes) {
        out.extend_from_slice(&[0xd9, bytes]);
    } else if let Ok(bytes) = u16::try_from(bytes) {
        marked(out, 0xda, bytes.to_be_bytes());
    } else {
        marked(out, 0xdb, length(bytes).to_be_bytes());
    }
    out.extend_from_slice(text.as_bytes());
}

fn length(length: usize) -> u32 {
    u32::try_from(length).expect("no part of a character has 4 GiB")
}

/// Appends an integer in the shortest form.
pub(super) fn integer(out: &mut Vec<u8>, number: i32) {
    signed(out, i64::from(number));
}

/// As [`integer`].
pub(super) fn signed(out: &mut Vec<u8>, number: i64) {
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
pub(super) fn unsigned(out: &mut Vec<u8>, number: u64) {
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::Serialize;
    use serde::ser::{SerializeMap, SerializeSeq, Serializer};

    use super::*;
    use crate::shard::view::parts::Scores;

    #[track_caller]
    fn check(value: &impl Serialize, pack: impl FnOnce(&mut Vec<u8>)) {
        let (mut by_hand, mut by_serde) = (Vec::new(), Vec::new());
        pack(&mut by_hand);
        rmp_serde::encode::write_named(&mut by_serde, value).expect("a value of the wire");
        assert!(by_hand == by_serde, "{:x?} is not {:x?}", by_hand.get(..9), by_serde.get(..9));
    }

    /// A map, or a list, that says it has so many parts and ends there.
    struct Beginning(bool, usize);

    impl Serialize for Beginning {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            if self.0 {
                serializer.serialize_map(Some(self.1))?.end()
            } else {
                serializer.serialize_seq(Some(self.1))?.end()
            }
        }
    }

    #[test]
    fn lengths_are_written_as_serde_does_on_both_sides_of_every_bound() {
        for length in [0, 1, 15, 16, 31, 32, 255, 256, 65_535, 65_536] {
            let long = "x".repeat(length);
            check(&long, |out| text(out, &long));
            check(&Beginning(true, length), |out| entries(out, length));
            check(&Beginning(false, length), |out| elements(out, length));
        }
    }

    #[test]
    fn integers_are_written_as_serde_does_on_both_sides_of_every_bound() {
        for bits in 0..64 {
            for around in -1..=1 {
                let number = (1_i64 << bits).wrapping_add(around);
                check(&number, |out| signed(out, number));
                check(&number.wrapping_neg(), |out| signed(out, number.wrapping_neg()));
                check(&number.cast_unsigned(), |out| unsigned(out, number.cast_unsigned()));
            }
        }
    }

    proptest! {
        #[test]
        fn any_numbers_are_written_as_serde_does(
            number in any::<i64>(),
            six in prop::array::uniform6(prop_oneof![9 => -40..=40, 1 => 100..=150, 1 => any::<i32>()]),
        ) {
            check(&number, |out| signed(out, number));
            check(&number.cast_unsigned(), |out| unsigned(out, number.cast_unsigned()));
            let six = Abilities::new(six);
            check(&Scores(&six), |out| scores(out, &six));
        }
    }
}
