//! The game: catalogue, policy, variants.

use std::path::PathBuf;

use super::setting::settings;
use super::text::{FromText, choices};

settings! {
    /// The game: catalogue, policy, variants.
    Rules under "Rules" {
        /// Which roles may send which actions: permissive, strict, or a TOML file that says so.
        "policy" policy: PolicyChoice = "permissive";
        /// Folder with the catalogue's files. Without it the built-in one.
        "catalogue" catalogue: Option<PathBuf>;
        /// Whether a heavy load slows: off, or the variant rule of the SRD.
        "encumbrance" encumbrance: Encumbrance = "off";
    }
}

/// Where the policy comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PolicyChoice {
    /// Every role may send every action.
    Permissive,
    /// What makes something from nothing is for the role `game`.
    Strict,
    /// As a file says.
    File(PathBuf),
}

impl FromText for PolicyChoice {
    const KIND: &'static str = "permissive|strict|FILE";

    fn from_text(text: &str) -> Result<Self, String> {
        match text {
            "permissive" => Ok(Self::Permissive),
            "strict" => Ok(Self::Strict),
            file => PathBuf::from_text(file).map(Self::File),
        }
    }
}

choices! {
    /// Whether a heavy load slows.
    Encumbrance {
        /// It does not.
        "off" => Off,
        /// The variant rule of the SRD.
        "variant" => Variant,
    }
}
