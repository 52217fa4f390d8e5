//! The judgement of frames that are too many, or that are none. It needs no character.

use std::time::Duration;

use castellan_protocol::limits::{CHATTER_FRAMES_PER_SECOND, FRAMES_OVER_RATE_MAX};
use castellan_protocol::{CloseCode, FrameError, RejectionCode, RequestId};
use tokio::time::Instant;

use super::context::SocketSettings;
use super::end::End;
use crate::rate::{Bucket, Rate};
use crate::shard::Refusal;
use crate::telemetry::{self, IntentOutcome};

/// Frames above the rate that are forgotten per second: a client that is a little too fast now and then is not closed.
const FORGIVEN_PER_SECOND: u32 = 10;

/// The frames of a client that should not come, or not as fast. Most clients send none.
#[derive(Debug, Default)]
pub(crate) struct Excess {
    /// Frames that ask for nothing.
    chatter: Option<Bucket>,
    /// Frames above the rate.
    over: Option<Bucket>,
}

impl Excess {
    /// Counts a frame that asks for nothing, on top of its being a frame: a control frame, a fragment, a malformed or an
    /// unknown frame. Intents are meant to come fast, these are not. Returns how long the client must wait if it was
    /// above the rate.
    ///
    /// # Errors
    ///
    /// The end, if the client keeps sending above its rate.
    pub(crate) fn count_chatter(&mut self, settings: &SocketSettings, now: Instant) -> Result<Option<Duration>, End> {
        let rate = settings.rate.at_most(CHATTER_FRAMES_PER_SECOND);
        match self.chatter.get_or_insert_with(|| Bucket::new(&rate, now)).take(&rate, now) {
            Ok(()) => Ok(None),
            Err(wait) => self.exceeds(wait, now),
        }
    }

    /// Notes a frame above the rate, which may come again after `wait`.
    ///
    /// # Errors
    ///
    /// The end, if the client keeps sending above its rate.
    pub(crate) fn exceeds(&mut self, wait: Duration, now: Instant) -> Result<Option<Duration>, End> {
        let rate = Rate::new(FORGIVEN_PER_SECOND, FRAMES_OVER_RATE_MAX);
        match self.over.get_or_insert_with(|| Bucket::new(&rate, now)).take(&rate, now) {
            Ok(()) => Ok(Some(wait)),
            Err(_) => Err(End::order(
                CloseCode::RateLimit,
                "too many frames were above the rate; reconnect and send more slowly",
            )),
        }
    }
}

/// Refuses a frame above the rate.
pub(crate) fn over_rate(wait: Duration) -> Refusal {
    telemetry::intent(IntentOutcome::Rejected(RejectionCode::RATE_LIMITED));
    Refusal::rate_limited(wait)
}

/// Judges a message that cannot be read. `count` counts it as one that asks for nothing; `over` says how long the client
/// must wait if it was above the rate already.
///
/// # Errors
///
/// The end, if the message is not a frame, or if the client keeps sending above its rate.
#[cold]
pub(crate) fn unreadable(
    error: FrameError,
    over: Option<Duration>,
    count: impl FnOnce() -> Result<Option<Duration>, End>,
) -> Result<(Option<RequestId>, Refusal), End> {
    match error {
        FrameError::NotAFrame(reason) => {
            tracing::debug!(reason, "a message is not a frame");
            Err(End::order(
                CloseCode::ProtocolError,
                "the message is not a frame: a map with exactly one entry, in the encoding of the subprotocol",
            ))
        }
        FrameError::Rejected { id, code, message } => {
            let over = if over.is_none() { count()? } else { over };
            let refused = || {
                telemetry::intent(IntentOutcome::Rejected(code));
                Refusal::new(code, message)
            };
            Ok((id, over.map_or_else(refused, over_rate)))
        }
    }
}
