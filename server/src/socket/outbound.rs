//! The writing side of a connection: answers on their way to its socket.

use std::future::poll_fn;
use std::time::Duration;

use castellan_protocol::{
    Accepted, CloseCode, Closing, Codec, Durable, Pong, Rejected, RejectionCode, RequestId, ServerFrame, Welcome,
};
use futures_util::FutureExt;
use rand::RngExt;
use serde::Serialize;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Utf8Bytes;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode as SocketCode, Data};

use super::end::End;
use super::replies::{About, Changes};
use super::transport::{Io, Transport};
use crate::shard::{CloseOrder, Refusal, Shape};

/// The server's frames carry characters only through the shards, which write them themselves.
#[derive(Serialize)]
enum NoCharacter {}

/// Clients of a stopping server spread their reconnects over this time.
const COME_BACK_WITHIN: Duration = Duration::from_secs(1);

/// Unsent bytes at which a connection sends before it answers more frames.
const UNSENT_BYTES_MAX: usize = 64 * 1_024;

/// A buffer of frames on their way to a client.
pub(crate) trait Frames {
    /// Begins a frame. Append its payload to the returned buffer, then call [`Frames::end_frame`].
    fn begin_frame(&mut self) -> &mut Vec<u8>;

    /// Ends the frame, or discards it if nothing was appended.
    fn end_frame(&mut self, codec: Codec);

    /// Discards a frame that was begun and not ended.
    fn take_back_frame(&mut self);

    /// Returns true if the request goes back to where it came from, instead of an answer with this refusal.
    #[inline]
    fn hands_back(&mut self, _refusal: &Refusal) -> bool {
        false
    }
}

impl<IO: Io> Frames for Transport<IO> {
    #[inline]
    fn begin_frame(&mut self) -> &mut Vec<u8> {
        Transport::begin_frame(self)
    }

    #[inline]
    fn end_frame(&mut self, codec: Codec) {
        let kind = match codec {
            Codec::MessagePack => Data::Binary,
            Codec::Json => Data::Text,
        };
        Transport::end_frame(self, kind);
    }

    #[inline]
    fn take_back_frame(&mut self) {
        Transport::take_back_frame(self);
    }
}

/// Writes the frames of a connection. On a [`Transport`], [`Outbound::flush`] sends them.
pub(crate) struct Outbound<F> {
    frames: F,
    codec: Codec,
    /// The states sent last, if the peer asked for changes only.
    changes: Option<Box<Changes>>,
    /// How long the peer may leave answers unread.
    patience: Duration,
}

impl<F: Frames> Outbound<F> {
    /// `patience`: how long the peer may leave answers unread.
    pub(crate) fn new(frames: F, codec: Codec, patience: Duration) -> Self {
        Self { frames, codec, changes: None, patience }
    }

    /// From now on, sends only the changes of states.
    pub(super) fn tell_changes(&mut self, changes: Box<Changes>) {
        self.changes = Some(changes);
    }

    /// The frames, and the states sent last.
    pub(super) fn into_parts(self) -> (F, Option<Box<Changes>>) {
        (self.frames, self.changes)
    }

    pub(crate) const fn codec(&self) -> Codec {
        self.codec
    }

    /// The shape of the state that goes into a [`Draft`].
    pub(super) const fn shape(&self) -> Shape {
        if self.changes.is_none() { Shape::Frame(self.codec) } else { Shape::Packed }
    }

    /// Begins an answer with a state.
    pub(super) fn draft(&mut self) -> Draft<'_, F> {
        Draft(Some(self))
    }

    /// Writes a frame that a node has encoded.
    pub(crate) fn relay(&mut self, frame: &[u8]) {
        self.frames.begin_frame().extend_from_slice(frame);
        self.frames.end_frame(self.codec);
    }

    /// Writes a frame without a state.
    fn write(&mut self, frame: &ServerFrame<NoCharacter>) {
        self.codec.encode(frame, self.frames.begin_frame());
        self.frames.end_frame(self.codec);
    }

    pub(super) fn welcome(&mut self, welcome: Welcome) {
        self.write(&ServerFrame::Welcome(welcome));
    }

    pub(crate) fn accepted(&mut self, id: RequestId, expires_in: Option<u64>) {
        self.write(&ServerFrame::Accepted(Accepted { id, expires_in }));
    }

    pub(crate) fn pong(&mut self, id: Option<RequestId>) {
        self.write(&ServerFrame::Pong(Pong { id }));
    }

    pub(super) fn durable(&mut self, durable: Durable) {
        self.write(&ServerFrame::Durable(durable));
    }

    pub(crate) fn refused(&mut self, id: Option<RequestId>, refusal: &Refusal) {
        if self.frames.hands_back(refusal) {
            return;
        }
        let rejected = Rejected {
            id,
            code: refusal.code,
            message: refusal.message.to_string(),
            retry_after_ms: refusal.retry_after_ms,
        };
        self.write(&ServerFrame::Rejected(rejected));
    }

    pub(super) fn rejected(&mut self, id: Option<RequestId>, code: RejectionCode, message: String) {
        self.write(&ServerFrame::Rejected(Rejected { id, code, message, retry_after_ms: None }));
    }
}

