//! The game: catalogue, policy, variants.

use std::path::PathBuf;

use castellan_game::{RuleOption, RuleOptions};

use super::setting::{Setting, Values, settings, shorten};
use super::text::FromText;

settings! {
    /// The game: catalogue, policy, variants.
    Rules under "Rules" {
        /// Which roles may send which actions: permissive, strict, or a TOML file with your own policy. auto: permissive
        /// while only this machine reaches the server, else strict. Nodes use the policy that was published last; SIGHUP to
        /// a node publishes its own.
        "policy" policy: PolicyChoice = "auto";
        /// Folder with the catalogue's files. Default: the built-in catalogue. SIGHUP reads it again. Nodes and gateways use
        /// the catalogue that was published last; SIGHUP to a node publishes its own.
        "catalogue" catalogue: Option<PathBuf>;
        /// Gifts, offers and acceptances that a character may make in a minute. Game servers are not limited.
        "deals_per_minute" deals_per_minute: u32 = "120", "1" to "1000000";
    }
}

/// The source of the policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PolicyChoice {
    /// Permissive while only this machine reaches the server, else strict.
    Auto,
    /// Every role may send every action.
    Permissive,
    /// Only the role `game` may send actions that create something from nothing.
    Strict,
    /// Read from a file.
    File(PathBuf),
}

impl FromText for PolicyChoice {
    const KIND: &'static str = "auto|permissive|strict|FILE";

    fn from_text(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "permissive" => Ok(Self::Permissive),
            "strict" => Ok(Self::Strict),
            file => PathBuf::from_text(file).map(Self::File),
        }
    }
}

/// The settings that stand for a game's options.
pub(super) fn settings_of(options: &'static [RuleOption]) -> impl Iterator<Item = Setting> {
    options.iter().map(|option| Setting {
        key: option.name,
        doc: option.doc,
        kind: option.choices,
        default: option.choices.split('|').next().unwrap_or_default(),
        bounds: None,
        heading: Rules::SETTINGS[0].heading,
    })
}

/// Reads the chosen value of each option. Returns `None` if one has no such value.
pub(super) fn read_options(options: &'static [RuleOption], values: &mut Values) -> Option<RuleOptions> {
    let mut chosen = RuleOptions::new();
    for (option, setting) in options.iter().zip(settings_of(options)) {
        let text: String = values.read(&setting)?;
        if !option.choices.split('|').any(|choice| choice == text) {
            let origin = values.given.get(&setting.name()).map_or_else(String::new, |given| given.origin.clone());
            values.note(
                &format!("{origin}: {}", shorten(&text)),
                &format!("must be one of {}", option.choices.replace('|', ", ")),
            );
            return None;
        }
        chosen.insert(option.name.to_owned(), text);
    }
    Some(chosen)
}
