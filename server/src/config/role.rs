//! What a session may be.

/// What an account is for; which actions each may send is the policy's matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// Plays its own characters.
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

    /// The role of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Player, Self::Game, Self::Operator].into_iter().find(|role| role.as_str() == name)
    }
}
