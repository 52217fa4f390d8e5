//! The changes between two packed states, and packed states as JSON.

use super::read::{Entries, Part, take};
use super::{entries, recount_entries};

/// Nil, which says that a key is gone.
const NIL: u8 = 0xc0;

/// Appends the JSON Merge Patch that turns `old` into `new`. Both are maps that were packed here.
///
/// Source: RFC 7396. Maps are patched recursively, a missing key becomes nil, any other value is replaced whole. States
/// hold no nil, so there is a patch between any two.
pub fn merge_patch(old: &[u8], new: &[u8], out: &mut Vec<u8>) {
    patch(as_map(old), as_map(new), out);
}

/// Appends a map of the entries that differ. Returns their count.
fn patch(old: Entries<'_>, new: Entries<'_>, out: &mut Vec<u8>) -> usize {
    let begin = out.len();
    entries(out, 0);
    let (mut count, mut known, mut ahead) = (0, 0, old);
    for (key, value) in new {
        // Both are in the same order, unless the catalogue has changed meanwhile.
        let Some(before) = ahead.seek(key).or_else(|| old.clone().seek(key)) else {
            out.extend_from_slice(key);
            out.extend_from_slice(value);
            count += 1;
            continue;
        };
        known += 1;
        if before == value {
            continue;
        }
        let mark = out.len();
        out.extend_from_slice(key);
        let differs = match (Entries::of(before), Entries::of(value)) {
            // Maps that differ only in their order leave nothing.
            (Some(before), Some(value)) => patch(before, value, out) > 0,
            _ => {
                out.extend_from_slice(value);
                true
            }
        };
        if differs {
            count += 1;
        } else {
            out.truncate(mark);
        }
    }
    if known < old.len() {
        for (key, _) in old.filter(|(key, _)| new.clone().seek(key).is_none()) {
            out.extend_from_slice(key);
            out.push(NIL);
            count += 1;
        }
    }
    recount_entries(out, begin, count);
    count
}

fn as_map(packed: &[u8]) -> Entries<'_> {
    Entries::of(packed).expect("a state is a map")
}

/// Appends the value at the front, which was packed here, as JSON. The bytes are exactly those that serde writes.
pub fn write_json(packed: &mut &[u8], out: &mut Vec<u8>) {
    match take(packed) {
        Part::Nil => out.extend_from_slice(b"null"),
        Part::Flag(flag) => write_scalar(&flag, out),
        Part::Unsigned(number) => write_scalar(&number, out),
        Part::Signed(number) => write_scalar(&number, out),
        Part::Float(number) => write_scalar(&number, out),
        Part::Text(text) => write_text(text, out),
        Part::List(elements) => {
            out.push(b'[');
            for index in 0..elements {
                if index > 0 {
                    out.push(b',');
                }
                write_json(packed, out);
            }
            out.push(b']');
        }
        Part::Map(entries) => {
            out.push(b'{');
            for index in 0..entries {
                if index > 0 {
                    out.push(b',');
                }
                write_json(packed, out);
                out.push(b':');
                write_json(packed, out);
            }
            out.push(b'}');
        }
    }
}

fn write_text(text: &[u8], out: &mut Vec<u8>) {
    // Nearly every text needs no escapes.
    if text.iter().all(|byte| *byte >= b' ' && !matches!(byte, b'"' | b'\\')) {
        out.push(b'"');
        out.extend_from_slice(text);
        out.push(b'"');
    } else {
        write_scalar(std::str::from_utf8(text).expect("a text was packed"), out);
    }
}

fn write_scalar<T: serde::Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) {
    serde_json::to_writer(out, value).expect("a part of a character fits JSON");
}
