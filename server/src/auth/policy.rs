//! Which role may send which action.

use std::fs;
use std::path::Path;

use castellan_protocol::{Action, ModifyCurrency};
use serde::Deserialize;

use super::role::Role;
use crate::config::PolicyChoice;

/// Roles that a policy knows.
const ROLES: usize = 3;

/// What an action needs: each kind of action is a right, but for those that both make and take, which are two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Right(u32);

/// The halves of the actions that both make and take, by the name that configuration gives them.
const HALVES: [(&str, &str); 4] = [
    ("modify_hitpoints", "modify_hitpoints:damage"),
    ("modify_hitpoints", "modify_hitpoints:healing"),
    ("modify_currency", "modify_currency:loss"),
    ("modify_currency", "modify_currency:gain"),
];

/// What makes something from nothing: in `strict` only role `game` may.
const STRICT: [&str; 10] = [
    "add_item",
    "modify_currency:gain",
    "gain_experience",
    "modify_hitpoints:healing",
    "grant_temporary_hitpoints",
    "revive",
    "stabilize",
    "short_rest",
    "long_rest",
    "remove_condition",
];

const _: () = assert!(Action::KINDS.len() + HALVES.len() <= u32::BITS as usize, "a bit for each right");

/// The rights that a name in the configuration stands for: a half, or a kind whole. 0 where it is unknown.
fn rights_named(name: &str) -> u32 {
    let mut rights = 0;
    for (index, (kind, half)) in HALVES.iter().enumerate() {
        if name == *half || name == *kind {
            rights |= 1 << (Action::KINDS.len() + index);
        }
    }
    if rights == 0
        && let Some(index) = Action::KINDS.iter().position(|kind| *kind == name)
    {
        rights = 1 << index;
    }
    rights
}

/// The right that an action needs.
fn right_of(action: &Action) -> Right {
    let half = match action {
        Action::ModifyHitpoints(fields) => Some(usize::from(fields.delta > 0)),
        Action::ModifyCurrency(fields) => Some(2 + usize::from(gains(fields))),
        _ => None,
    };
    let index = match half {
        Some(half) => Action::KINDS.len() + half,
        None => Action::KINDS.iter().position(|kind| *kind == action.kind()).expect("every action has its kind"),
    };
    Right(1 << index)
}

/// Whether any coin is added, also where others are taken.
fn gains(fields: &ModifyCurrency) -> bool {
    let ModifyCurrency { cp, sp, ep, gp, pp } = fields;
    [cp, sp, ep, gp, pp].into_iter().flatten().any(|delta| *delta > 0)
}

/// Which role may send which action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// A bit for each right that a role has not.
    denied: [u32; ROLES],
}

/// A policy that makes no sense: every mistake, a line each.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct PolicyError(Vec<String>);

/// A policy as it is configured.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Configured {
    /// `permissive` or `strict`: what holds where nothing else is said.
    base: Option<String>,
    #[serde(default)]
    player: Changes,
    #[serde(default)]
    game: Changes,
    #[serde(default)]
    operator: Changes,
}

/// What one role has more or less than in the base.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Changes {
    #[serde(default)]
    allow: Vec<String>,
    #[serde(default)]
    deny: Vec<String>,
}

impl Policy {
    /// Every role may send every action.
    pub const fn permissive() -> Self {
        Self { denied: [0; ROLES] }
    }

    /// What makes something from nothing is for role `game` alone.
    pub fn strict() -> Self {
        let withheld = STRICT.iter().fold(0, |rights, name| rights | rights_named(name));
        let mut policy = Self::permissive();
        policy.denied[Role::Player as usize] = withheld;
        policy.denied[Role::Operator as usize] = withheld;
        policy
    }

    /// The policy that the configuration asks for.
    ///
    /// # Errors
    ///
    /// [`PolicyError`] where its file cannot be read or makes no sense.
    pub fn from_choice(choice: &PolicyChoice) -> Result<Self, PolicyError> {
        match choice {
            PolicyChoice::Permissive => Ok(Self::permissive()),
            PolicyChoice::Strict => Ok(Self::strict()),
            PolicyChoice::File(file) => Self::load(file),
        }
    }

    /// Reads a policy from a TOML file; see [`Policy::parse`].
    ///
    /// # Errors
    ///
    /// [`PolicyError`] with every mistake.
    pub fn load(file: &Path) -> Result<Self, PolicyError> {
        let named = |mistake: &dyn std::fmt::Display| format!("{}: {mistake}", file.display());
        let text = fs::read_to_string(file).map_err(|error| PolicyError(vec![named(&error)]))?;
        Self::parse(&text)
            .map_err(|PolicyError(mistakes)| PolicyError(mistakes.iter().map(|mistake| named(mistake)).collect()))
    }

    /// The policy of this name: `permissive` or `strict`.
    fn named(name: &str) -> Option<Self> {
        match name {
            "permissive" => Some(Self::permissive()),
            "strict" => Some(Self::strict()),
            _ => None,
        }
    }

    /// Reads a policy from TOML.
    ///
    /// `base` is `permissive` (the default) or `strict`; the tables `player`, `game` and `operator` have the lists
    /// `allow` and `deny`, of actions or of the halves `modify_hitpoints:damage`, `modify_hitpoints:healing`,
    /// `modify_currency:loss` and `modify_currency:gain`. A denial wins.
    ///
    /// # Errors
    ///
    /// [`PolicyError`] with every mistake.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        let configured: Configured =
            toml::from_str(text).map_err(|error| PolicyError(vec![error.to_string().trim_end().to_owned()]))?;
        let mut mistakes = Vec::new();
        let base = configured.base.as_deref().unwrap_or("permissive");
        let mut policy = Self::named(base).unwrap_or_else(|| {
            mistakes.push(format!("base: must be `permissive` or `strict`, not `{base}`"));
            Self::permissive()
        });
        let changes = [
            (Role::Player, &configured.player),
            (Role::Game, &configured.game),
            (Role::Operator, &configured.operator),
        ];
        for (role, changes) in changes {
            let mut rights = |list: &str, names: &[String]| {
                names.iter().fold(0, |rights, name| {
                    let named = rights_named(name);
                    if named == 0 {
                        mistakes.push(format!("{}.{list}: there is no action `{name}`", role.as_str()));
                    }
                    rights | named
                })
            };
            let denied = &mut policy.denied[role as usize];
            *denied &= !rights("allow", &changes.allow);
            *denied |= rights("deny", &changes.deny);
        }
        if mistakes.is_empty() { Ok(policy) } else { Err(PolicyError(mistakes)) }
    }

    /// Whether a role may send an action.
    pub fn permits(&self, role: Role, action: &Action) -> bool {
        self.denied[role as usize] & right_of(action).0 == 0
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self::permissive()
    }
}
