//! The frames of a client: judged, and passed on to the node that has the shard.

use std::sync::Arc;
use std::time::Duration;

use castellan_game::Game;
use castellan_protocol::{Action, ClientFrame, FrameError, Refresh, RequestId, UserId};
use tokio::time::Instant;

use crate::auth::Session;
use crate::gateway::carried::{Carried, CarriedPlace};
use crate::gateway::context::Context;
use crate::gateway::hub::Place;
use crate::rate::Bucket;
use crate::shard::{Refusal, shard_of};
use crate::socket::{End, Excess, SocketSettings, over_rate, renewed, seconds_until, unreadable, until};
use crate::telemetry;

/// The gateway's own part of handling a frame.
pub(super) enum Reply {
    /// Nothing.
    Nothing,
    /// Refuse it.
    Refused(Option<RequestId>, Refusal),
    /// Answer a ping.
    Pong(Option<RequestId>),
    /// Check a newer token.
    Refresh(Refresh),
}

/// The frames of one client.
pub(super) struct Traffic {
    session: Session,
    place: Place,
    context: Arc<Context>,
    bucket: Bucket,
    /// Boxed, because most clients have none.
    excess: Option<Box<Excess>>,
    expires_at: Instant,
    now: Instant,
}

impl Traffic {
    pub(super) fn new(session: Session, place: Place, context: Arc<Context>, now: Instant) -> Self {
        let settings = &context.settings;
        Self {
            bucket: Bucket::new(&settings.rate, now),
            expires_at: now + until(session.expires_at_ms, (context.clock)()),
            excess: None,
            session,
            place,
            context,
            now,
        }
    }

    pub(super) fn settings(&self) -> &SocketSettings {
        &self.context.settings
    }

    pub(super) const fn expires_at(&self) -> Instant {
        self.expires_at
    }

    pub(super) fn set_now(&mut self, now: Instant) {
        self.now = now;
    }

    /// Counts a WebSocket frame of any kind. Returns how long the client must wait if it was above the rate.
    ///
    /// # Errors
    ///
    /// The end, if the client keeps sending above its rate.
    pub(super) fn count(&mut self) -> Result<Option<Duration>, End> {
        match self.bucket.take(&self.context.settings.rate, self.now) {
            Ok(()) => Ok(None),
            Err(wait) => self.excess.get_or_insert_default().exceeds(wait, self.now),
        }
    }

    /// Counts a frame that asks for nothing, on top of [`Traffic::count`]: see [`Excess::count_chatter`].
    ///
    /// # Errors
    ///
    /// As [`Traffic::count`].
    #[cold]
    pub(super) fn count_chatter(&mut self) -> Result<Option<Duration>, End> {
        self.excess.get_or_insert_default().count_chatter(&self.context.settings, self.now)
    }

    /// Judges a frame and passes it on, as it came. `over` is what [`Traffic::count`] returned for it.
    pub(super) fn frame<G: Game>(
        &mut self,
        frame: Result<ClientFrame<G::Action>, FrameError>,
        payload: &[u8],
        over: Option<Duration>,
    ) -> Result<Reply, End> {
        let frame = match frame {
            Ok(frame) => frame,
            Err(error) => {
                let (id, refusal) = unreadable(error, over, || self.count_chatter())?;
                return Ok(Reply::Refused(id, refusal));
            }
        };
        if let Some(wait) = over {
            return Ok(Reply::Refused(frame.id(), over_rate(wait)));
        }
        let mut traceparent = None;
        let owner = match frame {
            ClientFrame::Refresh(refresh) => return Ok(Reply::Refresh(refresh)),
            // Its answer has no place in the order of several nodes.
            ClientFrame::Ping(ping) if self.session.is_game_server() => return Ok(Reply::Pong(ping.id)),
            ClientFrame::Ping(_) => self.session.user,
            ClientFrame::Intent(intent) => {
                if telemetry::is_tracing() {
                    let action = G::Action::KINDS[intent.action.index()];
                    traceparent = telemetry::forward(action, intent.traceparent.as_deref());
                }
                self.owner(intent.user)
            }
            ClientFrame::Fetch(fetch) => self.owner(fetch.user),
            ClientFrame::Watch(watch) => {
                if let Some(owner) = self.session.acts_for(watch.user) {
                    self.place.watch(watch.character, owner);
                }
                self.owner(watch.user)
            }
            ClientFrame::Unwatch(unwatch) => {
                self.place.unwatch(unwatch.character).unwrap_or_else(|| self.owner(unwatch.user))
            }
        };
        self.place.frame(shard_of(owner), payload, traceparent.as_deref());
        Ok(Reply::Nothing)
    }

    /// Checks a newer token. Returns for how long it is valid, in seconds.
    pub(super) async fn refresh(&mut self, refresh: &Refresh) -> Result<u64, Refusal> {
        self.session = renewed(&self.context.auth, &self.session, &refresh.token).await?;
        let (expires_at_ms, now_ms) = (self.session.expires_at_ms, (self.context.clock)());
        self.expires_at = self.now + until(expires_at_ms, now_ms);
        self.place.refreshed(expires_at_ms);
        Ok(seconds_until(expires_at_ms, now_ms))
    }

    /// Takes the socket out of its hub. `None` if no other process can go on with it.
    pub(super) fn carry(&self) -> Option<(Session, CarriedPlace)> {
        Some((self.session, self.place.carry()?))
    }

    /// Gives the connection to another process.
    pub(super) fn give(&self, carried: Carried) {
        self.place.give(carried);
    }

    /// The client has read everything.
    pub(super) fn caught_up(&self) {
        self.place.caught_up();
    }

    /// The owner of the character in a frame. The user's own node refuses what the session may not do.
    fn owner(&self, named: Option<UserId>) -> UserId {
        self.session.acts_for(named).unwrap_or(self.session.user)
    }
}
