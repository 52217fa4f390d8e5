//! The node's end of a link: the connections whose sockets are at a gateway.
//!
//! One task serves all connections of a link. It reads what has arrived, answers every frame in it, and sends once. It
//! never waits for one of them: characters are loaded beside it, and meanwhile the connection that needs them keeps its
//! later frames.
//!
//! A frame counts only under an open attachment. All others go back as they came, also those that wait when it closes.

mod accepted;
mod attachment;
mod connection;
mod cut;
mod news;
mod ready;
mod steps;
mod writer;

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use castellan_cluster::membership::MARGIN;
use castellan_cluster::word::Word;
use castellan_game::Game;
use castellan_protocol::{CharacterSummary, CloseCode, UserId};
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, Sleep};

pub use self::accepted::{AcceptedLink, serve_link};
use self::attachment::{Attachment, Stage};
use self::connection::{Busy, Connection, Heard, Parts, QUEUE_MAX, Waiting};
use self::cut::Cut;
use self::ready::{Key, Ready};
use self::steps::Done;
use super::context::Context;
use super::end::End;
use super::registry::{Opener, Registry};
use crate::auth::Session;
use crate::config::Role;
use crate::link::{Address, Hello, LinkStream, Message, Said};
use crate::node::{LinkEnd, Links, ToLink};
use crate::planted::{self, Bug};
use crate::shard::{CloseOrder, Mailbox, Missing, Refusal, shard_of};
use crate::storage::{SHARDS, ShardId};
use crate::telemetry;

/// A sign of life is sent after this long without another message.
const BEAT: Duration = Duration::from_millis(500);

/// The link ends after this long without a message from the gateway.
const SILENCE_MAX: Duration = Duration::from_secs(2);

/// Unsent bytes at which the link reads no more until they are sent.
const UNSENT_BYTES_MAX: usize = 4 * 1_024 * 1_024;

/// How long they may stay unsent.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a link that is cut may need to say what it was told before: a node that stops says last that its shards have
/// moved. A node whose lease has expired must be silent before others may take its shards.
const LAST_WORDS: Duration = Duration::from_millis(500);

const _: () = assert!(LAST_WORDS.as_millis() < MARGIN.as_millis());

/// How long a link stays silent before it closes, if the node has cut it.
const REST: Duration = Duration::from_millis(250);

/// How often connections that wait for a commit are looked at.
const TICK: Duration = Duration::from_millis(100);

/// How often a link that always has more to do is served in a row, before the others of its thread.
const TURNS_IN_A_ROW_MAX: u32 = 4;

const _: () = assert!(BEAT.as_millis() * 2 < SILENCE_MAX.as_millis(), "one late sign of life ends no link");

/// Answers a request of a client over HTTP. `None` means that its shard is not ours and that it did nothing.
pub type RequestHandler = Arc<dyn Fn(Vec<u8>) -> BoxFuture<'static, Option<Vec<u8>>> + Send + Sync>;

/// The order for a connection whose characters cannot be loaded.
const CANNOT_LOAD: CloseOrder = CloseOrder::new(CloseCode::GoingAway, "your characters cannot be loaded right now");

/// The things that all links share.
pub struct House<G: Game> {
    /// The context of all connections.
    pub context: Arc<Context<G>>,
    /// The open connections.
    pub registry: Arc<Registry>,
    /// Answers requests over HTTP.
    pub requests: RequestHandler,
}

/// Serves a link over any byte stream until it ends.
pub async fn serve_link_over<G: Game>(
    stream: LinkStream<impl AsyncRead + AsyncWrite + Unpin>,
    links: Links,
    house: House<G>,
) {
    let Some(end) = links.open() else {
        return tracing::warn!("cannot serve a link: the node is overloaded or stops");
    };
    let cut = Box::new(Link::new(stream, end, house)).serve().await;
    match cut {
        Cut::Gone => tracing::info!("a gateway closed its link"),
        cut => tracing::warn!(reason = %cut, "cut the link of a gateway"),
    }
}

