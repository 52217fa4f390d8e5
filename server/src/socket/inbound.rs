//! From bytes to intents, and from intents to answers.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use castellan_protocol::limits::IN_FLIGHT_MAX;
use castellan_protocol::{
    Ack, CharacterId, ClientFrame, CloseCode, Codec, FrameError, Intent, Refresh, RejectionCode, RequestId, UserId,
    Version, Watch,
};
use futures_util::Sink;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::bucket::Bucket;
use super::context::Context;
use super::outbound::Outbound;
use super::replies::About;
use super::session::{End, seconds_until};
use super::waits::{Wait, Waits};
use crate::auth::{Role, Session, Standing, Ticket};
use crate::shard::{Answer, Base, Change, Command, Mailbox, Outcome, Refusal, Shape};
use crate::telemetry::{self, IntentOutcome};

/// Frames above the rate, one behind the other, that end a connection.
const OVER_RATE_MAX: u32 = 1_000;

/// When a client with too many intents unanswered may go on, in milliseconds.
const RETRY_IN_FLIGHT_MS: u64 = 100;

/// What a connection asks for, and what it is owed.
pub(super) struct Inbound {
    session: Session,
    mailbox: Arc<Mailbox>,
    context: Arc<Context>,
    bucket: Bucket,
    over_rate: u32,
    waits: Waits,
    watched: HashMap<CharacterId, UserId>,
    expires_at: Instant,
    now: Instant,
    now_ms: i64,
}

impl Inbound {
    pub(super) fn new(session: Session, mailbox: Arc<Mailbox>, context: Arc<Context>, now: Instant) -> Self {
        let settings = &context.settings;
        let now_ms = (context.clock)();
        Self {
            bucket: Bucket::new(settings.rate_per_second, settings.rate_burst, now),
            expires_at: now + until(session.expires_at_ms, now_ms),
            session,
            mailbox,
            context,
            over_rate: 0,
            waits: Waits::default(),
            watched: HashMap::new(),
            now,
            now_ms,
        }
    }

    pub(super) const fn session(&self) -> &Session {
        &self.session
    }

    pub(super) fn user(&self) -> UserId {
        self.session.user
    }

    pub(super) const fn expires_at(&self) -> Instant {
        self.expires_at
    }

