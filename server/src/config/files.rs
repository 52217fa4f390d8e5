//! The files that settings name, so that their mistakes can be reported with those of the settings.

use std::path::PathBuf;

use castellan_game::RuleOptions;

use super::setting::Values;
use super::text::FromText;
use super::{Auth, Issuers, PolicyChoice};

/// The files that settings name; `None` also if the setting itself is wrong.
#[derive(Debug, Default)]
pub struct Files {
    /// The folder of the catalogue (`None` for the built-in one), and the options of the rules that read it.
    pub catalogue: Option<(Option<PathBuf>, RuleOptions)>,
    /// The policy.
    pub policy: Option<PolicyChoice>,
    /// The certificate and its key.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// The authorities of nodes.
    pub link_ca: Option<PathBuf>,
    /// The outside issuers.
    pub issuers: Option<Issuers>,
    /// The master key.
    pub master_key: Option<PathBuf>,
}

impl Files {
    /// Takes the paths as they were given, so that one wrong setting does not hide the others.
    pub(super) fn of(values: &Values, auth: Option<&Auth>, options: Option<&RuleOptions>) -> Self {
        let text = |name: &str| values.given.get(name).map(|given| given.text.as_str()).filter(|text| !text.is_empty());
        let path = |name| text(name).map(PathBuf::from);
        Self {
            catalogue: options.map(|options| (path("catalogue"), options.clone())),
            policy: text("policy").and_then(|text| PolicyChoice::from_text(text).ok()),
            certificate: path("tls_cert").zip(path("tls_key")),
            link_ca: path("link_ca"),
            issuers: auth.map(|auth| auth.issuers.clone()),
            master_key: path("master_key_file"),
        }
    }
}
