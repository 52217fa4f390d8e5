//! The game: catalogue, policy, variants.

use std::path::PathBuf;

use super::setting::settings;
use super::text::{FromText, choices};

settings! {
    /// The game: catalogue, policy, variants.
    Rules under "Rules" {
        /// Which roles may send which actions: permissive, strict, or a TOML file with your own policy.
        "policy" policy: PolicyChoice = "permissive";
        /// Folder with the catalogue's files. Default: the built-in catalogue.
        "catalogue" catalogue: Option<PathBuf>;
        /// Slow heavily loaded characters: off, or variant (the SRD's variant rule).
        "encumbrance" encumbrance: Encumbrance = "off";
    }
}

/// The source of the policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PolicyChoice {
    /// Every role may send every action.
    Permissive,
    /// Only the role `game` may send actions that create something from nothing.
    Strict,
    /// Read from a file.
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
    /// Does a heavy load slow a character?
    Encumbrance {
        /// No.
        "off" => Off,
        /// Yes, by the variant rule of the SRD.
        "variant" => Variant,
    }
}
