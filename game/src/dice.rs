//! Dice: a keyed, reproducible stream of random numbers.

use castellan_protocol::{CharacterId, RequestId};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Bytes of one HMAC-SHA-256 value.
const BLOCK_BYTES: usize = 32;

/// Separates this use of the secret from all others.
const DOMAIN: &[u8] = b"castellan dice 1";

/// The dice of one intent.
///
/// The stream is HMAC-SHA-256 of (character, request id, dice rolled before, block number) under the server's secret.
/// A client without the secret cannot predict it. The same intent on the same state rolls the same, but an old request
/// id on a later state rolls differently. Nothing is computed before the first roll.
#[derive(Debug, Clone)]
pub struct Dice<'s> {
    source: Source<'s>,
    rolled: u64,
}

#[derive(Clone)]
enum Source<'s> {
    Keyed(Keyed<'s>),
    #[cfg(any(test, feature = "testing"))]
    Scripted(std::collections::VecDeque<u32>),
}

#[derive(Clone)]
struct Keyed<'s> {
    secret: &'s [u8],
    character: CharacterId,
    request: RequestId,
    rolled_before: u64,
    block: [u8; BLOCK_BYTES],
    block_number: u32,
    /// Number of used bytes of `block`; all of them before the first roll.
    used: usize,
}

impl std::fmt::Debug for Source<'_> {
    /// Hides the secret and the stream.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Source")
    }
}

impl<'s> Dice<'s> {
    /// The dice of an intent on a character for which `rolled` dice were rolled before.
    pub fn new(secret: &'s [u8], character: CharacterId, request: RequestId, rolled: u64) -> Self {
        let keyed = Keyed {
            secret,
            character,
            request,
            rolled_before: rolled,
            block: [0; BLOCK_BYTES],
            block_number: 0,
            used: BLOCK_BYTES,
        };
        Self { source: Source::Keyed(keyed), rolled: 0 }
    }

    /// Dice with results set by a test.
    ///
    /// # Panics
    ///
    /// Rolling panics if no value is left or if it does not fit the die.
    #[cfg(any(test, feature = "testing"))]
    pub fn scripted(values: &[u32]) -> Self {
        Self { source: Source::Scripted(values.iter().copied().collect()), rolled: 0 }
    }

    /// Rolls one die: 1 to `sides`, all equally likely. A die without sides gives 0.
    pub fn roll(&mut self, sides: u32) -> i64 {
        self.rolled += 1;
        let Some(last_fair) = fair_limit(sides) else { return 0 };
        match &mut self.source {
            Source::Keyed(keyed) => loop {
                let word = keyed.next_word();
                if word <= last_fair {
                    return i64::from(word % sides) + 1;
                }
            },
            #[cfg(any(test, feature = "testing"))]
            Source::Scripted(values) => {
                let value = values.pop_front().expect("the test scripted a die for each roll");
                assert!((1..=sides).contains(&value), "a scripted {value} does not fit a d{sides}");
                i64::from(value)
            }
        }
    }

    /// Number of dice rolled so far.
    pub const fn rolled(&self) -> u64 {
        self.rolled
    }
}

/// The highest usable word. Rejecting higher words makes all sides equally likely.
fn fair_limit(sides: u32) -> Option<u32> {
    // Rejects the top 2^32 mod `sides` words.
    let unfair = (u32::MAX.checked_rem(sides)? + 1) % sides;
    Some(u32::MAX - unfair)
}

impl Keyed<'_> {
    fn next_word(&mut self) -> u32 {
        if self.used == BLOCK_BYTES {
            self.refill();
        }
        let bytes = &self.block[self.used..self.used + 4];
        self.used += 4;
        u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
    }

    fn refill(&mut self) {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.secret).expect("HMAC takes keys of any length");
        mac.update(DOMAIN);
        mac.update(self.character.uuid().as_bytes());
        mac.update(&self.request.get().to_be_bytes());
        mac.update(&self.rolled_before.to_be_bytes());
        mac.update(&self.block_number.to_be_bytes());
        self.block.copy_from_slice(&mac.finalize().into_bytes());
        self.block_number += 1;
        self.used = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &[u8] = b"a secret of the server";

    fn character(text: &str) -> CharacterId {
        text.parse().expect("a UUID")
    }

    fn ten(secret: &[u8], id: &str, request: u64, rolled: u64) -> Vec<i64> {
        let mut dice = Dice::new(secret, character(id), RequestId::new(request), rolled);
        (0..10).map(|_| dice.roll(20)).collect()
    }

    const BRANNOR: &str = "f81d4fae-7dec-11d0-a765-00a0c91e6bf6";
    const OTHER: &str = "f81d4fae-7dec-11d0-a765-00a0c91e6bf7";

    #[test]
    fn the_same_intent_on_the_same_state_rolls_the_same() {
        assert_eq!(ten(SECRET, BRANNOR, 7, 3), ten(SECRET, BRANNOR, 7, 3));
    }

    #[test]
    fn another_secret_character_request_or_count_rolls_differently() {
        let first = ten(SECRET, BRANNOR, 7, 3);
        assert_ne!(first, ten(b"another secret", BRANNOR, 7, 3));
        assert_ne!(first, ten(SECRET, OTHER, 7, 3));
        assert_ne!(first, ten(SECRET, BRANNOR, 8, 3));
        assert_ne!(first, ten(SECRET, BRANNOR, 7, 4));
    }

    #[test]
    fn all_sides_are_about_equally_frequent() {
        let mut dice = Dice::new(SECRET, character(BRANNOR), RequestId::new(1), 0);
        let mut counts = [0u32; 21];
        for _ in 0..20_000 {
            let side = usize::try_from(dice.roll(20)).expect("1 to 20");
            counts[side] += 1;
        }
        assert_eq!(counts[0], 0);
        assert!(counts[1..].iter().all(|count| (850..=1150).contains(count)), "{counts:?}");
        assert_eq!(dice.rolled(), 20_000);
    }

    #[test]
    fn the_fair_limit_leaves_a_multiple_of_the_sides() {
        for sides in [1, 2, 3, 4, 6, 8, 10, 12, 20, 100, 1_000_003, u32::MAX] {
            let words = u64::from(fair_limit(sides).expect("it has sides")) + 1;
            assert_eq!(words % u64::from(sides), 0, "d{sides}");
        }
        assert_eq!(fair_limit(0), None);
    }
}
