//! Effects to bytes: the answers of a connection on their way to its socket.

use std::cell::Cell;
use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use castellan_protocol::{
    Accepted, CloseCode, Closing, Codec, Durable, Pong, Rejected, RejectionCode, RequestId, ServerFrame, Welcome,
};
use futures_util::{FutureExt, Sink, SinkExt};
use rand::RngExt;
use serde::Serialize;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode as SocketCode;
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};

use super::replies::{About, Changes};
use super::session::End;
use crate::shard::{CloseOrder, Refusal, Shape};

/// The server's frames carry characters only through the shards, which write them themselves.
#[derive(Serialize)]
enum NoCharacter {}

/// Room that most answers fit into, in bytes.
const ANSWER_BYTES: usize = 2 * 1_024;

/// A larger buffer is not used again.
const SPARE_BYTES_MAX: usize = 16 * 1_024;

thread_local! {
    /// The buffer of this thread's last answer: the socket has copied it, the next answer goes into it.
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Clients of a stopping server come back spread over this long.
const COME_BACK_WITHIN: Duration = Duration::from_secs(1);

/// Writes frames into the socket's buffer; [`Outbound::flush`] sends them.
pub(super) struct Outbound<S> {
    sink: S,
    codec: Codec,
    /// What the peer was sent last, where it asked for changes.
    changes: Option<Box<Changes>>,
    /// Something was fed and not flushed.
    unflushed: bool,
    /// How long the peer may leave what it is sent unread.
    patience: Duration,
}

impl<S: Sink<Message, Error = Error> + Unpin> Outbound<S> {
    pub(super) fn new(sink: S, codec: Codec, patience: Duration) -> Self {
        Self { sink, codec, changes: None, unflushed: false, patience }
    }

    /// Tells of states by what has changed in them.
    pub(super) fn tell_changes(&mut self, changes: Changes) {
        self.changes = Some(Box::new(changes));
    }

    pub(super) fn socket(&mut self) -> &mut S {
        &mut self.sink
    }

    pub(super) const fn codec(&self) -> Codec {
        self.codec
    }

    /// An empty buffer for one answer.
    pub(super) fn buffer() -> Vec<u8> {
        let mut spare = SPARE.take();
        spare.clear();
        spare.reserve(ANSWER_BYTES);
        spare
    }

    /// How [`Outbound::tell`] wants states to be written.
    pub(super) const fn shape(&self) -> Shape {
        if self.changes.is_none() { Shape::Frame(self.codec) } else { Shape::Packed }
    }

    /// Feeds an answer that tells of a state and was written into [`Outbound::buffer`] as [`Outbound::shape`] wants.
    pub(super) async fn tell(&mut self, about: &About, written: Vec<u8>) -> Result<(), End> {
        let frame = match &mut self.changes {
            None => written,
            Some(changes) => {
                let mut frame = Self::buffer();
                changes.write(self.codec, about, &written, &mut frame);
                frame
            }
        };
        self.feed(frame).await
    }

    async fn feed(&mut self, frame: Vec<u8>) -> Result<(), End> {
        let frame = Bytes::from(frame);
        let message = match self.codec {
            Codec::MessagePack => Message::Binary(frame.clone()),
            Codec::Json => Message::Text(Utf8Bytes::try_from(frame.clone()).expect("JSON is UTF-8")),
        };
        self.unflushed = true;
        patiently(self.patience, self.sink.feed(message)).await?;
        if frame.is_unique() && frame.len() <= SPARE_BYTES_MAX {
            SPARE.set(Vec::from(frame));
        }
        Ok(())
    }

    pub(super) async fn welcome(&mut self, welcome: Welcome) -> Result<(), End> {
        self.send_frame(ServerFrame::Welcome(welcome)).await
    }

    pub(super) async fn accepted(&mut self, id: RequestId, expires_in: Option<u64>) -> Result<(), End> {
        self.send_frame(ServerFrame::Accepted(Accepted { id, expires_in })).await
    }

    pub(super) async fn pong(&mut self, id: Option<RequestId>) -> Result<(), End> {
        self.send_frame(ServerFrame::Pong(Pong { id })).await
    }

    pub(super) async fn durable(&mut self, durable: Durable) -> Result<(), End> {
        self.send_frame(ServerFrame::Durable(durable)).await
    }

    pub(super) async fn refused(&mut self, id: Option<RequestId>, refusal: &Refusal) -> Result<(), End> {
        let rejected = Rejected {
            id,
            code: refusal.code,
            message: refusal.message.to_string(),
            retry_after_ms: refusal.retry_after_ms,
        };
        self.send_frame(ServerFrame::Rejected(rejected)).await
    }

    pub(super) async fn rejected(
        &mut self,
        id: Option<RequestId>,
        code: RejectionCode,
        message: String,
    ) -> Result<(), End> {
        self.send_frame(ServerFrame::Rejected(Rejected { id, code, message, retry_after_ms: None })).await
    }

    pub(super) async fn ping(&mut self) -> Result<(), End> {
        self.unflushed = true;
        patiently(self.patience, self.sink.feed(Message::Ping(Bytes::new()))).await
    }

    /// The socket itself has put something into its buffer: the answer to a ping.
    pub(super) fn answered_by_itself(&mut self) {
        self.unflushed = true;
    }

    /// Sends what was fed.
    pub(super) async fn flush(&mut self) -> Result<(), End> {
        if self.unflushed {
            patiently(self.patience, self.sink.flush()).await?;
            self.unflushed = false;
        }
        Ok(())
    }

    /// Says that the connection ends and why, then the close frame.
    pub(super) async fn close(&mut self, order: &CloseOrder) -> Result<(), End> {
        let closing = Closing {
            code: order.code.number(),
            reason: order.reason.to_owned(),
            retry_after_ms: come_back_after(order.code),
        };
        self.send_frame(ServerFrame::Closing(closing)).await?;
        let frame =
            CloseFrame { code: SocketCode::from(order.code.number()), reason: Utf8Bytes::from_static(order.reason) };
        Ok(self.sink.send(Message::Close(Some(frame))).await?)
    }

    async fn send_frame(&mut self, frame: ServerFrame<NoCharacter>) -> Result<(), End> {
        let mut out = Self::buffer();
        self.codec.encode(&frame, &mut out);
        self.feed(out).await
    }
}

/// Waits for the socket; a client that leaves what it is sent unread for too long is a slow consumer.
async fn patiently(patience: Duration, sending: impl Future<Output = Result<(), Error>>) -> Result<(), End> {
    tokio::pin!(sending);
    // Most sockets take it at once: only the others pay for a timer.
    if let Some(sent) = sending.as_mut().now_or_never() {
        return Ok(sent?);
    }
    match timeout(patience, sending).await {
        Ok(sent) => Ok(sent?),
        Err(_) => Err(End::order(CloseCode::SlowConsumer, "you do not read what you are sent")),
    }
}

/// When a client may come back, spread at random, in milliseconds.
fn come_back_after(code: CloseCode) -> u64 {
    let within = if code.invites_back() { COME_BACK_WITHIN } else { Duration::ZERO };
    rand::rng().random_range(0..=u64::try_from(within.as_millis()).unwrap_or(u64::MAX))
}
