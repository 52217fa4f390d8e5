//! A link as a stream of messages. What is written is sent in one go, when the caller says so.

use std::io::{self, ErrorKind};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::BufMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};

use super::message::{self, Address, InPlace, Malformed, Message};

/// Bytes read at a time: the frames of many sockets.
const READ_BYTES: usize = 128 * 1_024;

/// A byte stream with messages on it.
#[derive(Debug)]
pub struct LinkStream<IO> {
    io: IO,
    input: Vec<u8>,
    /// How many bytes of the input are processed.
    heard: usize,
    /// The start of the last message.
    last: usize,
    output: Vec<u8>,
    /// How many bytes of the output are sent.
    sent: usize,
    /// The start of the message that is being written in place.
    in_place: Option<usize>,
    has_leftover: bool,
}

impl<IO: AsyncRead + AsyncWrite + Unpin> LinkStream<IO> {
    /// `leftover` was read after the handshake.
    pub fn new(io: IO, leftover: Vec<u8>) -> Self {
        let has_leftover = !leftover.is_empty();
        Self { io, input: leftover, heard: 0, last: 0, output: Vec::new(), sent: 0, in_place: None, has_leftover }
    }

    /// Reads the available bytes. Returns false at the end of the stream.
    pub fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        if std::mem::take(&mut self.has_leftover) {
            return Poll::Ready(Ok(true));
        }
        self.input.drain(..self.heard);
        (self.heard, self.last) = (0, 0);
        self.input.reserve(READ_BYTES);
        let mut room = (&mut self.input).limit(READ_BYTES);
        pin!(self.io.read_buf(&mut room)).poll(cx).map_ok(|bytes| bytes > 0)
    }

    /// The next message that was read; `None` if the rest of it has not arrived.
    ///
    /// # Errors
    ///
    /// The peer does not speak this protocol.
    pub fn next_message(&mut self) -> Result<Option<Message<'_>>, Malformed> {
        let Some((message, length)) = Message::read(&self.input[self.heard..])? else { return Ok(None) };
        self.last = self.heard;
        self.heard += length;
        Ok(Some(message))
    }

    /// The message that [`LinkStream::next_message`] returned last, once more. Nothing was read since then.
    pub fn again(&self) -> Option<Message<'_>> {
        Message::read(&self.input[self.last..]).ok().flatten().map(|(message, _)| message)
    }

    /// Writes a message.
    pub fn put(&mut self, message: &Message<'_>) {
        debug_assert!(self.in_place.is_none(), "a message is being written");
        message.write(&mut self.output);
    }

    /// Writes messages that [`Message::write`] has written elsewhere, and leaves an empty buffer.
    pub fn put_all(&mut self, messages: &mut Vec<u8>) {
        debug_assert!(self.in_place.is_none(), "a message is being written");
        if self.output.is_empty() {
            std::mem::swap(&mut self.output, messages);
        } else {
            self.output.append(messages);
        }
    }

    /// Begins a message whose body the caller appends to the returned buffer. Then call [`LinkStream::end`].
    pub fn begin(&mut self, what: InPlace, address: Address) -> &mut Vec<u8> {
        self.take_back();
        self.in_place = Some(message::begin_in_place(&mut self.output, what, address));
        &mut self.output
    }

    /// Ends the message that was begun, or takes it back if nothing was appended.
    pub fn end(&mut self) {
        let Some(begin) = self.in_place.take() else { return };
        if message::is_empty(&self.output, begin) {
            self.output.truncate(begin);
        } else {
            message::end(&mut self.output, begin);
        }
    }

    /// Takes back the message that was begun.
    pub fn take_back(&mut self) {
        if let Some(begin) = self.in_place.take() {
            self.output.truncate(begin);
        }
    }

    /// The number of bytes written and not sent.
    pub fn unsent_bytes(&self) -> usize {
        self.output.len() - self.sent
    }

    /// Sends what was written.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        debug_assert!(self.in_place.is_none(), "a message is being written");
        while self.sent < self.output.len() {
            match ready!(Pin::new(&mut self.io).poll_write(cx, &self.output[self.sent..]))? {
                0 => return Poll::Ready(Err(ErrorKind::WriteZero.into())),
                bytes => self.sent += bytes,
            }
        }
        self.output.clear();
        self.sent = 0;
        // TLS keeps bytes back that the kernel does not take; for TCP this does nothing.
        Pin::new(&mut self.io).poll_flush(cx)
    }
}
