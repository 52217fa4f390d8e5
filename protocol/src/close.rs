//! WebSocket close codes. Their range says whether to come back.

use crate::wire_names;

wire_names! {
    /// The reason why the server closes a socket.
    ///
    /// 4400 to 4499: come back. 4500 to 4599: fix the cause first.
    CloseCode("a close code") {
        /// Nothing went wrong.
        "normal" => Normal,
        /// A client message above the limit: a bug of the client.
        "too_big" => TooBig,
        /// The server is stopping.
        "going_away" => GoingAway,
        /// Memory fell back to the database, or another server has the shard now.
        "shard_moved" => ShardMoved,
        /// The client sent no message, ping or pong for twice the ping interval.
        "silent" => Silent,
        /// The client does not read its messages.
        "slow_consumer" => SlowConsumer,
        /// The client kept sending above its rate.
        "rate_limit" => RateLimit,
        /// The client sent something that is not a frame: a bug of the client.
        "protocol_error" => ProtocolError,
        /// The session was ended: log in.
        "session_revoked" => SessionRevoked,
        /// The token expired: refresh, then reconnect.
        "token_expired" => TokenExpired,
    }
}

impl CloseCode {
    /// The number in the close frame.
    pub const fn number(self) -> u16 {
        match self {
            Self::Normal => 1000,
            Self::TooBig => 1009,
            Self::GoingAway => 4400,
            Self::ShardMoved => 4401,
            Self::Silent => 4402,
            Self::SlowConsumer => 4403,
            Self::RateLimit => 4404,
            Self::ProtocolError => 4500,
            Self::SessionRevoked => 4501,
            Self::TokenExpired => 4502,
        }
    }

    /// The close code with this number.
    pub fn from_number(number: u16) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.number() == number)
    }

    /// True if a client should come back without changing anything.
    pub const fn invites_back(self) -> bool {
        matches!(self.number(), 4400..=4499)
    }
}
