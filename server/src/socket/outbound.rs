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

/// Writes frames into the connection's buffer; [`Outbound::flush`] sends them.
pub(super) struct Outbound<IO> {
    transport: Transport<IO>,
    codec: Codec,
    /// The states sent last, if the peer asked for changes only.
    changes: Option<Box<Changes>>,
    /// How long the peer may leave answers unread.
    patience: Duration,
}

impl<IO: Io> Outbound<IO> {
    pub(super) fn new(transport: Transport<IO>, codec: Codec, patience: Duration) -> Self {
        Self { transport, codec, changes: None, patience }
    }

    /// From now on, sends only the changes of states.
    pub(super) fn tell_changes(&mut self, changes: Changes) {
        self.changes = Some(Box::new(changes));
    }

    pub(super) fn transport(&mut self) -> &mut Transport<IO> {
        &mut self.transport
    }

    pub(super) const fn codec(&self) -> Codec {
        self.codec
    }

    /// The shape of the state that goes into a [`Draft`].
    pub(super) const fn shape(&self) -> Shape {
        if self.changes.is_none() { Shape::Frame(self.codec) } else { Shape::Packed }
    }

    /// Begins an answer with a state.
    pub(super) fn draft(&mut self) -> Draft<'_, IO> {
        Draft(Some(self))
    }

    fn end_frame(&mut self) {
        self.transport.end_frame(match self.codec {
            Codec::MessagePack => Data::Binary,
            Codec::Json => Data::Text,
        });
    }

    /// Writes a frame without a state.
    fn write(&mut self, frame: &ServerFrame<NoCharacter>) {
        self.codec.encode(frame, self.transport.begin_frame());
        self.end_frame();
    }

    pub(super) fn welcome(&mut self, welcome: Welcome) {
        self.write(&ServerFrame::Welcome(welcome));
    }

    pub(super) fn accepted(&mut self, id: RequestId, expires_in: Option<u64>) {
        self.write(&ServerFrame::Accepted(Accepted { id, expires_in }));
    }

    pub(super) fn pong(&mut self, id: Option<RequestId>) {
        self.write(&ServerFrame::Pong(Pong { id }));
    }

    pub(super) fn durable(&mut self, durable: Durable) {
        self.write(&ServerFrame::Durable(durable));
    }

    pub(super) fn refused(&mut self, id: Option<RequestId>, refusal: &Refusal) {
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

    /// Sends the written frames if too many bytes are unsent.
    pub(super) async fn flush_if_full(&mut self) -> Result<(), End> {
        if self.transport.unsent_bytes() < UNSENT_BYTES_MAX { Ok(()) } else { self.flush().await }
    }

    /// Sends all written frames.
    pub(super) async fn flush(&mut self) -> Result<(), End> {
        if self.transport.unsent_bytes() == 0 {
            return Ok(());
        }
        // Most sockets accept everything at once. Only the others pay for a timer.
        let sending = poll_fn(|cx| self.transport.poll_flush(cx));
        tokio::pin!(sending);
        let sent = match sending.as_mut().now_or_never() {
            Some(sent) => Ok(sent),
            None => timeout(self.patience, sending).await,
        };
        match sent {
            Ok(sent) => sent.map_err(|_| End::Gone),
            Err(_) => Err(End::order(CloseCode::SlowConsumer, "you left answers unread for too long; reconnect")),
        }
    }

    /// Writes why the connection ends, then the close frame.
    pub(super) async fn close(&mut self, order: &CloseOrder) -> Result<(), End> {
        self.write(&ServerFrame::Closing(Closing {
            code: order.code.number(),
            reason: order.reason.to_owned(),
            retry_after_ms: come_back_after(order.code),
        }));
        let code = SocketCode::from(order.code.number());
        self.transport.close(CloseFrame { code, reason: Utf8Bytes::from_static(order.reason) })?;
        self.flush().await
    }
}

/// An answer with a state that has been begun. Dropped, it takes back what was written.
pub(super) struct Draft<'a, IO: Io>(Option<&'a mut Outbound<IO>>);

impl<'a, IO: Io> Draft<'a, IO> {
    /// The buffer to append the state to.
    pub(super) fn buffer(&mut self) -> &mut Vec<u8> {
        let out = self.0.as_mut().expect("a draft is used once");
        match &mut out.changes {
            None => out.transport.begin_frame(),
            Some(changes) => changes.begin_state(),
        }
    }

    /// Finishes the answer. If nothing was written, there is no answer.
    pub(super) fn send(mut self, about: &About) {
        let out = self.0.take().expect("a draft is used once");
        if let Some(changes) = &mut out.changes {
            changes.write(out.codec, about, out.transport.begin_frame());
        }
        out.end_frame();
    }

    /// Takes back what was written, to answer in another way.
    pub(super) fn discard(mut self) -> &'a mut Outbound<IO> {
        let out = self.0.take().expect("a draft is used once");
        out.transport.take_back_frame();
        out
    }
}

impl<IO: Io> Drop for Draft<'_, IO> {
    fn drop(&mut self) {
        if let Some(out) = &mut self.0 {
            out.transport.take_back_frame();
        }
    }
}

/// When a client may reconnect: a random delay, in milliseconds.
fn come_back_after(code: CloseCode) -> u64 {
    let within = if code.invites_back() { COME_BACK_WITHIN } else { Duration::ZERO };
    rand::rng().random_range(0..=u64::try_from(within.as_millis()).unwrap_or(u64::MAX))
}
