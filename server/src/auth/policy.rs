//! Which role may send which action.

use std::fs;
use std::path::Path;

use castellan_protocol::{Action, ModifyCurrency};
use serde::Deserialize;

use crate::config::PolicyChoice;
use crate::config::Role;

/// Number of roles.
const ROLES: usize = 3;

/// The right that an action needs. Each kind of action is one right; a kind that can both give and take is two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Right(u32);

/// The two halves of each kind that can both give and take: the kind and the half's name in the configuration.
const HALVES: [(&str, &str); 4] = [
    ("modify_hitpoints", "modify_hitpoints:damage"),
    ("modify_hitpoints", "modify_hitpoints:healing"),
    ("modify_currency", "modify_currency:loss"),
    ("modify_currency", "modify_currency:gain"),
];

/// Actions that create something from nothing: in `strict` only the role `game` may send them.
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

/// The rights of a name in the configuration: a half or a whole kind. 0 if the name is unknown.
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

/// Returns true if any coin is added, even if others are taken.
fn gains(fields: &ModifyCurrency) -> bool {
    let ModifyCurrency { cp, sp, ep, gp, pp } = fields;
    [cp, sp, ep, gp, pp].into_iter().flatten().any(|delta| *delta > 0)
}

/// Which role may send which action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// For each role, a bit for each right that it lacks.
    denied: [u32; ROLES],
}

/// An invalid policy: all mistakes, one per line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct PolicyError(Vec<String>);

/// A policy as configured.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Configured {
    /// `permissive` or `strict`: the policy that the changes start from.
    base: Option<String>,
    #[serde(default)]
    player: Changes,
    #[serde(default)]
    game: Changes,
    #[serde(default)]
    operator: Changes,
}

