//! One connection, from its first frame to its last.

use std::future::{Future, poll_fn};
use std::io;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use castellan_game::Game;
use castellan_protocol::{CloseCode, Codec, Durable};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::time::{Instant, Sleep, timeout};

use super::context::Context;
use super::end::End;
use super::inbound::Inbound;
use super::line::{Line, TlsStream, settle};
use super::outbound::Outbound;
use super::registry::Seat;
use super::replies::{Changes, Replies};
use super::transport::{Heard, Io, Transport};
use crate::auth::Session;
use crate::shard::CloseOrder;
use crate::telemetry;

/// How long a closing connection may take to finish the close handshake.
pub(crate) const GOODBYE: Duration = Duration::from_secs(2);

/// Bytes that a closing connection reads while it waits for the peer's close frame. A peer that floods it is heard no
/// further.
const GOODBYE_BYTES_MAX: usize = 64 * 1_024;

/// How often a connection that always has more to read is served in a row, before the others of its thread.
pub(crate) const TURNS_IN_A_ROW_MAX: u32 = 4;

/// Most frames that are answered in one turn. If more were read, it is the turn of the others of the thread: thousands
/// of small frames fit into what is read at a time.
pub(crate) const FRAMES_IN_A_TURN_MAX: u32 = 64;

/// A connection after the upgrade.
pub struct Accepted {
    /// The connection.
    pub line: Line,
    /// The address of the client.
    pub address: IpAddr,
    /// Bytes that were read after the request.
    pub leftover: Vec<u8>,
    /// The negotiated subprotocol.
    pub codec: Codec,
    /// How it wants to receive states.
    pub replies: Replies,
    /// Its session; or a close order, if it was upgraded only to be told why it is closed.
    pub ticket: Result<(Session, Seat), CloseOrder>,
}

/// Serves a connection until it ends.
pub async fn serve<G: Game>(accepted: Accepted, context: Arc<Context<G>>) {
    // Boxed, so that the memory for opening does not stay part of every connection.
    match Box::pin(open(accepted, context)).await {
        Ok(Opened::Plain(connection)) => connection.serve().await,
        Ok(Opened::Tls(connection)) => Box::pin(connection.serve()).await,
        Ok(Opened::Ended) => {}
        Err(error) => tracing::warn!(%error, "cannot take over an upgraded connection"),
    }
}

/// A connection that was taken over from HTTP.
enum Opened<G: Game> {
    Plain(Box<Connection<G, TcpStream>>),
    Tls(Box<Connection<G, Box<TlsStream>>>),
    /// It was upgraded only to be told why it is closed.
    Ended,
}

/// Takes a connection over from HTTP.
async fn open<G: Game>(accepted: Accepted, context: Arc<Context<G>>) -> io::Result<Opened<G>> {
    let Accepted { line, address, leftover, codec, replies, ticket } = accepted;
    let hello = Hello { address, leftover, codec, replies, ticket };
    Ok(match line {
        Line::Plain(stream) => hello.begin(TcpStream::from_std(stream)?, context).await.map(Opened::Plain),
        Line::Tls(stream, tcp) => hello.begin(settle(stream, tcp)?, context).await.map(Opened::Tls),
    }
    .unwrap_or(Opened::Ended))
}

/// An accepted connection without its byte stream.
struct Hello {
    address: IpAddr,
    leftover: Vec<u8>,
    codec: Codec,
    replies: Replies,
    ticket: Result<(Session, Seat), CloseOrder>,
}

impl Hello {
    /// Begins to serve a connection. Returns `None` if it was upgraded only to be told why it is closed.
    async fn begin<G: Game, IO: Io>(self, io: IO, context: Arc<Context<G>>) -> Option<Box<Connection<G, IO>>> {
        let transport = Transport::new(io, self.leftover, context.settings.read_buffer_bytes);
        let mut outbound = Outbound::new(transport, self.codec, context.settings.slow_consumer);
        if self.replies == Replies::Changes {
            outbound.tell_changes(Box::new(Changes::new(context.settings.watch_max)));
        }
        match self.ticket {
            Ok((session, seat)) => Some(Box::new(Connection::new(outbound, session, self.address, seat, context))),
            Err(order) => {
                say_goodbye(outbound, &order).await;
                None
            }
        }
    }
}

/// A connection with a valid session.
struct Connection<G: Game, IO> {
    outbound: Outbound<Transport<IO>>,
    inbound: Inbound<G>,
    seat: Seat,
    context: Arc<Context<G>>,
    heard_at: Instant,
    pinged_at: Instant,
    /// The time the timer is set to.
    due_at: Instant,
    /// The timer will wake the task at that time.
    timer_is_set: bool,
}

/// How a turn of a connection went.
enum Turn {
    /// There was nothing to do at first.
    Waited,
    /// There was something to do at once.
    Next,
    /// There is still something to do.
    CutOff,
}

