//! A connection of a client whose socket is at a gateway.
//!
//! It is what `socket::session` is for a client's own socket, without a task of its own: the task of its link calls it,
//! and nothing in it waits. If characters must be loaded first, its functions return their owner.

use std::collections::{BTreeMap, VecDeque};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use castellan_game::Game;
use castellan_protocol::limits::IN_FLIGHT_MAX;
use castellan_protocol::{
    CharacterId, CharacterSummary, ClientFrame, CloseCode, Codec, Durable, FrameError, UserId, Version,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::runtime::Handle;
use tokio::time::Instant;
use tracing::Span;

use super::writer::Writer;
use crate::auth::Session;
use crate::link::{Address, Hello, InPlace, LinkStream};
use crate::shard::{CloseOrder, Mailbox, Missing, Refusal, shard_of};
use crate::socket::context::Context;
use crate::socket::end::End;
use crate::socket::inbound::{Inbound, Unanswered};
use crate::socket::outbound::Outbound;
use crate::socket::registry::Seat;
use crate::socket::replies::Changes;
use crate::telemetry::{self, IntentOutcome};

/// Most frames of one connection that wait. A gateway reads no more than this from a client without an answer.
pub(super) const QUEUE_MAX: usize = 2 * IN_FLIGHT_MAX;

/// Why frames wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Busy {
    /// They do not.
    No,
    /// The welcome comes first.
    Welcome,
    /// The first of them waits for this.
    Load(Missing),
}

/// A frame that waits.
pub(super) struct Waiting {
    /// As it came.
    pub(super) bytes: Vec<u8>,
    /// The gateway's span, if it traces the frame.
    pub(super) traceparent: Option<Box<str>>,
}

/// The outcome of a frame.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// It is answered, or will be once its commit is done.
    Answered,
    /// This must be read first.
    Absent(Missing),
    /// The shard leaves or is lost: the frame goes back.
    GoesBack,
}

/// A connection.
pub(super) struct Connection<G: Game> {
    /// Tells it from a later one with the same key.
    pub(super) id: u64,
    pub(super) address: Address,
    inbound: Inbound<G>,
    pub(super) seat: Seat,
    bell: Waker,
    codec: Codec,
    changes: Option<Box<Changes>>,
    /// The client does not read, so it gets only answers.
    pub(super) is_slow: bool,
    pub(super) busy: Busy,
    /// Frames that wait.
    pub(super) queue: VecDeque<Waiting>,
    /// A load for what follows is in progress.
    pub(super) loads_news: Option<UserId>,
    /// Watched characters whose newest state the client has not seen.
    unseen: BTreeMap<CharacterId, UserId>,
    /// Answers that waited for their commit and can be written.
    unanswered: Vec<Unanswered>,
    /// Durable versions, to be told after these answers.
    durable: BTreeMap<CharacterId, Version>,
    /// Its gateway parts: it is shown no new states.
    pub(super) is_parting: bool,
    /// The link knows that it waits for a commit.
    pub(super) is_noted: bool,
}

/// The parts of a connection.
pub(super) struct Parts {
    pub(super) id: u64,
    pub(super) address: Address,
    pub(super) session: Session,
    pub(super) seat: Seat,
    pub(super) bell: Waker,
}

impl<G: Game> Connection<G> {
    pub(super) fn new(parts: Parts, hello: &Hello, context: &Arc<Context<G>>, now: Instant) -> Self {
        let Parts { id, address, session, seat, bell } = parts;
        let mailbox = seat.mailbox().clone();
        mailbox.live_on(Handle::current());
        mailbox.listen(&bell);
        let mut inbound = Inbound::new(session, hello.address, mailbox, Arc::clone(context), now);
        inbound.follow_traces();
        for &(character, owner) in &hello.watched {
            inbound.watch_again(character, owner);
        }
        Self {
            id,
            address,
            inbound,
            seat,
            bell,
            codec: if hello.is_json { Codec::Json } else { Codec::MessagePack },
            changes: hello.wants_changes.then(|| Box::new(Changes::new(context.settings.watch_max))),
            is_slow: false,
            busy: Busy::No,
            queue: VecDeque::new(),
            loads_news: None,
            unseen: hello.watched.iter().copied().collect(),
            unanswered: Vec::new(),
            durable: BTreeMap::new(),
            is_parting: false,
            is_noted: false,
        }
    }

