//! A client's connection at a gateway: its frames go to the hub, and what nodes say comes back.
//!
//! It judges what needs no character, as `socket::session` does in a server: rate, size, form, silence, the token's
//! expiry, and a client that does not read.

mod traffic;

use std::future::{Future, poll_fn};
use std::io;
use std::marker::PhantomData;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

use castellan_game::Game;
use castellan_protocol::{CloseCode, Codec};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::time::{Instant, Sleep, timeout};
use uuid::Uuid;

use self::traffic::{Reply, Traffic};
use super::carried::{Blob, Carried, CarriedPlace, CarriedState};
use super::context::Context;
use super::hub::{Client, Hub};
use super::outbox::{Listened, Outbox, frames};
use crate::auth::Session;
use crate::shard::CloseOrder;
use crate::socket::{
    Accepted, End, FRAMES_IN_A_TURN_MAX, GOODBYE, Heard, Io, Line, Outbound, Paused, Replies, Seat, TURNS_IN_A_ROW_MAX,
    Transport, say_goodbye, settle,
};
use crate::telemetry;

/// Serves a client's connection until it ends. Call it on the hub's own thread.
pub async fn serve<G: Game>(accepted: Accepted, hub: Hub, context: Arc<Context>) {
    // Boxed, because most connections have no TLS here, or all of them do.
    let served: io::Result<()> = async {
        let Accepted { line, address, leftover: unheard, codec, replies, ticket } = accepted;
        let begin = Begin { address, codec, replies, carried: None };
        match line {
            Line::Plain(stream) => {
                let paused = Paused { io: TcpStream::from_std(stream)?, unheard, unsent: Vec::new() };
                Box::pin(begin.serve::<G, _>(paused, ticket, hub, context, Some(give))).await;
            }
            Line::Tls(stream, tcp) => {
                let paused = Paused { io: settle(stream, tcp)?, unheard, unsent: Vec::new() };
                // The state of the encryption cannot leave this process.
                Box::pin(begin.serve::<G, _>(paused, ticket, hub, context, None)).await;
            }
        }
        Ok(())
    }
    .await;
    if let Err(error) = served {
        tracing::warn!(%error, "cannot take over an upgraded connection");
    }
}

/// Goes on with a connection of another process, with its seat, until it ends. Call it on the hub's own thread.
pub async fn resume<G: Game>(carried: Carried, seat: Seat, hub: Hub, context: Arc<Context>) {
    let Carried { stream, mut state } = carried;
    let stream = match TcpStream::from_std(stream) {
        Ok(stream) => stream,
        Err(error) => return tracing::warn!(%error, "cannot go on with a connection"),
    };
    let (unheard, unsent) = (std::mem::take(&mut state.unheard.0), std::mem::take(&mut state.unsent.0));
    let begin = Begin {
        address: state.address,
        codec: if state.is_json { Codec::Json } else { Codec::MessagePack },
        replies: if state.wants_changes { Replies::Changes } else { Replies::Whole },
        carried: Some(state.place),
    };
    let paused = Paused { io: stream, unheard, unsent };
    Box::pin(begin.serve::<G, _>(paused, Ok((state.session.into(), seat)), hub, context, Some(give))).await;
}

/// Takes a connection off this runtime.
fn give(stream: TcpStream) -> Option<std::net::TcpStream> {
    stream.into_std().ok()
}

/// Serves a client's connection over any byte stream, for simulations: it has no address, and wants whole states in JSON.
pub async fn serve_over<G: Game>(
    io: impl AsyncRead + AsyncWrite + Unpin,
    admitted: (Session, Seat),
    hub: Hub,
    context: Arc<Context>,
) {
    let address = std::net::Ipv4Addr::UNSPECIFIED.into();
    let begin = Begin { address, codec: Codec::Json, replies: Replies::Whole, carried: None };
    let paused = Paused { io, unheard: Vec::new(), unsent: Vec::new() };
    begin.serve::<G, _>(paused, Ok(admitted), hub, context, None).await;
}

/// Takes a byte stream off its runtime, for another process.
type Give<IO> = fn(IO) -> Option<std::net::TcpStream>;

/// The order for a connection that no other process can go on with.
const REPLACED: CloseOrder = CloseOrder::new(CloseCode::GoingAway, "the gateway is being replaced; reconnect");

/// What was known of a connection when it began.
struct Known {
    address: IpAddr,
    client: Option<Uuid>,
    wants_changes: bool,
}

/// An accepted connection without its byte stream and its session.
struct Begin {
    address: IpAddr,
    codec: Codec,
    replies: Replies,
    /// Its place in the hub of another process, if it comes from there.
    carried: Option<CarriedPlace>,
}