struct Link<G: Game, IO> {
    stream: LinkStream<IO>,
    end: LinkEnd,
    /// By the number of the shard.
    attachments: Vec<Attachment<G>>,
    working: FuturesUnordered<BoxFuture<'static, Done>>,
    ready: Arc<Ready>,
    /// Connections in which an intent waits for its commit.
    waiting: Vec<Key>,
    /// Shards from which the gateway parts.
    parting: Vec<ShardId>,
    house: House<G>,
    next_id: u64,
    now: Instant,
    now_ms: i64,
    heard_at: Instant,
    said_at: Instant,
    /// The time the timer is set to.
    due_at: Instant,
    /// Since then the link reads nothing.
    choked_at: Option<Instant>,
    /// The task that moves shards says nothing any more. The link reads nothing, and ends by then.
    over_at: Option<Instant>,
    /// Messages were read and not handled.
    has_unheard: bool,
}

impl<G: Game, IO: AsyncRead + AsyncWrite + Unpin> Link<G, IO> {
    fn new(stream: LinkStream<IO>, end: LinkEnd, house: House<G>) -> Self {
        let now = Instant::now();
        Self {
            stream,
            end,
            attachments: (0..SHARDS).map(|_| Attachment::default()).collect(),
            working: FuturesUnordered::new(),
            ready: Arc::default(),
            waiting: Vec::new(),
            parting: Vec::new(),
            now_ms: (house.context.clock)(),
            house,
            next_id: 0,
            now,
            heard_at: now,
            said_at: now,
            due_at: now + BEAT,
            choked_at: None,
            over_at: None,
            has_unheard: false,
        }
    }

    async fn serve(mut self: Box<Self>) -> Cut {
        let mut timer = pin!(tokio::time::sleep_until(self.due_at));
        let mut in_a_row = 0;
        loop {
            let mut has_waited = false;
            let turn = poll_fn(|cx| {
                let turn = self.poll_turn(timer.as_mut(), cx);
                has_waited |= turn.is_pending();
                turn
            });
            if let Err(cut) = turn.await {
                if let Cut::ByNode = cut {
                    // The gateway would come back at once, and be cut again.
                    tokio::time::sleep(REST).await;
                }
                return cut;
            }
            in_a_row = if has_waited { 0 } else { in_a_row + 1 };
            if in_a_row >= TURNS_IN_A_ROW_MAX {
                in_a_row = 0;
                tokio::task::yield_now().await;
            }
        }
    }

