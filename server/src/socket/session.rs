//! One connection, from its first frame to its last.

use std::sync::Arc;
use std::time::Duration;

use castellan_protocol::limits::{CLIENT_FRAME_BYTES_MAX, IN_FLIGHT_MAX, PROTOCOL_VERSION};
use castellan_protocol::{CloseCode, Durable, Welcome};
use futures_util::{FutureExt, Sink, SinkExt, Stream, StreamExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::CapacityError;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::context::Context;
use super::inbound::Inbound;
use super::outbound::Outbound;
use super::registry::Seat;
use super::replies::{Changes, Replies};
use super::workers::Accepted;
use crate::auth::Session;
use crate::shard::CloseOrder;
use crate::telemetry;

/// Messages that are answered before what was answered is flushed.
const GATHER_MAX: usize = 256;

/// How long a closed connection may take to say goodbye.
const GOODBYE: Duration = Duration::from_secs(2);

/// How a connection ends.
#[derive(Debug)]
pub(super) enum End {
    /// We close it.
    Order(CloseOrder),
    /// The peer has closed it or is gone.
    Gone,
}

impl End {
    pub(super) const fn order(code: CloseCode, reason: &'static str) -> Self {
        Self::Order(CloseOrder { code, reason })
    }
}

impl From<Error> for End {
    fn from(error: Error) -> Self {
        match error {
            Error::Capacity(CapacityError::MessageTooLong { .. }) => {
                Self::order(CloseCode::TooBig, "a message is too big")
            }
            Error::Protocol(_) | Error::Utf8(_) | Error::Capacity(_) | Error::AttackAttempt => {
                Self::order(CloseCode::ProtocolError, "this is not WebSocket")
            }
            _ => Self::Gone,
        }
    }
}

/// Serves a connection until it ends.
pub(super) async fn serve(accepted: Accepted, context: Arc<Context>) {
    // Boxed: what opening takes shall not be a part of what each connection takes all its life.
    if let Some(connection) = Box::pin(open(accepted, context)).await {
        connection.serve().await;
    }
}

/// Takes a connection over from HTTP; `None` where it was only to be told why it ends.
async fn open(accepted: Accepted, context: Arc<Context>) -> Option<Box<Connection<WebSocketStream<TcpStream>>>> {
    let Accepted { stream, leftover, codec, replies, ticket } = accepted;
    let stream = match TcpStream::from_std(stream) {
        Ok(stream) => stream,
        Err(error) => {
            tracing::warn!(%error, "an upgraded connection could not be taken over");
            return None;
        }
    };
    let config = WebSocketConfig::default()
        .read_buffer_size(context.settings.read_buffer_bytes)
        .max_message_size(Some(CLIENT_FRAME_BYTES_MAX))
        .max_frame_size(Some(CLIENT_FRAME_BYTES_MAX));
    let socket = WebSocketStream::from_partially_read(stream, leftover, Role::Server, Some(config)).await;
    let mut outbound = Outbound::new(socket, codec, context.settings.slow_consumer);
    if replies == Replies::Changes {
        outbound.tell_changes(Changes::new(context.settings.watch_max));
    }
    match ticket {
        Ok((session, seat)) => Some(Box::new(Connection::new(outbound, session, seat, context))),
        Err(order) => {
            say_goodbye(outbound, &order).await;
            None
        }
    }
}

/// A connection whose session is good.
struct Connection<S> {
    outbound: Outbound<S>,
    inbound: Inbound,
    seat: Seat,
    context: Arc<Context>,
    heard_at: Instant,
    pinged_at: Instant,
    /// When the messages were read that are being answered.
    read_at: Option<Instant>,
}

impl<S> Connection<S>
where
    S: Stream<Item = Result<Message, Error>> + Sink<Message, Error = Error> + Unpin,
{
    fn new(outbound: Outbound<S>, session: Session, seat: Seat, context: Arc<Context>) -> Self {
        let now = Instant::now();
        let inbound = Inbound::new(session, Arc::clone(seat.mailbox()), Arc::clone(&context), now);
        Self { outbound, inbound, seat, context, heard_at: now, pinged_at: now, read_at: None }
    }

    async fn serve(mut self: Box<Self>) {
        telemetry::socket_opened();
        let mailbox = Arc::clone(self.seat.mailbox());
        let end = tokio::select! {
            biased;
            order = mailbox.ordered_close() => End::Order(order),
            end = self.run() => match end {
                Ok(never) => match never {},
                Err(end) => end,
            },
        };
        let user = self.inbound.user();
        self.context.shards.farewell(user, &mailbox);
        let Self { outbound, mut seat, .. } = *self;
        seat.serve_no_more();
        if let End::Order(order) = end {
            telemetry::socket_closed(order.code.number());
            Box::pin(say_goodbye(outbound, &order)).await;
        } else {
            telemetry::socket_closed(CloseCode::Normal.number());
        }
    }

    /// Serves until the connection ends: reads what is there, answers it, delivers what came by mail, flushes once.
    async fn run(&mut self) -> Result<std::convert::Infallible, End> {
        self.seat.predecessors_ended().await;
        // Once a connection: not a part of what each connection takes all its life.
        Box::pin(self.welcome()).await?;
        let mailbox = Arc::clone(self.seat.mailbox());
        let timer = tokio::time::sleep_until(self.next_deadline());
        tokio::pin!(timer);
        loop {
            tokio::select! {
                biased;
                message = self.outbound.socket().next() => self.hear(message, timer.as_mut()).await?,
                () = mailbox.arrived() => {}
                () = timer.as_mut() => {
                    Box::pin(self.on_time()).await?;
                    timer.as_mut().reset(self.next_deadline());
                }
            }
            self.deliver().await?;
            self.outbound.flush().await?;
            if let Some(read_at) = self.read_at.take() {
                telemetry::answered(read_at.elapsed());
            }
        }
    }

    async fn welcome(&mut self) -> Result<(), End> {
        let session = self.inbound.session();
        let settings = &self.context.settings;
        let (user, id, expires_at_ms) = (session.user, session.id, session.expires_at_ms);
        let characters = match self.context.shards.welcome(user, self.seat.mailbox()).await {
            Ok(characters) => characters,
            Err(refusal) => {
                tracing::debug!(code = %refusal.code, "a connection could not be welcomed");
                return Err(End::order(CloseCode::GoingAway, "your characters are not to be had at present"));
            }
        };
        let welcome = Welcome {
            protocol: PROTOCOL_VERSION,
            server: concat!("castellan/", env!("CARGO_PKG_VERSION")).to_owned(),
            session: id,
            user,
            expires_in: seconds_until(expires_at_ms, (self.context.clock)()),
            ping_seconds: settings.ping_interval.as_secs().max(1),
            in_flight_max: IN_FLIGHT_MAX as u64,
            watch_max: settings.watch_max as u64,
            frame_bytes_max: CLIENT_FRAME_BYTES_MAX as u64,
            characters,
        };
        self.outbound.welcome(welcome).await?;
        self.outbound.flush().await
    }

    /// Answers a message and all that are there behind it.
    async fn hear(
        &mut self,
        message: Option<Result<Message, Error>>,
        mut timer: std::pin::Pin<&mut Sleep>,
    ) -> Result<(), End> {
        let now = Instant::now();
        (self.heard_at, self.read_at) = (now, Some(now));
        self.inbound.set_now(now, (self.context.clock)());
        let (mut next, mut gathered) = (Some(message), 0);
        while let Some(message) = next {
            match message.ok_or(End::Gone)?? {
                Message::Binary(bytes) => self.inbound.frame(&mut self.outbound, &bytes, false).await?,
                Message::Text(text) => self.inbound.frame(&mut self.outbound, text.as_bytes(), true).await?,
                // The pong is in the socket's buffer already.
                Message::Ping(_) => self.outbound.answered_by_itself(),
                Message::Pong(_) | Message::Frame(_) => {}
                Message::Close(_) => {
                    // The answer is in the socket's buffer; who is gone does not need it.
                    let _ = timeout(GOODBYE, self.outbound.socket().flush()).await;
                    return Err(End::Gone);
                }
            }
            gathered += 1;
            next = if gathered < GATHER_MAX { self.outbound.socket().next().now_or_never() } else { None };
        }
        if self.inbound.next_deadline().is_some_and(|deadline| deadline < timer.deadline()) {
            timer.as_mut().reset(self.next_deadline());
        }
        Ok(())
    }

    /// Writes what came by mail: the newest state of what changed, how far what is durable.
    async fn deliver(&mut self) -> Result<(), End> {
        let mail = self.seat.mailbox().take();
        if mail.is_empty() {
            return Ok(());
        }
        for (character, owner) in mail.changed {
            Box::pin(self.inbound.changed(&mut self.outbound, owner, character)).await?;
        }
        for (&character, &version) in &mail.durable {
            if self.inbound.is_waiting() {
                Box::pin(self.inbound.durable(&mut self.outbound, character, version)).await?;
            }
        }
        if !mail.durable.is_empty() {
            self.outbound.durable(Durable { versions: mail.durable }).await?;
        }
        Ok(())
    }

    /// Does what is due: pings, expiry of the token, waits that are over.
    async fn on_time(&mut self) -> Result<(), End> {
        let now = Instant::now();
        self.inbound.set_now(now, (self.context.clock)());
        let ping_interval = self.context.settings.ping_interval;
        if now >= self.heard_at + 2 * ping_interval {
            return Err(End::order(CloseCode::Silent, "nothing was heard of you"));
        }
        if now >= self.inbound.expires_at() {
            return Err(End::order(CloseCode::TokenExpired, "the token has expired"));
        }
        self.inbound.overdue(&mut self.outbound).await?;
        if now >= self.pinged_at + ping_interval {
            self.pinged_at = now;
            self.outbound.ping().await?;
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

/// Tells the peer why the connection ends and hears it out, for a moment.
async fn say_goodbye<S>(mut outbound: Outbound<S>, order: &CloseOrder)
where
    S: Stream<Item = Result<Message, Error>> + Sink<Message, Error = Error> + Unpin,
{
    let goodbye = async {
        outbound.close(order).await?;
        // The peer's own close frame, or its end: until then what we sent may still be on its way.
        while let Some(Ok(_)) = outbound.socket().next().await {}
        Ok::<(), End>(())
    };
    if !matches!(timeout(GOODBYE, goodbye).await, Ok(Ok(()))) {
        tracing::debug!(code = order.code.number(), "a connection ended without a goodbye");
    }
}

/// Whole seconds from `now_ms` until then; 0 when it is over.
pub(super) fn seconds_until(then_ms: i64, now_ms: i64) -> u64 {
    then_ms.saturating_sub(now_ms).max(0).unsigned_abs() / 1_000
}
