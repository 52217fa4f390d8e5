//! Flags of a sheet: hindrances that change no number.

use super::{Nature, Worn};
use crate::catalogue::{Armor, Race};
use crate::derived::{Flag, Flags};

/// Raises the flags of armour, shield and weapons.
///
/// Source: SRD 5.1, "Armor" and "Weapons" ("Armor Proficiency", "Stealth", "Heavy").
pub(super) fn raise_for_wear(worn: &Worn<'_>, nature: &Nature<'_>, flags: &mut Flags) {
    let trained = |armor: &Armor| nature.class.is_some_and(|class| class.wears(armor.kind()));
    let untrained = [worn.armor, worn.shield].into_iter().flatten().any(|armor| !trained(armor));
    let hinders_stealth = [worn.armor, worn.shield].into_iter().flatten().any(Armor::has_stealth_disadvantage);
    let heavy_weapon = [worn.main_hand, worn.off_hand]
        .into_iter()
        .flatten()
        .any(|item| item.weapon().is_some_and(|weapon| weapon.is_heavy()));
    flags.raise_if(Flag::StealthDisadvantage, hinders_stealth);
    flags.raise_if(Flag::ArmorNotProficient, untrained);
    flags.raise_if(Flag::StrengthDexterityDisadvantage, untrained);
    flags.raise_if(Flag::NoSpellcasting, untrained);
    flags.raise_if(Flag::HeavyWeaponDisadvantage, heavy_weapon && nature.race.is_some_and(Race::is_small));
}
