//! Flags of a sheet: hindrances that change no number.

/// A hindrance that changes no number of the sheet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flag {
    /// The armour hinders stealth.
    StealthDisadvantage,
    /// Wears armour or a shield without proficiency.
    ArmorNotProficient,
    /// Disadvantage on checks, saves and attacks with strength or dexterity, from such armour or a very heavy load.
    StrengthDexterityDisadvantage,
    /// Cannot cast spells in this armour.
    NoSpellcasting,
    /// A small character wields a heavy weapon.
    HeavyWeaponDisadvantage,
    /// Carries more than 5 times the strength, in the variant.
    Encumbered,
    /// Carries more than 10 times the strength, in the variant: disadvantage with strength, dexterity and constitution.
    HeavilyEncumbered,
    /// Carries more than the capacity: the load can only be pushed, dragged or lifted.
    OverCapacity,
    /// The load is too heavy even for pushing, dragging or lifting.
    Immovable,
}

impl Flag {
    /// All flags, in the order of the wire.
    pub const ALL: [Self; 9] = [
        Self::StealthDisadvantage,
        Self::ArmorNotProficient,
        Self::StrengthDexterityDisadvantage,
        Self::NoSpellcasting,
        Self::HeavyWeaponDisadvantage,
        Self::Encumbered,
        Self::HeavilyEncumbered,
        Self::OverCapacity,
        Self::Immovable,
    ];

    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::StealthDisadvantage => "stealth_disadvantage",
            Self::ArmorNotProficient => "armor_not_proficient",
            Self::StrengthDexterityDisadvantage => "strength_dexterity_disadvantage",
            Self::NoSpellcasting => "no_spellcasting",
            Self::HeavyWeaponDisadvantage => "heavy_weapon_disadvantage",
            Self::Encumbered => "encumbered",
            Self::HeavilyEncumbered => "heavily_encumbered",
            Self::OverCapacity => "over_capacity",
            Self::Immovable => "immovable",
        }
    }
}

/// A set of flags.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Flags(u16);

impl Flags {
    pub(crate) fn raise_if(&mut self, flag: Flag, holds: bool) {
        self.0 |= u16::from(holds) << flag as u16;
    }

    /// Returns true if a flag is raised.
    pub const fn has(self, flag: Flag) -> bool {
        self.0 & (1 << flag as u16) != 0
    }

    /// The raised flags, in the order of the wire.
    pub fn iter(self) -> impl Iterator<Item = Flag> + Clone {
        Flag::ALL.into_iter().filter(move |flag| self.has(*flag))
    }

    /// Number of raised flags.
    pub const fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// Returns true if none is raised.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}