    /// It is introduced again: shows it the newest states of what it watches.
    pub(super) fn watch_again(&mut self, hello: &Hello) {
        for &(character, owner) in &hello.watched {
            self.inbound.watch_again(character, owner);
            self.unseen.insert(character, owner);
        }
    }

    pub(super) fn mailbox(&self) -> &Mailbox {
        self.seat.mailbox()
    }

    /// The order to end, if there is one. From now on the link hears of news again.
    pub(super) fn listen(&self) -> Option<CloseOrder> {
        self.mailbox().listen(&self.bell);
        self.mailbox().order()
    }

    pub(super) fn set_now(&mut self, now: Instant, now_ms: i64) {
        self.inbound.set_now(now, now_ms);
    }

    /// `traceparent` is the gateway's span, if it traces the frame. It takes the place of the client's own.
    pub(super) fn decode(&self, bytes: &[u8], traceparent: Option<&str>) -> Result<ClientFrame<G::Action>, FrameError> {
        let mut frame = self.codec.decode_client_frame(bytes)?;
        if let ClientFrame::Intent(intent) = &mut frame {
            intent.traceparent = traceparent.map(str::to_owned);
        }
        Ok(frame)
    }

    /// The span of the intent that waits for its characters, if it is traced.
    pub(super) fn loading_span(&self) -> Span {
        self.inbound.loading_span()
    }

