//! What the fuzz targets share: the golden frames, and ways to spoil them.
//!
//! A target is a test beside the code that it attacks. It runs for some seconds with all other tests, with new inputs
//! each time; the seed of an input that fails is printed. `cargo xtask fuzz` runs all targets for longer.

use std::fmt;
use std::fs;
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

pub use bolero;
use bolero::{Driver, ValueGenerator};

/// How long a target runs among the other tests.
pub const BRIEFLY: Duration = Duration::from_secs(2);

/// Most changes to one input.
const CHANGES_MAX: usize = 8;

/// Largest input that grows further, in bytes: the limit on frames lies below it.
const INPUT_BYTES_MAX: usize = 32 * 1024;

/// Bytes that mean something to a reader of JSON, MessagePack, WebSocket, HTTP or tokens.
const TELLING: &[u8] =
    b"{}[]\",:.-+eE0179 \t\r\n\\/=nu\x00\x7f\x80\x81\x8f\x90\x9f\xa0\xbf\xc0\xc1\xc2\xc3\xc4\xc7\xca\xcb\xcc\xcf\xd0\xd3\
    \xd4\xd9\xdb\xdc\xdd\xde\xdf\xe0\xed\xf4\xff";

/// Pieces that readers have stumbled over.
const PIECES: &[&[u8]] = &[
    b"null",
    b"true",
    b"{}",
    b"[]",
    b"\"\"",
    b"-0",
    b"-1",
    b"0.0",
    b"1e309",
    b"-1e-400",
    b"6.0",
    b"2147483648",
    b"9007199254740991",
    b"9007199254740992",
    b"9223372036854775808",
    b"18446744073709551616",
    b"\\u0000",
    b"\\ud800",
    "\u{feff}".as_bytes(),
    "\u{202e}\u{200b}\u{3164}".as_bytes(),
    "e\u{301}".as_bytes(),
    b"\xc0\x80",
    b"\"id\":7,",
    b"\"user\":\"00000000-0000-4000-8000-000000000000\",",
    b"00000000-0000-4000-8000-000000000000",
    b"\xcb\x40\x18\x00\x00\x00\x00\x00\x00",
    b"\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00",
    b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff",
    b"\xd3\x80\x00\x00\x00\x00\x00\x00\x00",
    b"\xdb\xff\xff\xff\xff",
    b"\xdd\xff\xff\xff\xff",
    b"\xdf\xff\xff\xff\xff",
    b"\xc7\x0c\xff",
    b"\xd6\xff",
    b"\x81\xfe\x40\x01",
    b"\x89\x80\x00\x00\x00\x00",
    b"\x88\x82\x00\x00\x00\x00\x03\xe8",
    b"\x00\x00\x00\x00\x00\x00\x00\x00",
];

/// Pieces that nest or fill when they are repeated.
const REPEATED: &[&[u8]] = &[b"[", b"{\"a\":", b"\x91", b"\x81\xa1a", b"x", b"\xff", b" "];

/// An input, shown as text with escapes.
#[derive(Clone, PartialEq, Eq)]
pub struct Input(pub Vec<u8>);

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b\"{}\"", self.0.escape_ascii())
    }
}

/// Makes inputs out of good ones by some changes each.
#[derive(Debug, Clone)]
pub struct Spoiled {
    originals: Vec<Vec<u8>>,
}

/// Makes inputs out of these by some changes each; a few stay as they are.
pub fn spoiled(originals: Vec<Vec<u8>>) -> Spoiled {
    assert!(!originals.is_empty(), "there is nothing to spoil");
    Spoiled { originals }
}

impl ValueGenerator for Spoiled {
    type Output = Input;

    fn generate<D: Driver>(&self, driver: &mut D) -> Option<Input> {
        let mut bytes = self.one(driver)?.clone();
        for _ in 0..(0..=CHANGES_MAX).generate(driver)? {
            self.change(&mut bytes, driver)?;
        }
        Some(Input(bytes))
    }
}

/// Makes lists of up to so many inputs.
pub fn several<G: ValueGenerator>(most: usize, each: G) -> Several<G> {
    Several { most, each }
}

/// Makes lists.
#[derive(Debug, Clone)]
pub struct Several<G> {
    most: usize,
    each: G,
}

impl<G: ValueGenerator> ValueGenerator for Several<G> {
    type Output = Vec<G::Output>;

