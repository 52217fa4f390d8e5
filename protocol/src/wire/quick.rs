//! The quick way to read a message of plain MessagePack: straight from its bytes.
//!
//! Serde itself takes most of the time of decoding an intent. A [`Cursor`] reads the form that nearly every client
//! sends: maps with known keys, each given once, integers as integers, texts in UTF-8. For anything else it
//! returns `None`, which means "not this way". Then the general readers decide, and they alone know the wire's leniency
//! and its errors. They must read every message that is read here, as the same value; `srd/tests/wire/quick` compares
//! the two.
//!
//! Only the texts that a value owns are allocated, and nesting goes no deeper than the types.
//!
//! With the primitives of `rmp` in place of the four functions that read lengths and integers, an intent takes 140 ns
//! instead of 123, and a ping 45 instead of 37 (`cargo bench -p castellan-srd --bench codec`). They would save 20 lines.

use super::Wire;

/// The unread rest of a message.
pub struct Cursor<'de> {
    rest: &'de [u8],
}

impl<'de> Cursor<'de> {
    /// Reads a message that is one value with nothing behind it.
    pub fn read_whole<T: Wire<'de>>(message: &'de [u8]) -> Option<T> {
        let mut cursor = Self { rest: message };
        let value = T::quick(&mut cursor)?;
        cursor.rest.is_empty().then_some(value)
    }

    /// The length of a map, in entries. A 32-bit length is left to the general readers: no plain frame has one.
    #[inline]
    pub fn map(&mut self) -> Option<u16> {
        match self.byte()? {
            marker @ 0x80..=0x8f => Some(u16::from(marker & 0x0f)),
            0xde => self.array().map(u16::from_be_bytes),
            _ => None,
        }
    }

    /// The length of a list, in elements. A 32-bit length is left to the general readers.
    #[inline]
    pub fn list(&mut self) -> Option<u16> {
        match self.byte()? {
            marker @ 0x90..=0x9f => Some(u16::from(marker & 0x0f)),
            0xdc => self.array().map(u16::from_be_bytes),
            _ => None,
        }
    }

    /// A text's bytes, not yet known to be UTF-8. A 32-bit length is left to the general readers.
    #[inline]
    pub fn text(&mut self) -> Option<&'de [u8]> {
        let length = match self.byte()? {
            marker @ 0xa0..=0xbf => usize::from(marker & 0x1f),
            0xd9 => usize::from(self.byte()?),
            0xda => usize::from(u16::from_be_bytes(self.array()?)),
            _ => return None,
        };
        let (text, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(text)
    }

    /// An integer from `min` to `max`, in any of MessagePack's integer forms.
    #[inline]
    pub fn integer(&mut self, min: i64, max: i64) -> Option<i64> {
        let number = match self.byte()? {
            marker @ 0x00..=0x7f => i64::from(marker),
            marker @ 0xe0..=0xff => i64::from(marker.cast_signed()),
            0xcc => i64::from(self.byte()?),
            0xcd => i64::from(u16::from_be_bytes(self.array()?)),
            0xce => i64::from(u32::from_be_bytes(self.array()?)),
            0xcf => i64::try_from(u64::from_be_bytes(self.array()?)).ok()?,
            0xd0 => i64::from(self.byte()?.cast_signed()),
            0xd1 => i64::from(i16::from_be_bytes(self.array()?)),
            0xd2 => i64::from(i32::from_be_bytes(self.array()?)),
            0xd3 => i64::from_be_bytes(self.array()?),
            _ => return None,
        };
        (min..=max).contains(&number).then_some(number)
    }

    /// True or false.
    #[inline]
    pub fn flag(&mut self) -> Option<bool> {
        match self.byte()? {
            0xc2 => Some(false),
            0xc3 => Some(true),
            _ => None,
        }
    }

    /// Reads a map. Hands each key's bytes to `entry`, which reads the value or says that it does not know the key.
    #[inline]
    pub fn entries(&mut self, mut entry: impl FnMut(&mut Self, &'de [u8]) -> Option<()>) -> Option<()> {
        for _ in 0..self.map()? {
            let key = self.text()?;
            entry(self, key)?;
        }
        Some(())
    }

    /// Reads the value of a field that has none yet.
    #[inline]
    pub fn fill<T: Wire<'de>>(&mut self, field: &mut Option<T>) -> Option<()> {
        if field.is_some() {
            return None;
        }
        *field = Some(T::quick(self)?);
        Some(())
    }

    #[inline]
    fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*byte)
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(*array)
    }
}

#[cfg(test)]
mod tests {
    use super::Cursor;

    #[test]
    fn lists_are_read_exactly_to_their_end() {
        let read = |message| Cursor::read_whole::<Vec<i64>>(message);
        assert_eq!(read(b"\x90"), Some(vec![]));
        assert_eq!(read(b"\x93\x01\xff\xcc\xc8"), Some(vec![1, -1, 200]));
        assert_eq!(read(b"\xdc\x00\x02\x01\x02"), Some(vec![1, 2]));
        for other in
            [&b"\x92\x01"[..], b"\x91\x01\x02", b"\x91\xc0", b"\xdd\0\0\0\x01\x01", b"\xdc\xff\xff\x01", b"\x80"]
        {
            assert_eq!(read(other), None, "{other:02x?}");
        }
    }
}
