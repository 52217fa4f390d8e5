//! Why a link ends.

use crate::link::Malformed;

/// Why a link ends.
#[derive(Debug, thiserror::Error)]
pub(super) enum Cut {
    #[error("the gateway closed it")]
    Gone,
    #[error(transparent)]
    Malformed(#[from] Malformed),
    #[error("the gateway sent more frames of a socket than it may")]
    TooManyFrames,
    #[error("the gateway sent a message that only nodes send")]
    NotFromAGateway,
    #[error("it cannot keep up with the node")]
    Behind,
    #[error("the node stops, cannot show that it lives, or waits for it in vain")]
    ByNode,
    #[error("the gateway was silent for too long")]
    Silent,
    #[error("the gateway did not read for too long")]
    Unread,
}