impl<IO: Io> Outbound<Transport<IO>> {
    pub(crate) fn transport(&mut self) -> &mut Transport<IO> {
        &mut self.frames
    }

    /// The transport, with everything that was written.
    pub(crate) fn into_transport(self) -> Transport<IO> {
        self.frames
    }

    /// Returns true if too many bytes are unsent.
    pub(crate) fn is_full(&self) -> bool {
        self.frames.unsent_bytes() >= UNSENT_BYTES_MAX
    }

    /// Sends the written frames if too many bytes are unsent.
    pub(crate) async fn flush_if_full(&mut self) -> Result<(), End> {
        if self.is_full() { self.flush().await } else { Ok(()) }
    }

    /// Sends all written frames.
    pub(crate) async fn flush(&mut self) -> Result<(), End> {
        if self.frames.unsent_bytes() == 0 {
            return Ok(());
        }
        // Most sockets accept everything at once. Only the others pay for a timer, in time and in memory.
        let sending = poll_fn(|cx| self.frames.poll_flush(cx));
        tokio::pin!(sending);
        let sent = match sending.as_mut().now_or_never() {
            Some(sent) => Ok(sent),
            None => Box::pin(timeout(self.patience, sending)).await,
        };
        match sent {
            Ok(sent) => sent.map_err(|_| End::Gone),
            Err(_) => Err(End::order(CloseCode::SlowConsumer, "you left answers unread for too long; reconnect")),
        }
    }

    /// Writes why the connection ends, then the close frame.
    pub(crate) async fn close(&mut self, order: &CloseOrder) -> Result<(), End> {
        self.write(&ServerFrame::Closing(Closing {
            code: order.code.number(),
            reason: order.reason.to_owned(),
            retry_after_ms: come_back_after(order),
        }));
        let code = SocketCode::from(order.code.number());
        self.frames.close(CloseFrame { code, reason: Utf8Bytes::from_static(order.reason) })?;
        self.flush().await
    }
}

/// An answer with a state that has been begun. Dropped, it takes back what was written.
pub(super) struct Draft<'a, F: Frames>(Option<&'a mut Outbound<F>>);

impl<'a, F: Frames> Draft<'a, F> {
    /// The buffer to append the state to.
    pub(super) fn buffer(&mut self) -> &mut Vec<u8> {
        let out = self.0.as_mut().expect("a draft is used once");
        match &mut out.changes {
            None => out.frames.begin_frame(),
            Some(changes) => changes.begin_state(),
        }
    }

    /// Finishes the answer. If nothing was written, there is no answer.
    pub(super) fn send(mut self, about: &About) {
        let out = self.0.take().expect("a draft is used once");
        if let Some(changes) = &mut out.changes {
            changes.write(out.codec, about, out.frames.begin_frame());
        }
        out.frames.end_frame(out.codec);
    }

    /// As [`Frames::hands_back`].
    pub(super) fn hands_back(&mut self, refusal: &Refusal) -> bool {
        self.0.as_mut().expect("a draft is used once").frames.hands_back(refusal)
    }

    /// Takes back what was written, to answer in another way.
    pub(super) fn discard(mut self) -> &'a mut Outbound<F> {
        let out = self.0.take().expect("a draft is used once");
        out.frames.take_back_frame();
        out
    }
}

impl<F: Frames> Drop for Draft<'_, F> {
    fn drop(&mut self) {
        if let Some(out) = &mut self.0 {
            out.frames.take_back_frame();
        }
    }
}

/// When a client may reconnect, in milliseconds: the wait that was ordered, and a random delay.
fn come_back_after(order: &CloseOrder) -> u64 {
    if !order.code.invites_back() {
        return 0;
    }
    let spread = rand::rng().random_range(Duration::ZERO..=COME_BACK_WITHIN);
    u64::try_from((order.wait + spread).as_millis()).unwrap_or(u64::MAX)
}
