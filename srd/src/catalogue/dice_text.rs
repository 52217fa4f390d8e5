//! Dice in the notation of the books: `2d4+2`.

use crate::symbol::Symbol;
use castellan_game::Dice;

/// Most dice of one kind.
const COUNT_MAX: u32 = 100;
/// Most sides of a die.
const SIDES_MAX: u32 = 100;
/// Largest added number.
const FLAT_MAX: u32 = 1000;

/// Some dice of one kind plus a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiceText {
    text: Symbol,
    count: u32,
    sides: u32,
    flat: u32,
}

impl DiceText {
    /// Reads `2d4+2`, `1d8` or `1`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (dice, flat) = match text.split_once('+') {
            Some((dice, flat)) => (Some(dice), number(flat, FLAT_MAX)?),
            None if text.contains('d') => (Some(text), 0),
            None => (None, number(text, FLAT_MAX)?),
        };
        let (count, sides) = match dice {
            Some(dice) => {
                let (count, sides) = dice.split_once('d')?;
                (number(count, COUNT_MAX)?, number(sides, SIDES_MAX)?)
            }
            None => (0, 0),
        };
        Some(Self { text: Symbol::new(text), count, sides, flat })
    }

    /// The text from the catalogue.
    pub const fn text(self) -> Symbol {
        self.text
    }

    /// Rolls the dice and adds up.
    pub(crate) fn roll(self, dice: &mut Dice<'_>) -> i64 {
        let rolled: i64 = (0..self.count).map(|_| dice.roll(self.sides)).sum();
        rolled + i64::from(self.flat)
    }

    /// Twice the average, to compare two without fractions.
    pub(crate) const fn twice_average(self) -> u32 {
        self.count * (self.sides + 1) + 2 * self.flat
    }
}

/// A number of at least 1, without sign or leading zero.
fn number(text: &str, most: u32) -> Option<u32> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    text.parse().ok().filter(|number| plain && *number <= most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_notation_of_the_books_is_read_and_anything_else_refused() {
        for (text, twice_average) in [("2d4+2", 14), ("1d8", 9), ("1", 2), ("10d4+20", 90)] {
            let dice = DiceText::parse(text).expect(text);
            assert_eq!((dice.twice_average(), dice.text().as_str()), (twice_average, text));
        }
        for text in ["", "d8", "1d", "1d8+", "1d8-1", "+2", "1d8+2+2", "0d4", "1D8", " 1d8", "101d4", "1d101", "01d4"] {
            assert_eq!(DiceText::parse(text), None, "{text:?}");
        }
    }
}
