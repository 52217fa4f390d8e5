//! The rights of a session: whose characters it acts on, and which actions its role may send.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use castellan_game::{Game, Right};
use castellan_protocol::UserId;
use serde::Deserialize;

use super::exposure::Exposure;
use super::token::Session;
use crate::config::{PolicyChoice, Role};

/// Number of roles.
const ROLES: usize = 3;

/// The rights that a name in the configuration stands for: one of that name, or all that begin with it and a colon.
fn rights_named(rights: &[&str], name: &str) -> Vec<Right> {
    let is_meant = |right: &str| right.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with(':'));
    rights.iter().enumerate().filter(|(_, right)| is_meant(right)).map(|(index, _)| Right(index)).collect()
}

/// Which role may send which action.
#[derive(Debug)]
pub struct Policy {
    /// For each role, the rights that it lacks.
    denied: [Vec<AtomicBool>; ROLES],
    /// If present, they are lacking only while strangers can reach this server.
    exposure: Option<Arc<Exposure>>,
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

impl Session {
    /// The user whose characters a request is about: the one that it names, else the session's own.
    ///
    /// `None` if the session may not act for that user. To it, the user's characters do not exist.
    pub fn acts_for(&self, named: Option<UserId>) -> Option<UserId> {
        let user = named.unwrap_or(self.user);
        (user == self.user || self.is_game_server()).then_some(user)
    }

    /// Returns true if the session belongs to a game server.
    pub fn is_game_server(&self) -> bool {
        self.role == Role::Game
    }
}

impl Policy {
    /// Every role may send every action.
    pub fn permissive<G: Game>() -> Self {
        let rights = G::rights();
        Self { denied: std::array::from_fn(|_| rights.iter().map(|_| AtomicBool::default()).collect()), exposure: None }
    }

    /// Only the role `game` may send actions that create something from nothing.
    pub fn strict<G: Game>() -> Self {
        let rights = G::rights();
        let policy = Self::permissive::<G>();
        for right in G::STRICT.iter().flat_map(|name| rights_named(&rights, name)) {
            policy.set(Role::Player, right, true);
            policy.set(Role::Operator, right, true);
        }
        policy
    }

    fn set(&self, role: Role, right: Right, denied: bool) {
        self.denied[role as usize][right.0].store(denied, Ordering::Relaxed);
    }

    /// Judges like another policy of the same game from now on.
    pub fn become_like(&self, other: &Self) {
        for (mine, theirs) in self.denied.iter().flatten().zip(other.denied.iter().flatten()) {
            mine.store(theirs.load(Ordering::Relaxed), Ordering::Relaxed);
        }
    }

    /// The text of a policy, for [`Policy::parse`], on a server that strangers can reach.
    ///
    /// # Errors
    ///
    /// Its file cannot be read.
    pub fn text_of(choice: &PolicyChoice) -> Result<String, PolicyError> {
        match choice {
            PolicyChoice::Permissive => Ok("base = \"permissive\"".to_owned()),
            PolicyChoice::Auto | PolicyChoice::Strict => Ok("base = \"strict\"".to_owned()),
            PolicyChoice::File(file) => {
                fs::read_to_string(file).map_err(|error| PolicyError(vec![format!("{}: {error}", file.display())]))
            }
        }
    }

    /// The configured policy.
    ///
    /// # Errors
    ///
    /// [`PolicyError`] if the file cannot be read or is invalid.
    pub fn from_choice<G: Game>(choice: &PolicyChoice, exposure: &Arc<Exposure>) -> Result<Self, PolicyError> {
        match choice {
            PolicyChoice::Auto => Ok(Self { exposure: Some(Arc::clone(exposure)), ..Self::strict::<G>() }),
            PolicyChoice::Permissive => Ok(Self::permissive::<G>()),
            PolicyChoice::Strict => Ok(Self::strict::<G>()),
            PolicyChoice::File(file) => Self::load::<G>(file),
        }
    }

    /// Reads a policy from a TOML file; see [`Policy::parse`].
    ///
    /// # Errors
    ///
    /// [`PolicyError`] with all mistakes.
    pub fn load<G: Game>(file: &Path) -> Result<Self, PolicyError> {
        let named = |mistake: &dyn std::fmt::Display| format!("{}: {mistake}", file.display());
        let text = fs::read_to_string(file).map_err(|error| PolicyError(vec![named(&error)]))?;
        Self::parse::<G>(&text)
            .map_err(|PolicyError(mistakes)| PolicyError(mistakes.iter().map(|mistake| named(mistake)).collect()))
    }

    /// The policy of this name: `permissive` or `strict`.
    fn named<G: Game>(name: &str) -> Option<Self> {
        match name {
            "permissive" => Some(Self::permissive::<G>()),
            "strict" => Some(Self::strict::<G>()),
            _ => None,
        }
    }