/// The rights of one role that differ from the base.
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

    /// Only the role `game` may send actions that create something from nothing.
    pub fn strict() -> Self {
        let withheld = STRICT.iter().fold(0, |rights, name| rights | rights_named(name));
        let mut policy = Self::permissive();
        policy.denied[Role::Player as usize] = withheld;
        policy.denied[Role::Operator as usize] = withheld;
        policy
    }

    /// The configured policy.
    ///
    /// # Errors
    ///
    /// [`PolicyError`] if the file cannot be read or is invalid.
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
    /// [`PolicyError`] with all mistakes.
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
    /// `base` is `permissive` (the default) or `strict`. The tables `player`, `game` and `operator` contain the lists
    /// `allow` and `deny`. A list names actions or the halves `modify_hitpoints:damage`, `modify_hitpoints:healing`,
    /// `modify_currency:loss` and `modify_currency:gain`. `deny` wins over `allow`.
    ///
    /// # Errors
    ///
    /// [`PolicyError`] with all mistakes.
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
                        mistakes.push(format!(
                            "{}.{list}: no such action `{name}`; remove it or correct its name",
                            role.as_str()
                        ));
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

    /// Returns true if a role may send an action.
    pub fn permits(&self, role: Role, action: &Action) -> bool {
        self.denied[role as usize] & right_of(action).0 == 0
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self::permissive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn action(json: &str) -> Action {
        serde_json::from_str(json).expect("an action")
    }

    /// An example of each kind that is one right.
    const PLAIN: [&str; 20] = [
        r#"{"grant_temporary_hitpoints": {"amount": 1}}"#,
        r#"{"roll_death_save": {}}"#,
        r#"{"stabilize": {}}"#,
        r#"{"revive": {"hitpoints": 1}}"#,
        r#"{"equip_item": {"item": "club"}}"#,
        r#"{"unequip_item": {"slot": "head"}}"#,
        r#"{"attune": {"item": "club"}}"#,
        r#"{"end_attunement": {"item": "club"}}"#,
        r#"{"add_item": {"item": "club", "quantity": 1}}"#,
        r#"{"remove_item": {"item": "club", "quantity": 1}}"#,
        r#"{"use_item": {"item": "club"}}"#,
        r#"{"buy_item": {"item": "club", "quantity": 1}}"#,
        r#"{"sell_item": {"item": "club", "quantity": 1}}"#,
        r#"{"gain_experience": {"amount": 1}}"#,
        r#"{"level_up": {"hitpoints": "average"}}"#,
        r#"{"short_rest": {"hit_dice": 0}}"#,
        r#"{"long_rest": {}}"#,
        r#"{"add_condition": {"condition": "prone"}}"#,
        r#"{"remove_condition": {"condition": "prone"}}"#,
        r#"{"rename": {"name": "x"}}"#,
    ];
    const HARM: [&str; 3] = [
        r#"{"modify_hitpoints": {"delta": -1}}"#,
        r#"{"modify_currency": {"gp": -1}}"#,
        r#"{"modify_currency": {"gp": 0}}"#,
    ];
    const GAIN: [&str; 3] = [
        r#"{"modify_hitpoints": {"delta": 1}}"#,
        r#"{"modify_currency": {"gp": 1}}"#,
        r#"{"modify_currency": {"gp": -100, "cp": 1}}"#,
    ];

    const ROLES: [Role; 3] = [Role::Player, Role::Game, Role::Operator];

    #[test]
    fn permissive_lets_every_role_send_every_action() {
        let kinds: std::collections::BTreeSet<_> = PLAIN.iter().map(|json| action(json).kind()).collect();
        assert_eq!(kinds.len() + 2, Action::KINDS.len(), "one example of every kind");
        for role in ROLES {
            for json in PLAIN.iter().chain(&HARM).chain(&GAIN) {
                assert!(Policy::default().permits(role, &action(json)), "{json}");
            }
        }
    }

    #[test]
    fn strict_lets_only_game_servers_create_something_from_nothing() {
        let strict = Policy::strict();
        for json in PLAIN.iter().chain(&HARM).chain(&GAIN) {
            let action = action(json);
            let kept = GAIN.contains(json) || STRICT.contains(&action.kind());
            assert!(strict.permits(Role::Game, &action), "{json}");
            assert_eq!(strict.permits(Role::Player, &action), !kept, "{json}");
            assert_eq!(strict.permits(Role::Operator, &action), !kept, "{json}");
        }
    }

    #[test]
    fn a_file_changes_the_rights_of_a_role() {
        let text = r#"
            base = "strict"
            [player]
            allow = ["short_rest", "modify_currency"]
            deny = ["rename", "modify_hitpoints:damage"]
            [operator]
            allow = ["modify_hitpoints:healing"]
        "#;
        let policy = Policy::parse(text).expect("a policy");
        let permits = |role, json| policy.permits(role, &action(json));
        assert!(permits(Role::Player, PLAIN[15]) && !permits(Role::Player, PLAIN[16]));
        assert!(permits(Role::Player, GAIN[1]) && permits(Role::Player, HARM[1]));
        assert!(!permits(Role::Player, PLAIN[19]) && !permits(Role::Player, HARM[0]));
        assert!(permits(Role::Operator, GAIN[0]) && !permits(Role::Operator, GAIN[1]));
        assert!(permits(Role::Game, PLAIN[19]));
    }

    #[test]
    fn all_mistakes_in_a_file_are_reported() {
        let text = "base = \"lax\"\n[player]\nallow = [\"dance\"]\n[game]\ndeny = [\"modify_hitpoints:magic\"]";
        let error = Policy::parse(text).expect_err("a mistake");
        assert_eq!(
            error.to_string(),
            "base: must be `permissive` or `strict`, not `lax`\n\
                         player.allow: no such action `dance`; remove it or correct its name\n\
                         game.deny: no such action `modify_hitpoints:magic`; remove it or correct its name"
        );
        assert!(Policy::parse("[players]").is_err());
        let file = tempfile::NamedTempFile::new().expect("a file");
        fs::write(file.path(), text).expect("written");
        let error =
            Policy::from_choice(&PolicyChoice::File(file.path().to_owned())).expect_err("a mistake").to_string();
        assert!(error.lines().all(|line| line.starts_with(&file.path().display().to_string())), "{error}");
        assert!(Policy::load(Path::new("/nowhere/at/all")).is_err());
    }
}