    /// Does everything that can be done now, then sends. Pending if there was nothing.
    fn poll_turn(&mut self, mut timer: Pin<&mut Sleep>, cx: &mut TaskContext<'_>) -> Poll<Result<(), Cut>> {
        self.now = Instant::now();
        self.now_ms = (self.house.context.clock)();
        self.ready.listen(cx.waker());
        let (mut is_busy, mut has_heard) = (false, false);
        while self.over_at.is_none()
            && let Poll::Ready(said) = self.end.poll_next(cx)
        {
            match said {
                Some(said) => self.told(said),
                None => self.over_at = Some(self.now + LAST_WORDS),
            }
            is_busy = true;
        }
        while let Poll::Ready(Some(done)) = self.working.poll_next_unpin(cx) {
            self.done(done);
            is_busy = true;
        }
        if self.choked_at.is_none() && self.over_at.is_none() {
            if !self.has_unheard
                && let Poll::Ready(read) = self.stream.poll_read(cx)
            {
                if !matches!(read, Ok(true)) {
                    return Poll::Ready(Err(Cut::Gone));
                }
                self.has_unheard = true;
            }
            if self.has_unheard {
                self.heard_at = self.now;
                self.hear()?;
                (is_busy, has_heard) = (true, true);
            }
            // Mail stays in the mailboxes while the gateway does not read.
            for key in self.ready.take() {
                self.attend(key, false);
                is_busy = true;
            }
        }
        if self.now >= self.due_at || timer.as_mut().poll(cx).is_ready() {
            self.on_time()?;
            is_busy = true;
        }
        if !self.parting.is_empty() {
            self.say_parted();
        }
        let due_at = self.next_deadline();
        if due_at < self.due_at || self.now >= self.due_at {
            self.due_at = due_at;
            timer.as_mut().reset(due_at);
        }
        self.send(cx)?;
        if self.over_at.is_some_and(|at| self.now >= at || self.has_said_everything()) {
            return Poll::Ready(Err(Cut::ByNode));
        }
        if has_heard {
            telemetry::answered(self.now.elapsed());
        }
        if is_busy { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    fn has_said_everything(&self) -> bool {
        self.stream.unsent_bytes() == 0 && self.attachments.iter().all(|attachment| attachment.held.is_empty())
    }

    fn send(&mut self, cx: &mut TaskContext<'_>) -> Result<(), Cut> {
        if self.stream.unsent_bytes() == 0 {
            return Ok(());
        }
        self.said_at = self.now;
        if let Poll::Ready(sent) = self.stream.poll_flush(cx) {
            sent.map_err(|_| Cut::Gone)?;
            if self.choked_at.take().is_some() {
                self.heard_at = self.now;
                cx.waker().wake_by_ref();
            }
        } else if self.stream.unsent_bytes() > UNSENT_BYTES_MAX {
            self.choked_at.get_or_insert(self.now);
        }
        Ok(())
    }

    /// Signs of life, and deadlines of intents that wait for their commit.
    fn on_time(&mut self) -> Result<(), Cut> {
        match self.choked_at {
            Some(since) if self.now >= since + PATIENCE => return Err(Cut::Unread),
            None if self.now >= self.heard_at + SILENCE_MAX && !planted::is(Bug::FrozenNodeAnswers) => {
                return Err(Cut::Silent);
            }
            _ => {}
        }
        if self.now >= self.said_at + BEAT {
            self.stream.put(&Message::beat());
        }
        let mut waiting = std::mem::take(&mut self.waiting);
        // A key may be there twice. Those whose gateway attaches again are looked at later.
        self.waiting.extend(waiting.extract_if(.., |key| !self.attachments[usize::from(key.0.number())].is_heard()));
        waiting.retain(|key| {
            connection(&mut self.attachments, *key).is_some_and(|found| std::mem::take(&mut found.is_noted))
        });
        for key in waiting {
            let Some(connection) = connection(&mut self.attachments, key) else { continue };
            connection.set_now(self.now, self.now_ms);
            let absent = connection.answer_overdue(&mut self.stream, false);
            self.note(key, absent);
        }
        Ok(())
    }

    fn next_deadline(&self) -> Instant {
        let end = self.choked_at.map_or(self.heard_at + SILENCE_MAX, |since| since + PATIENCE);
        let next = end.min(self.said_at + BEAT).min(self.over_at.unwrap_or(end));
        if self.waiting.is_empty() { next } else { next.min(self.now + TICK) }
    }

    /// Handles the messages that were read, unless too many bytes are unsent.
    fn hear(&mut self) -> Result<(), Cut> {
        while self.stream.unsent_bytes() <= UNSENT_BYTES_MAX {
            let Some(Message { address, said }) = self.stream.next_message()? else {
                self.has_unheard = false;
                return Ok(());
            };
            let key = (address.shard, address.socket);
            match said {
                Said::Frame(bytes) | Said::TracedFrame(_, bytes) => {
                    let attachment = &mut self.attachments[usize::from(address.shard.number())];
                    if !attachment.is_open(address.number) {
                        let frame = bytes.to_vec();
                        if !planted::is(Bug::DroppedWhileLeaving) {
                            self.stream.put(&Message::new(address, Said::FrameBack(&frame)));
                        }
                        continue;
                    }
                    // The gateway hears soon that the connection was closed.
                    let Some(connection) = attachment.connections.get_mut(&address.socket) else { continue };
                    let traceparent =
                        if let Said::TracedFrame(traceparent, _) = said { Some(traceparent) } else { None };
                    if connection.busy != Busy::No {
                        if connection.queue.len() >= QUEUE_MAX {
                            return Err(Cut::TooManyFrames);
                        }
                        connection
                            .queue
                            .push_back(Waiting { bytes: bytes.to_vec(), traceparent: traceparent.map(Box::from) });
                        continue;
                    }
                    connection.set_now(self.now, self.now_ms);
                    let frame = connection.decode(bytes, traceparent);
                    match connection.hear(&mut self.stream, frame) {
                        Ok(Heard::Answered) if connection.is_noted || !connection.is_waiting() => {}
                        Ok(Heard::Answered) => self.note(key, None),
                        heard => {
                            let again = self.stream.again().map(|message| message.said);
                            let Some(Said::Frame(bytes) | Said::TracedFrame(_, bytes)) = again else { continue };
                            let frame = bytes.to_vec();
                            self.heard(key, heard, frame);
                        }
                    }
                }
                Said::Beat => {}
                Said::AskDatabase => {
                    let is_away = self.end.is_database_away();
                    self.stream.put(&Message::about_nothing(Said::Database(is_away)));
                }
                Said::Warning => {
                    let may_answer = self.end.warned();
                    self.stream.put(&Message::about_nothing(Said::Warned(may_answer)));
                }
                Said::Copy(_) | Said::Given(_) | Said::CalledOff => self.end.peer(address, &said),
                Said::Attach(epoch) => self.attach(address, epoch)?,
                Said::Marker => {
                    let attachment = &mut self.attachments[usize::from(address.shard.number())];
                    if (attachment.number, attachment.stage) == (address.number, Stage::Resumed) {
                        // The gateway had given up, and does not attach again because of `resume`.
                        attachment.forget(&mut self.stream, false);
                    }
                    if !self.end.marker(address.shard, address.number) {
                        return Err(Cut::Behind);
                    }
                }
                Said::Part => self.part(address),
                Said::Hello(hello) => self.hello(address, &hello),
                Said::Request(bytes) => {
                    let request = bytes.to_vec();
                    self.request(address, request);
                }
                Said::Gone => {
                    // Under whatever number: sockets are never numbered again.
                    let attachment = &mut self.attachments[usize::from(address.shard.number())];
                    attachment.connections.remove(&address.socket);
                }
                Said::Slow(is_slow) => {
                    if let Some(connection) = connection(&mut self.attachments, key) {
                        connection.is_slow = is_slow;
                        self.attend(key, false);
                    }
                }
                _ => return Err(Cut::NotFromAGateway),
            }
        }
        Ok(())
    }

    /// Goes on after a frame.
    fn heard(&mut self, key: Key, heard: Result<Heard, End>, frame: Vec<u8>) {
        let attachment = &mut self.attachments[usize::from(key.0.number())];
        let Some(connection) = attachment.connections.get_mut(&key.1) else { return };
        match heard {
            Ok(Heard::Answered) => self.note(key, None),
            Ok(Heard::Absent(missing)) => {
                // Its span goes on if it is traced.
                connection.queue.push_front(Waiting { bytes: frame, traceparent: None });
                connection.busy = Busy::Load(missing);
                let (id, span) = (connection.id, connection.loading_span());
                self.load(key, id, missing, span);
            }
            Ok(Heard::GoesBack) => {
                self.stream.put(&Message::new(connection.address, Said::FrameBack(&frame)));
                attachment.close(&mut self.stream);
            }
            Err(End::Order(order)) => self.close(key, &order),
            Err(End::Gone | End::MovesOn) => drop(attachment.connections.remove(&key.1)),
        }
    }

    /// Answers the frames of a connection that waited, until one must wait again.
    fn go_on(&mut self, key: Key) {
        loop {
            let Some(connection) = connection(&mut self.attachments, key) else { return };
            if connection.busy != Busy::No {
                return;
            }
            let Some(Waiting { bytes, traceparent }) = connection.queue.pop_front() else { return };
            connection.set_now(self.now, self.now_ms);
            let frame = connection.decode(&bytes, traceparent.as_deref());
            let heard = connection.hear(&mut self.stream, frame);
            self.heard(key, heard, bytes);
        }
    }
}

/// The connection with this key.
fn connection<G: Game>(attachments: &mut [Attachment<G>], (shard, socket): Key) -> Option<&mut Connection<G>> {
    attachments[usize::from(shard.number())].connections.get_mut(&socket).map(|connection| &mut **connection)
}

#[cfg(test)]
mod tests;
