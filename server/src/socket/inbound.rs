//! From bytes to intents, and from intents to answers.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use castellan_game::Game;
use castellan_protocol::limits::{CHATTER_FRAMES_PER_SECOND, FRAMES_OVER_RATE_MAX, IN_FLIGHT_MAX};
use castellan_protocol::{
    Ack, Action, CharacterId, ClientFrame, CloseCode, FrameError, Intent, Refresh, RejectionCode, RequestId, UserId,
    Version, Watch,
};
use tokio::time::Instant;

use super::context::Context;
use super::end::End;
use super::outbound::{Draft, Outbound};
use super::replies::About;
use super::transport::Io;
use crate::audit::{Actor, Event, Outcome, Target};
use crate::auth::{Session, Standing, Ticket};
use crate::rate::Bucket;
use crate::shard::{
    Answer, Answered, Base, Change, Command, Mailbox, Reader, Refusal, Shape, Wait, Waits, count_intent, outcome_of,
};
use crate::telemetry::{self, IntentOutcome};

/// Frames above the rate that are forgotten per second: a client that is a little too fast now and then is not closed.
const FORGIVEN_PER_SECOND: u32 = 10;

/// When a client with too many unanswered intents may try again, in milliseconds.
const RETRY_IN_FLIGHT_MS: u64 = 100;

/// The reading side of a connection: its requests, and the answers it still waits for.
pub(super) struct Inbound<G: Game> {
    session: Session,
    mailbox: Mailbox,
    context: Arc<Context<G>>,
    bucket: Bucket,
    /// Present if the client differs from most. Boxed, because most do not.
    special: Option<Box<Special>>,
    waits: Waits<Sender>,
    watched: BTreeMap<CharacterId, UserId>,
    expires_at: Instant,
    now: Instant,
    now_ms: i64,
}

/// Data that only few connections need.
#[derive(Default)]
struct Special {
    /// The address of a client whose intents are recorded.
    recorded: Option<IpAddr>,
    /// Frames that ask for nothing.
    chatter: Option<Bucket>,
    /// Frames above the rate.
    excess: Option<Bucket>,
}

/// What an intent that waits for its commit needs for its answer.
#[derive(Debug, Clone, Copy)]
struct Sender {
    id: RequestId,
    duplicate: bool,
    /// It is durable, and waits for the commit of a newer state, which its answer would show.
    prolonged: bool,
}

/// A request that may have to wait for the database.
pub(super) enum Slow<A> {
    /// An intent whose character is not in memory.
    Intent(Intent<A>),
    /// The state of a character.
    Show(Show),
    /// A newer token, whose key may be new as well.
    Refresh(Refresh),
}

/// A request for the state of a character.
pub(super) struct Show {
    owner: UserId,
    character: CharacterId,
    id: RequestId,
    /// Also send later states.
    watch: bool,
}

/// The shards forget a connection however it ends, even by a panic.
impl<G: Game> Drop for Inbound<G> {
    fn drop(&mut self) {
        self.context.shards.farewell(self.session.user, &self.mailbox);
    }
}

impl<G: Game> Inbound<G> {
    pub(super) fn new(
        session: Session,
        address: IpAddr,
        mailbox: Mailbox,
        context: Arc<Context<G>>,
        now: Instant,
    ) -> Self {
        let settings = &context.settings;
        let now_ms = (context.clock)();
        Self {
            bucket: Bucket::new(settings.rate_per_second, settings.rate_burst, now),
            expires_at: now + until(session.expires_at_ms, now_ms),
            special: session
                .is_game_server()
                .then(|| Box::new(Special { recorded: Some(address), ..Special::default() })),
            session,
            mailbox,
            context,
            waits: Waits::default(),
            watched: BTreeMap::new(),
            now,
            now_ms,
        }
    }

    pub(super) const fn session(&self) -> &Session {
        &self.session
    }

    pub(super) const fn expires_at(&self) -> Instant {
        self.expires_at
    }

