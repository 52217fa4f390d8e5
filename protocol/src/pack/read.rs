//! Reads a character's state that was packed here, in MessagePack, part by part.
//!
//! It reads only bytes that this process has written itself, so malformed bytes are a fault of ours.

/// The part at the front. A list or a map says how many elements or entries follow.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Part<'a> {
    Nil,
    Flag(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Text(&'a [u8]),
    List(usize),
    Map(usize),
}

/// Takes the part at the front.
pub(super) fn take<'a>(packed: &mut &'a [u8]) -> Part<'a> {
    let marker = bytes(packed, 1)[0];
    match marker {
        0x00..=0x7f => Part::Unsigned(u64::from(marker)),
        0x80..=0x8f => Part::Map(usize::from(marker & 0x0f)),
        0x90..=0x9f => Part::List(usize::from(marker & 0x0f)),
        0xa0..=0xbf => Part::Text(bytes(packed, usize::from(marker & 0x1f))),
        0xc0 => Part::Nil,
        0xc2 | 0xc3 => Part::Flag(marker == 0xc3),
        0xcb => Part::Float(f64::from_bits(unsigned(packed, 8))),
        0xcc..=0xcf => Part::Unsigned(unsigned(packed, 1 << (marker - 0xcc))),
        0xd0..=0xd3 => Part::Signed(signed(packed, 1 << (marker - 0xd0))),
        0xd9..=0xdb => {
            let length = length(packed, 1 << (marker - 0xd9));
            Part::Text(bytes(packed, length))
        }
        0xdc | 0xdd => Part::List(length(packed, 2 << (marker - 0xdc))),
        0xde | 0xdf => Part::Map(length(packed, 2 << (marker - 0xde))),
        0xe0..=0xff => Part::Signed(i64::from(marker.cast_signed())),
        _ => unreachable!("no part of a character begins with {marker:#x}"),
    }
}

/// Takes the value at the front with everything in it.
pub(super) fn value<'a>(packed: &mut &'a [u8]) -> &'a [u8] {
    let (start, mut parts) = (*packed, 1);
    while parts > 0 {
        parts -= 1;
        match take(packed) {
            Part::List(elements) => parts += elements,
            Part::Map(entries) => parts += 2 * entries,
            _ => {}
        }
    }
    &start[..start.len() - packed.len()]
}

/// The entries of a map: keys and values as they were packed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entries<'a> {
    packed: &'a [u8],
    left: usize,
}

impl<'a> Entries<'a> {
    /// The entries of the map in `packed`; `None` if it holds another value.
    pub(super) fn of(mut packed: &'a [u8]) -> Option<Self> {
        match take(&mut packed) {
            Part::Map(left) => Some(Self { packed, left }),
            _ => None,
        }
    }

    /// Moves behind this key's entry and returns its value. Does not move if the rest has no such key.
    pub(super) fn seek(&mut self, key: &[u8]) -> Option<&'a [u8]> {
        let mut ahead = *self;
        let (_, value) = ahead.find(|(other, _)| *other == key)?;
        *self = ahead;
        Some(value)
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        Some((value(&mut self.packed), value(&mut self.packed)))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Entries<'_> {}

fn bytes<'a>(packed: &mut &'a [u8], count: usize) -> &'a [u8] {
    packed.split_off(..count).expect("packed states are complete")
}

/// A big-endian number of `width` bytes.
fn unsigned(packed: &mut &[u8], width: usize) -> u64 {
    bytes(packed, width).iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn signed(packed: &mut &[u8], width: usize) -> i64 {
    let unused_bits = 64 - 8 * width;
    (unsigned(packed, width) << unused_bits).cast_signed() >> unused_bits
}

fn length(packed: &mut &[u8], width: usize) -> usize {
    usize::try_from(unsigned(packed, width)).expect("packed states fit into memory")
}
