//! The numbers of a wielded weapon.

use std::fmt::{self, Write};

use crate::catalogue::DiceText;
use crate::symbol::Symbol;

/// The numbers of a wielded weapon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attack {
    pub(crate) item: Symbol,
    pub(crate) attack_bonus: i32,
    pub(crate) dice: Option<DiceText>,
    pub(crate) damage_bonus: i32,
    pub(crate) damage_type: Option<Symbol>,
}

/// Longest damage text, in bytes: a catalogue's dice, a sign and a number.
const DAMAGE_BYTES_MAX: usize = 32;

/// Dice and bonus as text, such as `1d8+4`, without an allocation.
#[derive(Clone, Copy)]
pub struct DamageText {
    bytes: [u8; DAMAGE_BYTES_MAX],
    length: usize,
}

impl DamageText {
    /// The text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.length]).expect("only whole texts are written")
    }
}

impl Write for DamageText {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.length + text.len();
        self.bytes.get_mut(self.length..end).ok_or(fmt::Error)?.copy_from_slice(text.as_bytes());
        self.length = end;
        Ok(())
    }
}

impl Attack {
    /// The weapon.
    pub const fn item(&self) -> Symbol {
        self.item
    }

    /// Bonus on the attack roll.
    pub const fn attack_bonus(&self) -> i32 {
        self.attack_bonus
    }

    /// Dice and bonus, such as `1d8+4`; `0` for a weapon that deals no damage, such as a net.
    pub fn damage(&self) -> DamageText {
        let mut text = DamageText { bytes: [0; DAMAGE_BYTES_MAX], length: 0 };
        let written = match (self.dice, self.damage_bonus) {
            (None, _) => text.write_str("0"),
            (Some(dice), 0) => text.write_str(dice.text().as_str()),
            (Some(dice), bonus) => text.write_str(dice.text().as_str()).and_then(|()| write!(text, "{bonus:+}")),
        };
        written.expect("a catalogue's dice and a bonus are shorter");
        text
    }

    /// Such as `slashing`; `none` for a weapon that deals no damage.
    pub fn damage_type(&self) -> &'static str {
        self.damage_type.map_or("none", Symbol::as_str)
    }
}