    /// Reads a policy from TOML.
    ///
    /// `base` is `permissive` (the default) or `strict`. The tables `player`, `game` and `operator` contain the lists
    /// `allow` and `deny`. A list names the game's rights; a name also stands for all rights that begin with it and a
    /// colon. `deny` wins over `allow`.
    ///
    /// # Errors
    ///
    /// [`PolicyError`] with all mistakes.
    pub fn parse<G: Game>(text: &str) -> Result<Self, PolicyError> {
        let configured: Configured =
            toml::from_str(text).map_err(|error| PolicyError(vec![error.to_string().trim_end().to_owned()]))?;
        let mut mistakes = Vec::new();
        let base = configured.base.as_deref().unwrap_or("permissive");
        let policy = Self::named::<G>(base).unwrap_or_else(|| {
            mistakes.push(format!("base: must be `permissive` or `strict`, not `{base}`"));
            Self::permissive::<G>()
        });
        let changes = [
            (Role::Player, &configured.player),
            (Role::Game, &configured.game),
            (Role::Operator, &configured.operator),
        ];
        let known = G::rights();
        for (role, changes) in changes {
            for (list, names, denied) in [("allow", &changes.allow, false), ("deny", &changes.deny, true)] {
                for name in names {
                    let rights = rights_named(&known, name);
                    if rights.is_empty() {
                        let role = role.as_str();
                        mistakes.push(format!("{role}.{list}: no such action `{name}`; remove it or correct its name"));
                    }
                    rights.into_iter().for_each(|right| policy.set(role, right, denied));
                }
            }
        }
        if mistakes.is_empty() { Ok(policy) } else { Err(PolicyError(mistakes)) }
    }

    /// Returns true if a role has a right.
    pub fn permits(&self, role: Role, right: Right) -> bool {
        !self.denied[role as usize][right.0].load(Ordering::Relaxed)
            || self.exposure.as_ref().is_some_and(|exposure| !exposure.is_exposed())
    }
}

#[cfg(test)]
mod tests {
    use castellan_srd::Srd;
    use castellan_srd::wire::Action;

    use super::*;

    fn action(json: &str) -> Action {
        serde_json::from_str(json).expect("an action")
    }

    /// An example of each kind that is one right.
    const PLAIN: [&str; 24] = [
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
        r#"{"give": {"to": "00000000-0000-4000-8000-000000000001", "goods": {}}}"#,
        r#"{"offer": {"gives": {}, "wants": {}, "seconds": 1}}"#,
        r#"{"accept": {"from": "00000000-0000-4000-8000-000000000001", "offer": 1, "gives": {}, "gets": {}}}"#,
        r#"{"cancel": {"offer": 1}}"#,
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
                assert!(Policy::permissive::<Srd>().permits(role, Srd::right(&action(json))), "{json}");
            }
        }
    }

    #[test]
    fn strict_lets_only_game_servers_create_something_from_nothing() {
        let strict = Policy::strict::<Srd>();
        for json in PLAIN.iter().chain(&HARM).chain(&GAIN) {
            let action = action(json);
            let kept = GAIN.contains(json) || Srd::STRICT.contains(&action.kind());
            assert!(strict.permits(Role::Game, Srd::right(&action)), "{json}");
            assert_eq!(strict.permits(Role::Player, Srd::right(&action)), !kept, "{json}");
            assert_eq!(strict.permits(Role::Operator, Srd::right(&action)), !kept, "{json}");
        }
    }

    #[test]
    fn the_automatic_policy_is_strict_from_the_moment_that_strangers_can_reach_the_server() {
        let exposure = Arc::new(Exposure::new(false));
        let policy = Policy::from_choice::<Srd>(&PolicyChoice::Auto, &exposure).expect("a policy");
        let gain = Srd::right(&action(GAIN[1]));
        assert!(policy.permits(Role::Player, gain));
        assert!(exposure.expose() && !exposure.expose(), "it is said once");
        assert!(!policy.permits(Role::Player, gain) && policy.permits(Role::Game, gain));
        assert!(policy.permits(Role::Player, Srd::right(&action(HARM[1]))));
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
        let policy = Policy::parse::<Srd>(text).expect("a policy");
        let permits = |role, json| policy.permits(role, Srd::right(&action(json)));
        assert!(permits(Role::Player, PLAIN[15]) && !permits(Role::Player, PLAIN[16]));
        assert!(permits(Role::Player, GAIN[1]) && permits(Role::Player, HARM[1]));
        assert!(!permits(Role::Player, PLAIN[19]) && !permits(Role::Player, HARM[0]));
        assert!(permits(Role::Operator, GAIN[0]) && !permits(Role::Operator, GAIN[1]));
        assert!(permits(Role::Game, PLAIN[19]));
    }

    #[test]
    fn all_mistakes_in_a_file_are_reported() {
        let text = "base = \"lax\"\n[player]\nallow = [\"dance\"]\n[game]\ndeny = [\"modify_hitpoints:magic\"]";
        let error = Policy::parse::<Srd>(text).expect_err("a mistake");
        assert_eq!(
            error.to_string(),
            "base: must be `permissive` or `strict`, not `lax`\n\
                         player.allow: no such action `dance`; remove it or correct its name\n\
                         game.deny: no such action `modify_hitpoints:magic`; remove it or correct its name"
        );
        assert!(Policy::parse::<Srd>("[players]").is_err());
        let file = tempfile::NamedTempFile::new().expect("a file");
        fs::write(file.path(), text).expect("written");
        let choice = PolicyChoice::File(file.path().to_owned());
        let error = Policy::from_choice::<Srd>(&choice, &Arc::new(Exposure::new(false))).expect_err("a mistake");
        let error = error.to_string();
        assert!(error.lines().all(|line| line.starts_with(&file.path().display().to_string())), "{error}");
        assert!(Policy::load::<Srd>(Path::new("/nowhere/at/all")).is_err());
    }
}