    fn generate<D: Driver>(&self, driver: &mut D) -> Option<Self::Output> {
        let count = (0..=self.most).generate(driver)?;
        (0..count).map(|_| self.each.generate(driver)).collect()
    }
}

impl Spoiled {
    fn one<D: Driver>(&self, driver: &mut D) -> Option<&Vec<u8>> {
        self.originals.get((0..self.originals.len()).generate(driver)?)
    }

    fn change<D: Driver>(&self, bytes: &mut Vec<u8>, driver: &mut D) -> Option<()> {
        let at = (0..=bytes.len()).generate(driver)?;
        match (0..10_u8).generate(driver)? {
            0 => bytes.truncate(at),
            1 => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << (0..8_u8).generate(driver)?;
                }
            }
            2 => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = pick(TELLING, driver)?;
                }
            }
            3 => bytes.insert(at, pick(TELLING, driver)?),
            4 => insert(bytes, at, pick(PIECES, driver)?),
            5 => drop(bytes.drain(some_of(bytes, driver)?)),
            // Another reader may take the first of two, or the last.
            6 => {
                let copy = bytes[some_of(bytes, driver)?].to_vec();
                insert(bytes, at, &copy);
            }
            7 => {
                let other = self.one(driver)?;
                let piece = other[some_of(other, driver)?].to_vec();
                insert(bytes, at, &piece);
            }
            8 => {
                let piece = pick(PIECES, driver)?;
                let range = some_of(bytes, driver)?;
                bytes.splice(range, piece.iter().copied());
            }
            _ => {
                let piece = pick(REPEATED, driver)?;
                insert(bytes, at, &piece.repeat((1..2_000).generate(driver)?));
            }
        }
        Some(())
    }
}

fn pick<T: Copy, D: Driver>(from: &[T], driver: &mut D) -> Option<T> {
    from.get((0..from.len()).generate(driver)?).copied()
}

/// A range of bytes, mostly a short one.
fn some_of<D: Driver>(bytes: &[u8], driver: &mut D) -> Option<Range<usize>> {
    let begin = (0..=bytes.len()).generate(driver)?;
    let longest = if driver.gen_bool(Some(0.8))? { 24 } else { usize::MAX };
    let length = (0..=(bytes.len() - begin).min(longest)).generate(driver)?;
    Some(begin..begin + length)
}

fn insert(bytes: &mut Vec<u8>, at: usize, piece: &[u8]) {
    if bytes.len() + piece.len() <= INPUT_BYTES_MAX {
        bytes.splice(at..at, piece.iter().copied());
    }
}

/// An encoding of the golden frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// JSON.
    Json,
    /// MessagePack.
    MessagePack,
}

/// The golden frames of a side: `client`, `server` or `reply`.
///
/// # Panics
///
/// If there are none.
pub fn golden_frames(side: &str, encoding: Encoding) -> Vec<Vec<u8>> {
    let extension = match encoding {
        Encoding::Json => "json",
        Encoding::MessagePack => "hex",
    };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../srd/tests/golden").join(side);
    let files = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<_> = files.map(|file| file.expect("a golden frame").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|found| found == extension));
    // The same seed must pick the same frame on every machine.
    paths.sort();
    let read = |path| fs::read_to_string(path).expect("a golden frame is text");
    paths.into_iter().map(read).map(|text| bytes_of(&text, encoding)).collect()
}

fn bytes_of(text: &str, encoding: Encoding) -> Vec<u8> {
    match encoding {
        Encoding::Json => text.trim_end().as_bytes().to_vec(),
        Encoding::MessagePack => {
            let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
            let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
            digits.chunks(2).map(|digits| pair(digits).expect("a golden frame is hexadecimal")).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn inputs_are_many_and_originals_are_among_them() {
        let frames = golden_frames("client", Encoding::Json);
        let seen = Mutex::new(HashSet::new());
        bolero::check!().with_generator(spoiled(frames.clone())).with_iterations(20_000).for_each(|input: &Input| {
            assert!(input.0.len() <= INPUT_BYTES_MAX + CHANGES_MAX);
            seen.lock().expect("no test panics").insert(input.0.clone());
        });
        let seen = seen.into_inner().expect("no test panics");
        assert!(seen.len() > 10_000, "{} different ones", seen.len());
        assert!(frames.iter().all(|frame| seen.contains(frame)), "every golden frame occurs as it is");
    }
}