impl Begin {
    async fn serve<G: Game, IO: Io>(
        self,
        paused: Paused<IO>,
        ticket: Result<(Session, Seat), CloseOrder>,
        hub: Hub,
        context: Arc<Context>,
        give: Option<Give<IO>>,
    ) {
        let transport = Transport::resume(paused, context.settings.read_buffer_bytes);
        let outbound = Outbound::new(transport, self.codec, context.settings.slow_consumer);
        let (session, mut seat) = match ticket {
            Ok(admitted) => admitted,
            Err(order) => return say_goodbye(outbound, &order).await,
        };
        telemetry::socket_opened();
        let wants_changes = self.replies == Replies::Changes;
        let known = Known { address: self.address, client: seat.client(), wants_changes };
        let mailbox = seat.mailbox().clone();
        mailbox.live_on(Handle::current());
        let mut connection = None;
        let mut outbound = Some(outbound);
        let end = tokio::select! {
            // The order first: it ends a connection wherever it waits.
            biased;
            order = mailbox.ordered() => End::Order(order),
            end = async {
                seat.predecessors_ended().await;
                let outbox = Arc::<Outbox>::default();
                let client = Client {
                    session,
                    address: self.address,
                    client: known.client,
                    is_json: self.codec == Codec::Json,
                    wants_changes,
                    watch_max: context.settings.watch_max,
                    mailbox: mailbox.clone(),
                    outbox: Arc::clone(&outbox),
                };
                let place = hub.open(client, self.carried);
                let now = Instant::now();
                let traffic = Traffic::new(session, place, context, now);
                let outbound = outbound.take().expect("taken once");
                connection.insert(Connection::<G, IO>::new(outbound, traffic, outbox, now)).run().await
            } => end,
        };
        // The nodes hear that it is gone before a successor begins.
        let (end, outbound) = match connection {
            Some(connection) if matches!(end, End::MovesOn) => match connection.move_on(&known, give) {
                None => return telemetry::socket_moved_on(),
                Some(outbound) => (End::Order(REPLACED), Some(outbound)),
            },
            Some(Connection { outbound, traffic, .. }) => {
                drop(traffic);
                (end, Some(outbound))
            }
            None => (end, outbound),
        };
        seat.serve_no_more();
        let code = if let End::Order(order) = &end { order.code } else { CloseCode::Normal };
        telemetry::socket_closed(code.number());
        if let (End::Order(order), Some(outbound)) = (end, outbound) {
            say_goodbye(outbound, &order).await;
        }
    }
}

/// A connection with a valid session.
struct Connection<G, IO> {
    outbound: Outbound<Transport<IO>>,
    traffic: Traffic,
    outbox: Arc<Outbox>,
    heard_at: Instant,
    pinged_at: Instant,
    /// Frames of the client are not read at present.
    is_paused: bool,
    game: PhantomData<fn() -> G>,
}

/// The events that a connection handles.
enum Event {
    /// Bytes were read.
    Heard,
    /// Nodes said something.
    Mail,
    /// A deadline passed.
    Due,
}

impl<G: Game, IO: Io> Connection<G, IO> {
    fn new(outbound: Outbound<Transport<IO>>, traffic: Traffic, outbox: Arc<Outbox>, now: Instant) -> Self {
        Self { outbound, traffic, outbox, heard_at: now, pinged_at: now, is_paused: true, game: PhantomData }
    }

    /// Serves until the connection ends.
    async fn run(&mut self) -> End {
        // Another process may have left something to send.
        if let Err(end) = self.send().await {
            return end;
        }
        let mut timer = pin!(tokio::time::sleep_until(self.next_deadline()));
        let mut in_a_row = 0;
        loop {
            match self.turn(timer.as_mut()).await {
                Ok(true) => in_a_row += 1,
                Ok(false) => in_a_row = 0,
                Err(end) => return end,
            }
            if in_a_row >= TURNS_IN_A_ROW_MAX {
                in_a_row = 0;
                tokio::task::yield_now().await;
            }
        }
    }

    /// Waits for an event and handles it: reads and passes on, delivers what nodes said, sends once. Returns true if there
    /// was something to do at once.
    async fn turn(&mut self, mut timer: Pin<&mut Sleep>) -> Result<bool, End> {
        let mut has_waited = false;
        let event = poll_fn(|cx| {
            let event = self.poll_event(timer.as_mut(), cx);
            has_waited |= event.is_pending();
            event
        })
        .await?;
        let now = Instant::now();
        if let Event::Heard = event {
            self.hear(now).await?;
        }
        // Looked at whatever the event, because steady traffic comes before the timer.
        if now >= timer.deadline() {
            self.on_time(now)?;
        }
        let due_at = self.next_deadline();
        if now >= timer.deadline() || due_at < timer.deadline() {
            timer.reset(due_at);
        }
        self.deliver().await?;
        Ok(!has_waited)
    }