/// The events that a connection handles.
enum Event {
    /// Bytes were read.
    Heard,
    /// The shards sent a notice.
    Mail,
    /// A deadline passed.
    Due,
}

impl<G: Game, IO: Io> Connection<G, IO> {
    fn new(
        outbound: Outbound<Transport<IO>>,
        session: Session,
        address: IpAddr,
        seat: Seat,
        context: Arc<Context<G>>,
    ) -> Self {
        let now = Instant::now();
        let inbound = Inbound::new(session, address, seat.mailbox().clone(), Arc::clone(&context), now);
        Self { outbound, inbound, seat, context, heard_at: now, pinged_at: now, due_at: now, timer_is_set: false }
    }

    async fn serve(mut self: Box<Self>) {
        telemetry::socket_opened();
        let mailbox = self.seat.mailbox().clone();
        mailbox.live_on(Handle::current());
        let end = tokio::select! {
            // The order first: it ends a connection wherever it waits.
            biased;
            order = mailbox.ordered() => End::Order(order),
            end = self.run() => end,
        };
        let Self { outbound, mut seat, inbound, .. } = *self;
        drop(inbound);
        seat.serve_no_more();
        if let End::Order(order) = end {
            telemetry::socket_closed(order.code.number());
            Box::pin(say_goodbye(outbound, &order)).await;
        } else {
            telemetry::socket_closed(CloseCode::Normal.number());
        }
    }

    /// Serves until the connection ends.
    async fn run(&mut self) -> End {
        self.seat.predecessors_ended().await;
        // Boxed, so that the memory for opening does not stay part of every connection.
        if let Err(end) = Box::pin(self.welcome()).await {
            return end;
        }
        self.due_at = self.next_deadline();
        let mut timer = pin!(tokio::time::sleep_until(self.due_at));
        let mut in_a_row = 0;
        loop {
            match self.turn(timer.as_mut()).await {
                Ok(Turn::Waited) => in_a_row = 0,
                Ok(Turn::Next) => in_a_row += 1,
                Ok(Turn::CutOff) => in_a_row = TURNS_IN_A_ROW_MAX,
                Err(end) => return end,
            }
            if in_a_row >= TURNS_IN_A_ROW_MAX {
                in_a_row = 0;
                tokio::task::yield_now().await;
            }
        }
    }

    /// Waits for an event and handles it: reads and answers, delivers the shards' notices, sends once.
    async fn turn(&mut self, mut timer: Pin<&mut Sleep>) -> Result<Turn, End> {
        let (mut is_woken, mut had_waited) = (false, false);
        let event = poll_fn(|cx| {
            let event = self.poll_event(timer.as_mut(), is_woken, cx);
            had_waited = is_woken;
            is_woken = true;
            event
        })
        .await?;
        let now = Instant::now();
        let mut turn = if had_waited { Turn::Waited } else { Turn::Next };
        if let Event::Heard = event
            && !self.hear(now).await?
        {
            turn = Turn::CutOff;
        }
        // Looked at whatever the event, because steady traffic comes before the timer.
        if now >= self.due_at {
            Box::pin(self.on_time(now)).await?;
        }
        let due_at = self.next_deadline();
        if now >= self.due_at || due_at < self.due_at {
            self.due_at = due_at;
            timer.reset(due_at);
            self.timer_is_set = false;
        }
        if self.seat.mailbox().has_mail() {
            Box::pin(self.deliver()).await?;
        }
        self.outbound.flush().await?;
        if let Event::Heard = event {
            telemetry::answered(now.elapsed());
        }
        Ok(turn)
    }

    /// `is_woken`: the task was woken since it began to wait for this event.
    ///
    /// Steady traffic does not touch the timer, because with thousands of connections its memory is out of the cache: a
    /// set timer is looked at only after a wake that brought nothing else. Until then the clock says whether it is due.
    fn poll_event(
        &mut self,
        timer: Pin<&mut Sleep>,
        is_woken: bool,
        cx: &mut TaskContext<'_>,
    ) -> Poll<Result<Event, End>> {
        match self.outbound.transport().poll_read(cx) {
            Poll::Ready(Ok(true)) => Poll::Ready(Ok(Event::Heard)),
            Poll::Ready(Ok(false) | Err(_)) => Poll::Ready(Err(End::Gone)),
            Poll::Pending if self.seat.mailbox().has_mail() => Poll::Ready(Ok(Event::Mail)),
            Poll::Pending if self.timer_is_set && !is_woken => {
                if Instant::now() < self.due_at {
                    Poll::Pending
                } else {
                    Poll::Ready(Ok(Event::Due))
                }
            }
            Poll::Pending => {
                let due = timer.poll(cx);
                self.timer_is_set = due.is_pending();
                due.map(|()| Ok(Event::Due))
            }
        }
    }

