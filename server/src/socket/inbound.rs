//! From bytes to intents, and from intents to answers.

mod at_once;
mod rate;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use castellan_game::Game;
use castellan_protocol::limits::{CLIENT_FRAME_BYTES_MAX, IN_FLIGHT_MAX, PROTOCOL_VERSION};
use castellan_protocol::{
    Ack, Action, CharacterId, CharacterSummary, ClientFrame, FrameError, Intent, Refresh, RejectionCode, RequestId,
    UserId, Version, Watch, Welcome,
};
use tokio::time::Instant;
use tracing::{Instrument, Span};

pub(super) use self::at_once::Unanswered;
use super::context::Context;
use super::end::End;
use super::meter::{Excess, over_rate, unreadable};
use super::outbound::{Draft, Frames, Outbound};
use super::renewal::{renewed, seconds_until, until};
use super::replies::About;
use super::transport::{Io, Transport};
use crate::audit::{Actor, Event, Outcome, Target};
use crate::auth::Session;
use crate::rate::Bucket;
use crate::shard::{
    Answer, Answered, Base, Change, Command, Mailbox, Reader, Refusal, Shape, Shown, Wait, Waits, count_intent,
    outcome_of, trace_outcome,
};
use crate::telemetry::{self, Parent};

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
    excess: Excess,
    /// The span of the last traced intent whose characters must be loaded first, until its frame is handled again.
    loading: Option<(RequestId, Span)>,
    /// The socket is at a gateway, which decides what this process traces.
    is_relayed: bool,
}

