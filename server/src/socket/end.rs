//! How a connection ends.

use castellan_protocol::CloseCode;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::error::CapacityError;

use crate::shard::CloseOrder;

/// How a connection ends.
#[derive(Debug)]
pub(super) enum End {
    /// We close it.
    Order(CloseOrder),
    /// The peer closed it or disappeared.
    Gone,
}

impl End {
    pub(super) const fn order(code: CloseCode, reason: &'static str) -> Self {
        Self::Order(CloseOrder { code, reason })
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