    fn poll_event(&mut self, timer: Pin<&mut Sleep>, cx: &mut TaskContext<'_>) -> Poll<Result<Event, End>> {
        let Listened { has_mail, may_read, moves_on } = self.outbox.listen(cx.waker());
        if moves_on {
            return Poll::Ready(Err(End::MovesOn));
        }
        if may_read {
            if std::mem::take(&mut self.is_paused) {
                // Silence counts from now on.
                self.heard_at = Instant::now();
            }
            match self.outbound.transport().poll_read(cx) {
                Poll::Ready(Ok(true)) => return Poll::Ready(Ok(Event::Heard)),
                Poll::Ready(Ok(false) | Err(_)) => return Poll::Ready(Err(End::Gone)),
                Poll::Pending => {}
            }
        } else {
            self.is_paused = true;
        }
        if has_mail {
            return Poll::Ready(Ok(Event::Mail));
        }
        timer.poll(cx).map(|()| Ok(Event::Due))
    }

    /// Handles the messages that were read, as far as the client may send them now.
    async fn hear(&mut self, now: Instant) -> Result<(), End> {
        self.traffic.set_now(now);
        let codec = self.outbound.codec();
        for _ in 0..FRAMES_IN_A_TURN_MAX {
            if !self.outbox.may_read() {
                break;
            }
            let Some(heard) = self.outbound.transport().next()? else { return Ok(()) };
            let over = self.traffic.count()?;
            if !matches!(heard, Heard::Fragment) {
                self.heard_at = now;
            }
            let reply = match heard {
                Heard::Message { payload, is_text } if is_text == (codec == Codec::Json) => {
                    self.traffic.frame::<G>(codec.decode_client_frame(&payload), &payload, over)?
                }
                Heard::Message { .. } => return Err(End::WRONG_TYPE),
                Heard::Control | Heard::Fragment => {
                    if over.is_none() {
                        self.traffic.count_chatter()?;
                    }
                    continue;
                }
                Heard::Close => {
                    // A peer that disappeared needs no answer.
                    let _ = Box::pin(timeout(GOODBYE, self.outbound.flush())).await;
                    return Err(End::Gone);
                }
            };
            match reply {
                Reply::Nothing => {}
                Reply::Refused(id, refusal) => self.outbound.refused(id, &refusal),
                Reply::Pong(id) => self.outbound.pong(id),
                Reply::Refresh(refresh) => {
                    self.outbound.transport().hold_little();
                    match Box::pin(self.traffic.refresh(&refresh)).await {
                        Ok(expires_in) => self.outbound.accepted(refresh.id, Some(expires_in)),
                        Err(refusal) => self.outbound.refused(Some(refresh.id), &refusal),
                    }
                }
            }
            if self.outbound.is_full() {
                self.send().await?;
            }
        }
        // The rest has its turn later.
        self.outbound.transport().put_off();
        Ok(())
    }

    /// Writes what nodes said, and sends everything.
    async fn deliver(&mut self) -> Result<(), End> {
        self.relay();
        self.send().await?;
        if self.outbox.sent() {
            self.traffic.caught_up();
        }
        Ok(())
    }

    /// Writes what nodes said.
    fn relay(&mut self) {
        for frame in frames(&self.outbox.take()) {
            self.outbound.relay(frame);
        }
    }

    /// Sends everything, unless another process will go on with that.
    async fn send(&mut self) -> Result<(), End> {
        let outbox = &self.outbox;
        tokio::select! {
            biased;
            sent = self.outbound.flush() => sent,
            () = poll_fn(|cx| if outbox.listen(cx.waker()).moves_on { Poll::Ready(()) } else { Poll::Pending }) => {
                Err(End::MovesOn)
            }
        }
    }

    /// Gives the connection to another process. Returns it if that is impossible: it must close.
    fn move_on(mut self, of: &Known, give: Option<Give<IO>>) -> Option<Outbound<Transport<IO>>> {
        self.relay();
        let (Some(give), Some((session, place))) = (give, self.traffic.carry()) else { return Some(self.outbound) };
        let is_json = self.outbound.codec() == Codec::Json;
        // If it is closing already, nothing is left to say.
        let Paused { io, unheard, unsent } = self.outbound.into_transport().pause()?;
        let state = CarriedState {
            session: session.into(),
            address: of.address,
            client: of.client,
            is_json,
            wants_changes: of.wants_changes,
            place,
            unheard: Blob(unheard),
            unsent: Blob(unsent),
        };
        self.traffic.give(Carried { stream: give(io)?, state });
        None
    }

    /// Handles passed deadlines: pings, silence, the token's expiry.
    fn on_time(&mut self, now: Instant) -> Result<(), End> {
        let ping_interval = self.traffic.settings().ping_interval;
        if !self.is_paused && now >= self.heard_at + 2 * ping_interval {
            return Err(End::SILENT);
        }
        if now >= self.traffic.expires_at() {
            return Err(End::EXPIRED);
        }
        if now >= self.pinged_at + ping_interval {
            self.pinged_at = now;
            self.outbound.transport().ping();
        }
        Ok(())
    }

    fn next_deadline(&self) -> Instant {
        let ping_interval = self.traffic.settings().ping_interval;
        let next = (self.pinged_at + ping_interval).min(self.traffic.expires_at());
        if self.is_paused { next } else { next.min(self.heard_at + 2 * ping_interval) }
    }
}