    /// Answers a frame.
    ///
    /// # Errors
    ///
    /// The end, if the frame breaks the contract, or if a rule of the game panics: the other connections of the link live
    /// on.
    pub(super) fn hear<IO: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        stream: &mut LinkStream<IO>,
        frame: Result<ClientFrame<G::Action>, FrameError>,
    ) -> Result<Heard, End> {
        std::panic::catch_unwind(AssertUnwindSafe(|| self.answer(stream, frame))).unwrap_or_else(|_| {
            tracing::error!("the answer to a frame panicked; only that connection was closed");
            stream.take_back();
            Err(End::order(CloseCode::GoingAway, "an error in the server ended this connection"))
        })
    }

    fn answer<IO: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        stream: &mut LinkStream<IO>,
        frame: Result<ClientFrame<G::Action>, FrameError>,
    ) -> Result<Heard, End> {
        let frame = match frame {
            Ok(frame) => frame,
            Err(FrameError::NotAFrame(_)) => {
                return Err(End::order(CloseCode::ProtocolError, "the message is not a frame"));
            }
            Err(FrameError::Rejected { id, code, message }) => {
                telemetry::intent(IntentOutcome::Rejected(code));
                let writer = Writer::of(InPlace::Answer, stream, self.address);
                self.write(writer, |_, out| out.rejected(id, code, message));
                return Ok(Heard::Answered);
            }
        };
        if self.inbound.owner_in(&frame).is_some_and(|owner| shard_of(owner) != self.address.shard) {
            return Err(End::order(CloseCode::ProtocolError, "a gateway sent a frame to a wrong shard"));
        }
        let writer = Writer::to_frame(stream, self.address);
        let (absent, writer) = self.write(writer, |inbound, out| match inbound.frame(out, Ok(frame), None)? {
            None => Ok(None),
            Some(slow) => inbound.slow_at_once(out, slow),
        });
        // A connection that is closing hears the same refusal. Its order says how it goes on.
        if writer.goes_back() && !self.mailbox().is_closing() {
            return Ok(Heard::GoesBack);
        }
        Ok(absent?.map_or(Heard::Answered, Heard::Absent))
    }

    /// Refuses a frame whose characters cannot be loaded.
    pub(super) fn refuse<IO: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        stream: &mut LinkStream<IO>,
        bytes: &[u8],
        refusal: Refusal,
    ) {
        // It was decoded before.
        let Ok(frame) = self.decode(bytes, None) else { return };
        let writer = Writer::of(InPlace::Answer, stream, self.address);
        self.write(writer, |inbound, out| inbound.refuse(out, &frame, refusal));
    }

    pub(super) fn welcome<IO: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        stream: &mut LinkStream<IO>,
        characters: Vec<CharacterSummary>,
    ) {
        let writer = Writer::of(InPlace::Welcome, stream, self.address);
        self.write(writer, |inbound, out| out.welcome(inbound.welcome(characters)));
    }

    /// Writes the answers that waited for their commit; and, if the client is to have `notices`, new states of characters
    /// and which versions are durable. Until then these collapse here.
    pub(super) fn deliver<IO: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        stream: &mut LinkStream<IO>,
        notices: bool,
    ) -> Option<UserId> {
        let mail = self.mailbox().take();
        self.unseen.extend(mail.changed);
        let (states, notices) = (notices && !self.is_parting, notices || self.is_parting);
        for (character, version) in mail.durable {
            if self.inbound.is_waiting() {
                self.unanswered.extend(self.inbound.take_covered(character, version));
            }
            self.durable.insert(character, version);
        }
        let mut absent = None;
        for (character, owner) in if states { std::mem::take(&mut self.unseen) } else { BTreeMap::new() } {
            let writer = Writer::of(InPlace::Notice, stream, self.address);
            if !self.write(writer, |inbound, out| inbound.changed_at_once(out, owner, character)).0 {
                self.unseen.insert(character, owner);
                absent = Some(owner);
            }
        }
        absent = self.answer_unanswered(stream).or(absent);
        if notices && self.unanswered.is_empty() && !self.durable.is_empty() {
            let versions = std::mem::take(&mut self.durable);
            let writer = Writer::of(InPlace::Notice, stream, self.address);
            self.write(writer, |_, out| out.durable(Durable { versions }));
        }
        absent
    }

    /// True if there is something to tell the client, apart from answers.
    pub(super) fn has_news(&self) -> bool {
        !(self.unseen.is_empty() && self.durable.is_empty())
    }

    /// Answers the intents whose deadline has passed, or all that wait: applied, not yet durable.
    pub(super) fn answer_overdue<IO: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        stream: &mut LinkStream<IO>,
        all: bool,
    ) -> Option<UserId> {
        self.unanswered.extend(self.inbound.take_overdue(all));
        let absent = self.answer_unanswered(stream);
        if !all {
            return absent;
        }
        for wait in std::mem::take(&mut self.unanswered) {
            let writer = Writer::of(InPlace::Answer, stream, self.address);
            self.write(writer, |_, out| Inbound::<G>::refuse_wait(out, &wait, &Refusal::shard_lost()));
        }
        None
    }

    fn answer_unanswered<IO: AsyncRead + AsyncWrite + Unpin>(&mut self, stream: &mut LinkStream<IO>) -> Option<UserId> {
        let mut absent = None;
        for wait in std::mem::take(&mut self.unanswered) {
            let writer = Writer::of(InPlace::Answer, stream, self.address);
            if !self.write(writer, |inbound, out| inbound.answer_at_once(out, wait)).0 {
                self.unanswered.push(wait);
                absent = Some(wait.owner);
            }
        }
        absent
    }

    /// The characters of this user cannot be loaded. Returns false if the connection would miss the state of one that it
    /// watches.
    pub(super) fn give_up_news<IO: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        stream: &mut LinkStream<IO>,
        user: UserId,
        refusal: &Refusal,
    ) -> bool {
        let given_up: Vec<_> = self.unanswered.extract_if(.., |wait| wait.owner == user).collect();
        for wait in given_up {
            let writer = Writer::of(InPlace::Answer, stream, self.address);
            self.write(writer, |_, out| Inbound::<G>::refuse_wait(out, &wait, refusal));
        }
        let before = self.unseen.len();
        self.unseen.retain(|_, owner| *owner != user);
        before == self.unseen.len() || refusal.is_shard_lost()
    }

    /// Returns true if an intent waits for its commit.
    pub(super) fn is_waiting(&self) -> bool {
        self.inbound.is_waiting()
    }

    /// Returns true if the answer to an intent is missing.
    pub(super) fn owes_answers(&self) -> bool {
        self.inbound.is_waiting() || !self.unanswered.is_empty()
    }

    fn write<'a, IO: AsyncRead + AsyncWrite + Unpin, T>(
        &mut self,
        writer: Writer<'a, IO>,
        write: impl FnOnce(&mut Inbound<G>, &mut Outbound<Writer<'a, IO>>) -> T,
    ) -> (T, Writer<'a, IO>) {
        // A link has its own patience.
        let mut out = Outbound::new(writer, self.codec, Duration::ZERO);
        if let Some(changes) = self.changes.take() {
            out.tell_changes(changes);
        }
        let written = write(&mut self.inbound, &mut out);
        let (writer, changes) = out.into_parts();
        self.changes = changes;
        (written, writer)
    }
}
