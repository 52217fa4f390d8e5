//! Ability scores, levels and experience.

use crate::request::Ability;

/// A number for each of the six abilities: scores, modifiers or bonuses.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Abilities([i32; 6]);

/// Lowest score at creation, before race.
pub const CREATION_SCORE_MIN: i32 = 3;
/// Highest score at creation, before race.
pub const CREATION_SCORE_MAX: i32 = 18;
/// Highest score without magic. Source: SRD 5.1, "Using Ability Scores".
pub const SCORE_MAX: i32 = 20;
/// Highest score with magic.
pub const MAGIC_SCORE_MAX: i32 = 30;
/// Highest level. Source: SRD 5.1, "Beyond 1st Level".
pub const LEVEL_MAX: i32 = 20;
/// Most experience points of a character: far above the last level, and within 32 bits.
pub const EXPERIENCE_MAX: i32 = 2_000_000_000;

/// Experience points at which the levels 1 to 20 start. Source: SRD 5.1, "Beyond 1st Level".
const EXPERIENCE_OF_LEVEL: [i32; LEVEL_MAX as usize] = [
    0, 300, 900, 2700, 6500, 14000, 23000, 34000, 48000, 64000, 85000, 100_000, 120_000, 140_000, 165_000, 195_000,
    225_000, 265_000, 305_000, 355_000,
];

impl Abilities {
    /// The same number for all six.
    pub const fn all(number: i32) -> Self {
        Self([number; 6])
    }

    /// In the order of the sheet: strength, dexterity, constitution, intelligence, wisdom, charisma.
    pub const fn new(numbers: [i32; 6]) -> Self {
        Self(numbers)
    }

    /// The number of one ability.
    pub const fn get(&self, ability: Ability) -> i32 {
        self.0[ability as usize]
    }

    pub(super) fn get_mut(&mut self, ability: Ability) -> &mut i32 {
        &mut self.0[ability as usize]
    }

    /// All six, in the order of the sheet.
    pub const fn numbers(&self) -> [i32; 6] {
        self.0
    }

    /// The modifiers of these scores.
    pub(super) fn modifiers(&self) -> Self {
        Self(self.0.map(modifier))
    }
}

/// The modifier of an ability score: half of its distance from 10, rounded down.
///
/// Source: SRD 5.1, "Using Ability Scores".
pub const fn modifier(score: i32) -> i32 {
    (score - 10).div_euclid(2)
}

/// The proficiency bonus at a level, 2 to 6.
///
/// Source: SRD 5.1, "Beyond 1st Level".
pub const fn proficiency_bonus(level: i32) -> i32 {
    2 + (level - 1) / 4
}

/// Experience points at which a level starts; `None` if there is no such level.
pub fn experience_of_level(level: i32) -> Option<i32> {
    let index = usize::try_from(level).ok()?.checked_sub(1)?;
    EXPERIENCE_OF_LEVEL.get(index).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modifiers_match_the_book() {
        let table =
            [(1, -5), (2, -4), (3, -4), (8, -1), (9, -1), (10, 0), (11, 0), (12, 1), (20, 5), (21, 5), (30, 10)];
        for (score, expected) in table {
            assert_eq!(modifier(score), expected, "score {score}");
        }
    }

    #[test]
    fn the_proficiency_bonus_grows_every_four_levels() {
        for (level, expected) in [(1, 2), (4, 2), (5, 3), (8, 3), (9, 4), (12, 4), (13, 5), (16, 5), (17, 6), (20, 6)] {
            assert_eq!(proficiency_bonus(level), expected, "level {level}");
        }
    }

    #[test]
    fn levels_start_at_the_experience_in_the_book() {
        assert_eq!(experience_of_level(1), Some(0));
        assert_eq!(experience_of_level(2), Some(300));
        assert_eq!(experience_of_level(20), Some(355_000));
        assert_eq!(experience_of_level(21), None);
        assert_eq!(experience_of_level(0), None);
    }
}
