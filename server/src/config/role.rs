//! The role of an account.

/// The role of an account. The policy decides which actions it may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// Plays the account's own characters.
    Player,
    /// A game server: acts on any user's characters.
    Game,
    /// Runs the service.
    Operator,
}

impl Role {
    /// The name in accounts and tokens.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Player => "player",
            Self::Game => "game",
            Self::Operator => "operator",
        }
    }

    /// The role with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Player, Self::Game, Self::Operator].into_iter().find(|role| role.as_str() == name)
    }
}