/// What an intent that waits for its commit needs for its answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sender {
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
            bucket: Bucket::new(&settings.rate, now),
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

    /// The first frame of the connection.
    pub(super) fn welcome(&self, characters: Vec<CharacterSummary>) -> Welcome {
        let settings = &self.context.settings;
        Welcome {
            protocol: PROTOCOL_VERSION,
            server: concat!("castellan/", env!("CARGO_PKG_VERSION")).to_owned(),
            session: self.session.id,
            user: self.session.user,
            expires_in: seconds_until(self.session.expires_at_ms, (self.context.clock)()),
            ping_seconds: settings.ping_interval.as_secs().max(1),
            in_flight_max: IN_FLIGHT_MAX as u64,
            watch_max: settings.watch_max as u64,
            frame_bytes_max: CLIENT_FRAME_BYTES_MAX as u64,
            characters,
        }
    }

    pub(super) fn set_now(&mut self, now: Instant, now_ms: i64) {
        (self.now, self.now_ms) = (now, now_ms);
    }

    /// Answers a frame, or returns the request that may have to wait. `over` is what [`Inbound::count`] returned for it.
    pub(super) fn frame<F: Frames>(
        &mut self,
        out: &mut Outbound<F>,
        frame: Result<ClientFrame<G::Action>, FrameError>,
        over: Option<Duration>,
    ) -> Result<Option<Slow<G::Action>>, End> {
        let frame = match frame {
            Ok(frame) => frame,
            Err(error) => {
                let (id, refusal) = unreadable(error, over, || self.count_chatter())?;
                out.refused(id, &refusal);
                return Ok(None);
            }
        };
        if let Some(wait) = over {
            out.refused(frame.id(), &over_rate(wait));
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
    pub(super) async fn slow<F: Frames>(&mut self, out: &mut Outbound<F>, slow: Slow<G::Action>) {
        match slow {
            Slow::Intent(intent) => self.intent_on_absent(out, &intent).await,
            Slow::Show(show) => self.show(out, &show).await,
            Slow::Refresh(refresh) => self.refresh(out, &refresh).await,
        }
    }

    /// Answers an intent. Returns it if its character is not in memory.
    fn intent<F: Frames>(&mut self, out: &mut Outbound<F>, intent: Intent<G::Action>) -> Option<Intent<G::Action>> {
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
        let span = self.span_of(&intent);
        let mut draft = out.draft();
        let answered =
            self.context.shards.try_change(&command, Some(&self.mailbox), shape, self.now_ms, draft.buffer());
        let Some(answered) = answered else {
            drop(draft);
            if !span.is_disabled() {
                self.special.get_or_insert_default().loading = Some((intent.id, span));
            }
            return Some(intent);
        };
        trace_outcome(&span, &answered);
        let owner = command.owner;
        span.in_scope(|| self.finish(draft, &intent, owner, answered));
        None
    }

    /// Answers an intent whose character must be loaded first.
    async fn intent_on_absent<F: Frames>(&mut self, out: &mut Outbound<F>, intent: &Intent<G::Action>) {
        let command = match self.command(intent) {
            Ok(command) => command,
            Err(refusal) => return out.refused(Some(intent.id), &refusal),
        };
        let shape = shape(intent, out.shape());
        let span = self.span_of(intent);
        let mut draft = out.draft();
        let change = self.context.shards.change(&command, Some(&self.mailbox), shape, self.now_ms, draft.buffer());
        let answered = change.instrument(span.clone()).await;
        trace_outcome(&span, &answered);
        let owner = command.owner;
        span.in_scope(|| self.finish(draft, intent, owner, answered));
    }

    /// The span of an intent, if it is traced.
    fn span_of(&mut self, intent: &Intent<G::Action>) -> Span {
        if telemetry::is_tracing() { self.traced_span_of(intent) } else { Span::none() }
    }

    #[cold]
    fn traced_span_of(&mut self, intent: &Intent<G::Action>) -> Span {
        if let Some((id, span)) = self.special.as_mut().and_then(|special| special.loading.take())
            && id == intent.id
        {
            return span;
        }
        let traceparent = intent.traceparent.as_deref();
        let parent = if self.special.as_ref().is_some_and(|special| special.is_relayed) {
            Parent::Gateway(traceparent)
        } else {
            Parent::Client(traceparent)
        };
        telemetry::intent_span(G::Action::KINDS[intent.action.index()], intent.character, parent)
    }

    /// Converts an intent into a command for the shards.
    fn command<'a>(&self, intent: &'a Intent<G::Action>) -> Result<Command<'a, G::Action>, Refusal> {
        Ok(Command {
            owner: self.owner(intent.user)?,
            character: intent.character,
            id: intent.id,
            base: Base { after: intent.after, expect: intent.expect },
            change: Change::Action(&intent.action),
            is_limited: !self.session.is_game_server(),
            permitted: self.context.policy.permits(self.session.role, G::right(&intent.action)),
        })
    }

    /// Finishes the answer that was begun, after the shards have decided.
    fn finish<F: Frames>(
        &mut self,
        mut draft: Draft<'_, F>,
        intent: &Intent<G::Action>,
        owner: UserId,
        answered: Answered,
    ) {
        if let Answered::Refused(refusal) = &answered
            && draft.hands_back(refusal)
        {
            return;
        }
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
    fn watch<F: Frames>(&mut self, out: &mut Outbound<F>, watch: Watch) -> Option<Show> {
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

    async fn show<F: Frames>(&mut self, out: &mut Outbound<F>, show: &Show) {
        let Show { owner, character, id, watch } = *show;
        let reader = if watch { Reader::Watches(&self.mailbox) } else { Reader::Fetches(&self.mailbox) };
        let shape = out.shape();
        let mut draft = out.draft();
        let shown = self.context.shards.show(owner, character, reader, Some(id), shape, draft.buffer()).await;
        self.finish_show(draft, show, shown);
    }

    /// Finishes the answer with a state that was begun.
    fn finish_show<F: Frames>(&mut self, draft: Draft<'_, F>, show: &Show, shown: Result<Shown, Refusal>) {
        let Show { owner, character, id, watch } = *show;
        match shown {
            Ok(shown) => {
                if watch {
                    self.watched.insert(character, owner);
                }
                draft.send(&About { character, durable: shown.durable, answer: Answer::State { id: Some(id) } });
            }
            Err(refusal) => draft.discard().refused(Some(id), &refusal),
        }
    }

    async fn refresh<F: Frames>(&mut self, out: &mut Outbound<F>, refresh: &Refresh) {
        match renewed(&self.context.auth, &self.session, &refresh.token).await {
            Ok(session) => {
                self.expires_at = self.now + until(session.expires_at_ms, self.now_ms);
                let expires_in = seconds_until(session.expires_at_ms, self.now_ms);
                self.session = session;
                out.accepted(refresh.id, Some(expires_in));
            }
            Err(refusal) => out.refused(Some(refresh.id), &refusal),
        }
    }

    /// Writes the newest state of a watched character.
    pub(super) async fn changed<F: Frames>(&mut self, out: &mut Outbound<F>, owner: UserId, character: CharacterId) {
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
        out: &mut Outbound<Transport<IO>>,
        character: CharacterId,
        version: Version,
    ) -> Result<(), End> {
        let waits = self.waits.covered(character, version);
        self.answer_all(out, waits).await
    }

    /// Answers the intents whose deadline has passed: applied, not yet durable.
    pub(super) async fn overdue<IO: Io>(&mut self, out: &mut Outbound<Transport<IO>>) -> Result<(), End> {
        let mut waits = self.waits.overdue(self.now);
        waits.iter_mut().for_each(|wait| wait.sender.prolonged = true);
        self.answer_all(out, waits).await
    }

    async fn answer_all<IO: Io>(
        &mut self,
        out: &mut Outbound<Transport<IO>>,
        waits: Vec<Wait<Sender>>,
    ) -> Result<(), End> {
        for wait in waits {
            self.answer(out, wait).await;
            out.flush_if_full().await?;
        }
        Ok(())
    }

    async fn answer<F: Frames>(&mut self, out: &mut Outbound<F>, wait: Wait<Sender>) {
        let Wait { owner, character, sender: Sender { id, duplicate, prolonged }, .. } = wait;
        let shape = if prolonged { out.shape() } else { once_durable(out.shape()) };
        let answer = Answer::Applied { id, duplicate };
        let mut draft = out.draft();
        let shown = self.context.shards.confirm(owner, character, &self.mailbox, answer, shape, draft.buffer()).await;
        self.finish_answer(draft, wait, shown);
    }

    /// Finishes the answer to an intent that waited for its commit, or lets it wait once more.
    fn finish_answer<F: Frames>(&mut self, draft: Draft<'_, F>, wait: Wait<Sender>, shown: Result<Shown, Refusal>) {
        let Wait { character, sender: Sender { id, duplicate, prolonged }, .. } = wait;
        let answer = Answer::Applied { id, duplicate };
        match shown {
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
