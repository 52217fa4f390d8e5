//! How a connection ends.

use castellan_protocol::CloseCode;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::error::CapacityError;

use crate::shard::CloseOrder;

/// How a connection ends.
#[derive(Debug)]
pub(crate) enum End {
    /// We close it.
    Order(CloseOrder),
    /// The peer closed it or disappeared.
    Gone,
    /// Another process goes on with it.
    MovesOn,
}

impl End {
    /// A message is text where binary was agreed, or the other way round.
    pub(crate) const WRONG_TYPE: Self =
        Self::order(CloseCode::ProtocolError, "the message type does not match the subprotocol");

    /// Nothing was heard of the client for too long.
    pub(crate) const SILENT: Self =
        Self::order(CloseCode::Silent, "nothing arrived from you for twice `ping_seconds`; reconnect");

    /// The token has expired.
    pub(crate) const EXPIRED: Self =
        Self::order(CloseCode::TokenExpired, "the token has expired; refresh the session, then reconnect");

    pub(crate) const fn order(code: CloseCode, reason: &'static str) -> Self {
        Self::Order(CloseOrder::new(code, reason))
    }
}

impl From<Error> for End {
    fn from(error: Error) -> Self {
        match error {
            Error::Capacity(CapacityError::MessageTooLong { .. }) => {
                Self::order(CloseCode::TooBig, "the message is larger than `frame_bytes_max`")
            }
            Error::Protocol(_) | Error::Utf8(_) | Error::Capacity(_) | Error::AttackAttempt => {
                Self::order(CloseCode::ProtocolError, "the bytes are not valid WebSocket frames")
            }
            _ => Self::Gone,
        }
    }
}