    /// When the first wait for a commit is over.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.waits.next_deadline()
    }

    pub(super) fn set_now(&mut self, now: Instant, now_ms: i64) {
        (self.now, self.now_ms) = (now, now_ms);
    }

    /// Answers one message.
    pub(super) async fn frame<S>(&mut self, out: &mut Outbound<S>, bytes: &[u8], is_text: bool) -> Result<(), End>
    where
        S: Sink<Message, Error = Error> + Unpin,
    {
        if is_text != (out.codec() == Codec::Json) {
            return Err(End::order(CloseCode::ProtocolError, "the message is of the wrong type for the subprotocol"));
        }
        let frame = match out.codec().decode_client_frame(bytes) {
            Ok(frame) => frame,
            Err(FrameError::NotAFrame(reason)) => {
                tracing::debug!(reason, "what arrived is no frame");
                return Err(End::order(CloseCode::ProtocolError, "what arrived is no frame"));
            }
            Err(FrameError::Rejected { id, code, message }) => {
                telemetry::intent(IntentOutcome::Rejected(code));
                return out.rejected(id, code, message).await;
            }
        };
        if let Err(wait) = self.bucket.take(self.now) {
            return self.over_rate(out, &frame, wait).await;
        }
        self.over_rate = 0;
        match frame {
            ClientFrame::Intent(intent) => self.intent(out, &intent).await,
            // Boxed: what is rare shall not be a part of what each connection takes all its life.
            ClientFrame::Watch(watch) => Box::pin(self.watch(out, &watch)).await,
            ClientFrame::Unwatch(unwatch) => {
                if let Some(owner) = self.watched.remove(&unwatch.character) {
                    self.context.shards.unwatch(owner, unwatch.character, &self.mailbox);
                }
                out.accepted(unwatch.id, None).await
            }
            ClientFrame::Fetch(fetch) => match self.owner(fetch.user) {
                Ok(owner) => Box::pin(self.show(out, owner, fetch.character, fetch.id, false)).await,
                Err(refusal) => out.refused(Some(fetch.id), &refusal).await,
            },
            ClientFrame::Refresh(refresh) => Box::pin(self.refresh(out, &refresh)).await,
            ClientFrame::Ping(ping) => out.pong(ping.id).await,
        }
    }

    async fn intent<S>(&mut self, out: &mut Outbound<S>, intent: &Intent) -> Result<(), End>
    where
        S: Sink<Message, Error = Error> + Unpin,
    {
        if self.waits.len() >= IN_FLIGHT_MAX {
            let message = "too many of your intents are unanswered";
            let refusal = Refusal::retry(RejectionCode::TooManyInFlight, message, RETRY_IN_FLIGHT_MS);
            return out.refused(Some(intent.id), &refusal).await;
        }
        let owner = match self.owner(intent.user) {
            Ok(owner) => owner,
            Err(refusal) => return out.refused(Some(intent.id), &refusal).await,
        };
        let durable = intent.ack == Some(Ack::Durable);
        let command = Command {
            owner,
            character: intent.character,
            id: intent.id,
            base: Base { after: intent.after, expect: intent.expect },
            change: Change::Action(&intent.action),
            permitted: self.context.policy.permits(self.session.role, &intent.action),
        };
        let shape = match out.shape() {
            Shape::Frame(codec) if durable => Shape::FrameOnceDurable(codec),
            shape => shape,
        };
        let mut answer = Outbound::<S>::buffer();
        let outcome = self.context.shards.change(&command, Some(&self.mailbox), shape, self.now_ms, &mut answer).await;
        telemetry::intent(match &outcome {
            Outcome::Applied { duplicate: false, .. } => IntentOutcome::Applied,
            Outcome::Applied { duplicate: true, .. } => IntentOutcome::Duplicate,
            Outcome::Conflict(_) => IntentOutcome::Conflict,
            Outcome::Refused(refusal) => IntentOutcome::Rejected(refusal.code),
            Outcome::Closing => return Ok(()),
        });
        match outcome {
            Outcome::Applied { shown, duplicate, .. } if durable && shown.durable < shown.version => {
                self.context.signals.waiting();
                self.waits.push(Wait {
                    id: intent.id,
                    owner,
                    character: intent.character,
                    version: shown.version,
                    duplicate,
                    deadline: self.now + self.context.settings.durable_timeout,
                });
                Ok(())
            }
            Outcome::Applied { shown, duplicate, .. } => {
                let kind = Answer::Applied { id: intent.id, duplicate };
                out.tell(&About { character: intent.character, durable: shown.durable, answer: kind }, answer).await
            }
            Outcome::Conflict(shown) => {
                let kind = Answer::Conflict { id: intent.id };
                out.tell(&About { character: intent.character, durable: shown.durable, answer: kind }, answer).await
            }
            Outcome::Refused(refusal) => out.refused(Some(intent.id), &refusal).await,
            // The order is in the mailbox: the connection's loop acts on it.
            Outcome::Closing => Ok(()),
        }
    }

    async fn watch<S>(&mut self, out: &mut Outbound<S>, watch: &Watch) -> Result<(), End>
    where
        S: Sink<Message, Error = Error> + Unpin,
    {
        let watch_max = self.context.settings.watch_max;
        if self.watched.len() >= watch_max && !self.watched.contains_key(&watch.character) {
            let message = format!("a connection may watch {watch_max} characters");
            return out.rejected(Some(watch.id), RejectionCode::LimitExceeded, message).await;
        }
        match self.owner(watch.user) {
            Ok(owner) => self.show(out, owner, watch.character, watch.id, true).await,
            Err(refusal) => out.refused(Some(watch.id), &refusal).await,
        }
    }

    async fn show<S>(
        &mut self,
        out: &mut Outbound<S>,
        owner: UserId,
        character: CharacterId,
        id: RequestId,
        watch: bool,
    ) -> Result<(), End>
    where
        S: Sink<Message, Error = Error> + Unpin,
    {
        let mut answer = Outbound::<S>::buffer();
        let reader = Some((&self.mailbox, watch));
        match self.context.shards.show(owner, character, reader, Some(id), out.shape(), &mut answer).await {
            Ok(shown) => {
                if watch {
                    self.watched.insert(character, owner);
                }
                let kind = Answer::State { id: Some(id) };
                out.tell(&About { character, durable: shown.durable, answer: kind }, answer).await
            }
            Err(refusal) => out.refused(Some(id), &refusal).await,
        }
    }

    async fn refresh<S>(&mut self, out: &mut Outbound<S>, refresh: &Refresh) -> Result<(), End>
    where
        S: Sink<Message, Error = Error> + Unpin,
    {
        let message = match self.context.auth.verify(&refresh.token) {
            Some(Ticket { session, .. }) if session.id != self.session.id => {
                let message = "the token is of another session".to_owned();
                return out.rejected(Some(refresh.id), RejectionCode::WrongSession, message).await;
            }
            Some(Ticket { session, standing: Standing::Live }) => {
                self.expires_at = self.now + until(session.expires_at_ms, self.now_ms);
                let expires_in = seconds_until(session.expires_at_ms, self.now_ms);
                self.session = session;
                return out.accepted(refresh.id, Some(expires_in)).await;
            }
            Some(Ticket { standing: Standing::Expired, .. }) => "the token has expired",
            Some(Ticket { standing: Standing::Revoked, .. }) => "the session was ended",
            None => "this is no token of ours",
        };
        out.rejected(Some(refresh.id), RejectionCode::Unauthenticated, message.to_owned()).await
    }

    /// Sends the newest state of a watched character.
    pub(super) async fn changed<S>(
        &mut self,
        out: &mut Outbound<S>,
        owner: UserId,
        character: CharacterId,
    ) -> Result<(), End>
    where
        S: Sink<Message, Error = Error> + Unpin,
    {
        if !self.watched.contains_key(&character) {
            return Ok(());
        }
        let mut answer = Outbound::<S>::buffer();
        let reader = Some((&self.mailbox, true));
        match self.context.shards.show(owner, character, reader, None, out.shape(), &mut answer).await {
            Ok(shown) => {
                let kind = Answer::State { id: None };
                out.tell(&About { character, durable: shown.durable, answer: kind }, answer).await
            }
            // Deleted meanwhile, or the shard is lost and the order to close on its way.
            Err(_) => Ok(()),
        }
    }

    /// Whether an intent waits for its commit.
    pub(super) fn is_waiting(&self) -> bool {
        self.waits.len() > 0
    }

    /// Answers those that waited for this.
    pub(super) async fn durable<S>(
        &mut self,
        out: &mut Outbound<S>,
        character: CharacterId,
        version: Version,
    ) -> Result<(), End>
    where
        S: Sink<Message, Error = Error> + Unpin,
    {
        for wait in self.waits.covered(character, version) {
            self.answer(out, &wait).await?;
        }
        Ok(())
    }

    /// Answers those that have waited long enough: applied, not yet safe.
    pub(super) async fn overdue<S>(&mut self, out: &mut Outbound<S>) -> Result<(), End>
    where
        S: Sink<Message, Error = Error> + Unpin,
    {
        for wait in self.waits.overdue(self.now) {
            self.answer(out, &wait).await?;
        }
        Ok(())
    }

    async fn answer<S>(&mut self, out: &mut Outbound<S>, wait: &Wait) -> Result<(), End>
    where
        S: Sink<Message, Error = Error> + Unpin,
    {
        let mut answer = Outbound::<S>::buffer();
        let confirmed =
            self.context.shards.confirm(wait.owner, wait.character, wait.id, wait.duplicate, out.shape(), &mut answer);
        match confirmed.await {
            Ok(shown) => {
                let kind = Answer::Applied { id: wait.id, duplicate: wait.duplicate };
                out.tell(&About { character: wait.character, durable: shown.durable, answer: kind }, answer).await
            }
            Err(refusal) => out.refused(Some(wait.id), &refusal).await,
        }
    }

    async fn over_rate<S>(&mut self, out: &mut Outbound<S>, frame: &ClientFrame, wait: Duration) -> Result<(), End>
    where
        S: Sink<Message, Error = Error> + Unpin,
    {
        self.over_rate += 1;
        if self.over_rate > OVER_RATE_MAX {
            return Err(End::order(CloseCode::RateLimit, "you keep sending above your rate"));
        }
        let retry_after_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1);
        let refusal = Refusal::retry(RejectionCode::RateLimited, "you send above your rate", retry_after_ms);
        out.refused(frame.id(), &refusal).await
    }

    /// Whose character a frame is about: only game servers may name another user; who else does finds nothing there.
    fn owner(&self, named: Option<UserId>) -> Result<UserId, Refusal> {
        match named {
            Some(user) if self.session.role == Role::Game || user == self.session.user => Ok(user),
            Some(_) => Err(Refusal::no_such_character()),
            None => Ok(self.session.user),
        }
    }
}

fn until(then_ms: i64, now_ms: i64) -> Duration {
    Duration::from_millis(then_ms.saturating_sub(now_ms).max(0).unsigned_abs())
}