    /// The earliest deadline of a wait for a commit.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.waits.next_deadline()
    }

    pub(super) fn set_now(&mut self, now: Instant, now_ms: i64) {
        (self.now, self.now_ms) = (now, now_ms);
    }

    /// Counts a WebSocket frame of any kind. Returns how long the client must wait if it was above the rate.
    ///
    /// # Errors
    ///
    /// The end, if the client keeps sending above its rate.
    pub(super) fn count(&mut self) -> Result<Option<Duration>, End> {
        match self.bucket.take(self.now) {
            Ok(()) => Ok(None),
            Err(wait) => self.exceeds(wait),
        }
    }

    /// Counts a frame that asks for nothing, on top of [`Inbound::count`]: a control frame, a fragment, a malformed or
    /// an unknown frame. Intents are meant to come fast, these are not.
    ///
    /// # Errors
    ///
    /// As [`Inbound::count`].
    #[cold]
    pub(super) fn count_chatter(&mut self) -> Result<Option<Duration>, End> {
        let settings = &self.context.settings;
        let [per_second, burst] =
            [settings.rate_per_second, settings.rate_burst].map(|rate| rate.min(CHATTER_FRAMES_PER_SECOND));
        let full = || Bucket::new(per_second, burst, self.now);
        let special = self.special.get_or_insert_default();
        match special.chatter.get_or_insert_with(full).take(self.now) {
            Ok(()) => Ok(None),
            Err(wait) => self.exceeds(wait),
        }
    }

    /// Notes a frame above the rate, which may come again after `wait`.
    fn exceeds(&mut self, wait: Duration) -> Result<Option<Duration>, End> {
        let full = || Bucket::new(FORGIVEN_PER_SECOND, FRAMES_OVER_RATE_MAX, self.now);
        let special = self.special.get_or_insert_default();
        match special.excess.get_or_insert_with(full).take(self.now) {
            Ok(()) => Ok(Some(wait)),
            Err(_) => Err(End::order(
                CloseCode::RateLimit,
                "too many frames were above the rate; reconnect and send more slowly",
            )),
        }
    }

    /// Answers a frame, or returns the request that may have to wait. `over` is what [`Inbound::count`] returned for it.
    pub(super) fn frame<IO: Io>(
        &mut self,
        out: &mut Outbound<IO>,
        frame: Result<ClientFrame<G::Action>, FrameError>,
        over: Option<Duration>,
    ) -> Result<Option<Slow<G::Action>>, End> {
        let frame = match frame {
            Ok(frame) => frame,
            Err(FrameError::NotAFrame(reason)) => {
                tracing::debug!(reason, "a message is not a frame");
                return Err(End::order(
                    CloseCode::ProtocolError,
                    "the message is not a frame: a map with exactly one entry, in the encoding of the subprotocol",
                ));
            }
            Err(FrameError::Rejected { id, code, message }) => {
                let over = if over.is_none() { self.count_chatter()? } else { over };
                match over {
                    Some(wait) => over_rate(out, id, wait),
                    None => {
                        telemetry::intent(IntentOutcome::Rejected(code));
                        out.rejected(id, code, message);
                    }
                }
                return Ok(None);
            }
        };
        if let Some(wait) = over {
            over_rate(out, frame.id(), wait);
            return Ok(None);
        }
        match frame {
            ClientFrame::Intent(intent) => return Ok(self.intent(out, intent).map(Slow::Intent)),
            ClientFrame::Watch(watch) => return Ok(self.watch(out, watch).map(Slow::Show)),
            ClientFrame::Unwatch(unwatch) => {
                if let Some(owner) = self.watched.remove(&unwatch.character) {
                    self.context.shards.unwatch(owner, unwatch.character, &self.mailbox);
                }
                out.accepted(unwatch.id, None);
            }
            ClientFrame::Fetch(fetch) => match self.owner(fetch.user) {
                Ok(owner) => {
                    let show = Show { owner, character: fetch.character, id: fetch.id, watch: false };
                    return Ok(Some(Slow::Show(show)));
                }
                Err(refusal) => out.refused(Some(fetch.id), &refusal),
            },
            ClientFrame::Refresh(refresh) => return Ok(Some(Slow::Refresh(refresh))),
            ClientFrame::Ping(ping) => out.pong(ping.id),
        }
        Ok(None)
    }

    /// Answers a request that may have to wait.
    pub(super) async fn slow<IO: Io>(&mut self, out: &mut Outbound<IO>, slow: Slow<G::Action>) {
        match slow {
            Slow::Intent(intent) => self.intent_on_absent(out, &intent).await,
            Slow::Show(show) => self.show(out, &show).await,
            Slow::Refresh(refresh) => self.refresh(out, &refresh).await,
        }
    }

    /// Answers an intent. Returns it if its character is not in memory.
    fn intent<IO: Io>(&mut self, out: &mut Outbound<IO>, intent: Intent<G::Action>) -> Option<Intent<G::Action>> {
        if self.waits.len() >= IN_FLIGHT_MAX {
            let message = format!("you have {IN_FLIGHT_MAX} unanswered intents, the most allowed; wait for answers");
            let refusal = Refusal::retry(RejectionCode::TOO_MANY_IN_FLIGHT, message, RETRY_IN_FLIGHT_MS);
            out.refused(Some(intent.id), &refusal);
            return None;
        }
        let command = match self.command(&intent) {
            Ok(command) => command,
            Err(refusal) => {
                out.refused(Some(intent.id), &refusal);
                return None;
            }
        };
        let shape = shape(&intent, out.shape());
        let mut draft = out.draft();
        let answered =
            self.context.shards.try_change(&command, Some(&self.mailbox), shape, self.now_ms, draft.buffer());
        let Some(answered) = answered else {
            drop(draft);
            return Some(intent);
        };
        self.finish(draft, &intent, command.owner, answered);
        None
    }

    /// Answers an intent whose character must be loaded first.
    async fn intent_on_absent<IO: Io>(&mut self, out: &mut Outbound<IO>, intent: &Intent<G::Action>) {
        let command = match self.command(intent) {
            Ok(command) => command,
            Err(refusal) => return out.refused(Some(intent.id), &refusal),
        };
        let shape = shape(intent, out.shape());
        let mut draft = out.draft();
        let sender = Some(&self.mailbox);
        let answered = self.context.shards.change(&command, sender, shape, self.now_ms, draft.buffer()).await;
        self.finish(draft, intent, command.owner, answered);
    }

    /// Converts an intent into a command for the shards.
    fn command<'a>(&self, intent: &'a Intent<G::Action>) -> Result<Command<'a, G::Action>, Refusal> {
        Ok(Command {
            owner: self.owner(intent.user)?,
            character: intent.character,
            id: intent.id,
            base: Base { after: intent.after, expect: intent.expect },
            change: Change::Action(&intent.action),
            permitted: self.context.policy.permits(self.session.role, G::right(&intent.action)),
        })
    }

    /// Finishes the answer that was begun, after the shards have decided.
    fn finish<IO: Io>(&mut self, draft: Draft<'_, IO>, intent: &Intent<G::Action>, owner: UserId, answered: Answered) {
        count_intent(&answered);
        if let Some(address) = self.special.as_ref().and_then(|special| special.recorded) {
            self.record(address, intent, owner, &answered);
        }
        let (shown, answer) = match answered {
            Answered::Applied { shown, duplicate, .. } => {
                if intent.ack == Some(Ack::Durable) && shown.durable < shown.version {
                    drop(draft);
                    let wait = Wait {
                        owner,
                        character: intent.character,
                        version: shown.version,
                        deadline: self.now + self.context.settings.durable_timeout,
                        sender: Sender { id: intent.id, duplicate, prolonged: false },
                    };
                    return self.waits.begin(&self.context.shards, wait);
                }
                (shown, Answer::Applied { id: intent.id, duplicate })
            }
            Answered::Conflict(shown) => (shown, Answer::Conflict { id: intent.id }),
            Answered::Refused(refusal) => return draft.discard().refused(Some(intent.id), &refusal),
            // The order is in the mailbox: the connection's loop acts on it.
            Answered::Closing => return,
        };
        draft.send(&About { character: intent.character, durable: shown.durable, answer });
    }

    #[cold]
    fn record(&self, address: IpAddr, intent: &Intent<G::Action>, owner: UserId, answered: &Answered) {
        let Some(outcome) = outcome_of(answered) else { return };
        self.context.audit.record(Event {
            actor: Actor::Account(self.session.user),
            address: Some(address),
            target: Target::Character(owner, Some(intent.character)),
            action: G::Action::KINDS[intent.action.index()],
            outcome: Outcome::Intent(outcome),
        });
    }

    /// Checks that a watch may begin, and returns what to show.
    fn watch<IO: Io>(&mut self, out: &mut Outbound<IO>, watch: Watch) -> Option<Show> {
        let watch_max = self.context.settings.watch_max;
        if self.watched.len() >= watch_max && !self.watched.contains_key(&watch.character) {
            let message = format!("a connection may watch at most {watch_max} characters");
            out.rejected(Some(watch.id), RejectionCode::LIMIT_EXCEEDED, message);
            return None;
        }
        match self.owner(watch.user) {
            Ok(owner) => Some(Show { owner, character: watch.character, id: watch.id, watch: true }),
            Err(refusal) => {
                out.refused(Some(watch.id), &refusal);
                None
            }
        }
    }

    async fn show<IO: Io>(&mut self, out: &mut Outbound<IO>, show: &Show) {
        let Show { owner, character, id, watch } = *show;
        let reader = if watch { Reader::Watches(&self.mailbox) } else { Reader::Fetches(&self.mailbox) };
        let shape = out.shape();
        let mut draft = out.draft();
        match self.context.shards.show(owner, character, reader, Some(id), shape, draft.buffer()).await {
            Ok(shown) => {
                if watch {
                    self.watched.insert(character, owner);
                }
                draft.send(&About { character, durable: shown.durable, answer: Answer::State { id: Some(id) } });
            }
            Err(refusal) => draft.discard().refused(Some(id), &refusal),
        }
    }

    async fn refresh<IO: Io>(&mut self, out: &mut Outbound<IO>, refresh: &Refresh) {
        let message = match self.context.auth.identify(&refresh.token).await {
            Some(Ticket { session, .. }) if session.id != self.session.id => {
                let message = "the token belongs to another session".to_owned();
                return out.rejected(Some(refresh.id), RejectionCode::WRONG_SESSION, message);
            }
            Some(Ticket { session, standing: Standing::Live }) => {
                self.expires_at = self.now + until(session.expires_at_ms, self.now_ms);
                let expires_in = seconds_until(session.expires_at_ms, self.now_ms);
                self.session = session;
                return out.accepted(refresh.id, Some(expires_in));
            }
            Some(Ticket { standing: Standing::Expired, .. }) => "the token has expired",
            Some(Ticket { standing: Standing::Revoked, .. }) => "the session was ended",
            None => "the token is not valid",
        };
        out.rejected(Some(refresh.id), RejectionCode::UNAUTHENTICATED, message.to_owned());
    }

    /// Writes the newest state of a watched character.
    pub(super) async fn changed<IO: Io>(&mut self, out: &mut Outbound<IO>, owner: UserId, character: CharacterId) {
        if !self.watched.contains_key(&character) {
            return;
        }
        let reader = Reader::Watches(&self.mailbox);
        let shape = out.shape();
        let mut draft = out.draft();
        // If it fails, the character was deleted meanwhile, or the shard is lost and the order to close is on its way.
        if let Ok(shown) = self.context.shards.show(owner, character, reader, None, shape, draft.buffer()).await {
            draft.send(&About { character, durable: shown.durable, answer: Answer::State { id: None } });
        }
    }

    /// Returns true if an intent waits for its commit.
    pub(super) fn is_waiting(&self) -> bool {
        !self.waits.is_empty()
    }

    /// Answers the intents that waited for this commit.
    ///
    /// An answer shows the newest state. If that state is not durable yet, the answer would not show that the intent
    /// is, so it waits for that state's commit too. It does so only once: steady changes by others could delay it
    /// forever.
    pub(super) async fn durable<IO: Io>(
        &mut self,
        out: &mut Outbound<IO>,
        character: CharacterId,
        version: Version,
    ) -> Result<(), End> {
        let waits = self.waits.covered(character, version);
        self.answer_all(out, waits).await
    }

    /// Answers the intents whose deadline has passed: applied, not yet durable.
    pub(super) async fn overdue<IO: Io>(&mut self, out: &mut Outbound<IO>) -> Result<(), End> {
        let mut waits = self.waits.overdue(self.now);
        waits.iter_mut().for_each(|wait| wait.sender.prolonged = true);
        self.answer_all(out, waits).await
    }

    async fn answer_all<IO: Io>(&mut self, out: &mut Outbound<IO>, waits: Vec<Wait<Sender>>) -> Result<(), End> {
        for wait in waits {
            self.answer(out, wait).await;
            out.flush_if_full().await?;
        }
        Ok(())
    }

    async fn answer<IO: Io>(&mut self, out: &mut Outbound<IO>, wait: Wait<Sender>) {
        let Wait { owner, character, sender: Sender { id, duplicate, prolonged }, .. } = wait;
        let shape = if prolonged { out.shape() } else { once_durable(out.shape()) };
        let answer = Answer::Applied { id, duplicate };
        let mut draft = out.draft();
        match self.context.shards.confirm(owner, character, &self.mailbox, answer, shape, draft.buffer()).await {
            Ok(shown) if shown.durable < shown.version && !prolonged => {
                drop(draft);
                let sender = Sender { prolonged: true, ..wait.sender };
                self.waits.begin(&self.context.shards, Wait { version: shown.version, sender, ..wait });
            }
            Ok(shown) => draft.send(&About { character, durable: shown.durable, answer }),
            Err(refusal) => {
                let out = draft.discard();
                // Memory has fallen back behind what was applied: the connection ends without a word about it.
                if !self.mailbox.is_closing() {
                    out.refused(Some(id), &refusal);
                }
            }
        }
    }

    /// The owner of the character in a frame.
    fn owner(&self, named: Option<UserId>) -> Result<UserId, Refusal> {
        self.session.acts_for(named).ok_or_else(Refusal::no_such_character)
    }
}

/// Refuses a frame above the rate.
fn over_rate<IO: Io>(out: &mut Outbound<IO>, id: Option<RequestId>, wait: Duration) {
    telemetry::intent(IntentOutcome::Rejected(RejectionCode::RATE_LIMITED));
    out.refused(id, &Refusal::rate_limited(wait));
}

/// The shape of an intent's answer: one that waits for its commit is written only then.
fn shape<A>(intent: &Intent<A>, shape: Shape) -> Shape {
    if intent.ack == Some(Ack::Durable) { once_durable(shape) } else { shape }
}

/// Avoids writing an answer that would not be sent yet.
fn once_durable(shape: Shape) -> Shape {
    match shape {
        Shape::Frame(codec) => Shape::FrameOnceDurable(codec),
        shape => shape,
    }
}

/// Whole seconds from `now_ms` until then; 0 if the time has passed.
pub(super) fn seconds_until(then_ms: i64, now_ms: i64) -> u64 {
    then_ms.saturating_sub(now_ms).max(0).unsigned_abs() / 1_000
}

fn until(then_ms: i64, now_ms: i64) -> Duration {
    Duration::from_millis(then_ms.saturating_sub(now_ms).max(0).unsigned_abs())
}