    async fn welcome(&mut self) -> Result<(), End> {
        let user = self.inbound.session().user;
        let characters = match self.context.shards.welcome(user, self.seat.mailbox()).await {
            Ok(characters) => characters,
            Err(refusal) => {
                tracing::debug!(code = %refusal.code, "cannot welcome a connection");
                return Err(End::order(CloseCode::GoingAway, "your characters cannot be loaded right now"));
            }
        };
        let welcome = self.inbound.welcome(characters);
        self.outbound.welcome(welcome);
        self.outbound.flush().await
    }

    /// Answers the messages that were read. Returns false if there are more of them than one turn may answer.
    async fn hear(&mut self, now: Instant) -> Result<bool, End> {
        self.inbound.set_now(now, (self.context.clock)());
        let codec = self.outbound.codec();
        for _ in 0..FRAMES_IN_A_TURN_MAX {
            let Some(heard) = self.outbound.transport().next()? else { return Ok(true) };
            let over = self.inbound.count()?;
            if !matches!(heard, Heard::Fragment) {
                self.heard_at = now;
            }
            let frame = match heard {
                Heard::Message { payload, is_text } if is_text == (codec == Codec::Json) => {
                    codec.decode_client_frame(&payload)
                }
                Heard::Message { .. } => {
                    return Err(End::WRONG_TYPE);
                }
                Heard::Control | Heard::Fragment => {
                    if over.is_none() {
                        self.inbound.count_chatter()?;
                    }
                    continue;
                }
                Heard::Close => {
                    // A peer that disappeared needs no answer.
                    let _ = Box::pin(timeout(GOODBYE, self.outbound.flush())).await;
                    return Err(End::Gone);
                }
            };
            let slow = self.inbound.frame(&mut self.outbound, frame, over)?;
            if let Some(slow) = slow {
                self.outbound.transport().hold_little();
                // Boxed, so that the memory for a rare case does not stay part of every connection.
                Box::pin(self.inbound.slow(&mut self.outbound, slow)).await;
            }
            self.outbound.flush_if_full().await?;
        }
        Ok(!self.outbound.transport().put_off())
    }

    /// Writes the shards' notices: new states of characters, and which versions are durable.
    async fn deliver(&mut self) -> Result<(), End> {
        let mail = self.seat.mailbox().take();
        for (character, owner) in mail.changed {
            self.inbound.changed(&mut self.outbound, owner, character).await;
            self.outbound.flush_if_full().await?;
        }
        for (&character, &version) in &mail.durable {
            if self.inbound.is_waiting() {
                self.inbound.durable(&mut self.outbound, character, version).await?;
            }
        }
        if !mail.durable.is_empty() {
            self.outbound.durable(Durable { versions: mail.durable });
        }
        Ok(())
    }

    /// Handles passed deadlines: pings, the token's expiry, waits for commits.
    async fn on_time(&mut self, now: Instant) -> Result<(), End> {
        self.inbound.set_now(now, (self.context.clock)());
        let ping_interval = self.context.settings.ping_interval;
        if now >= self.heard_at + 2 * ping_interval {
            return Err(End::SILENT);
        }
        if now >= self.inbound.expires_at() {
            return Err(End::EXPIRED);
        }
        self.inbound.overdue(&mut self.outbound).await?;
        if now >= self.pinged_at + ping_interval {
            self.pinged_at = now;
            self.outbound.transport().ping();
        }
        Ok(())
    }

    fn next_deadline(&self) -> Instant {
        let ping_interval = self.context.settings.ping_interval;
        let next = (self.pinged_at + ping_interval).min(self.heard_at + 2 * ping_interval);
        let next = next.min(self.inbound.expires_at());
        self.inbound.next_deadline().map_or(next, |deadline| deadline.min(next))
    }
}

/// Tells the peer why the connection ends, and waits briefly for its close frame.
pub(crate) async fn say_goodbye<IO: Io>(mut outbound: Outbound<Transport<IO>>, order: &CloseOrder) {
    let goodbye = async {
        outbound.close(order).await?;
        // Waits for the peer's close frame or its end. Until then our bytes may still be on their way.
        let mut bytes = 0;
        while poll_fn(|cx| outbound.transport().poll_read(cx)).await.map_err(|_| End::Gone)? {
            bytes += outbound.transport().unheard_bytes();
            if bytes > GOODBYE_BYTES_MAX {
                std::future::pending::<()>().await;
            }
            while let Some(heard) = outbound.transport().next()? {
                if heard == Heard::Close {
                    return Ok(());
                }
            }
        }
        Ok::<(), End>(())
    };
    if !matches!(timeout(GOODBYE, goodbye).await, Ok(Ok(()))) {
        tracing::debug!(code = order.code.number(), "a connection ended without a close handshake");
    }
}

#[cfg(test)]
pub(super) mod fuzz;
#[cfg(test)]
mod tests;
