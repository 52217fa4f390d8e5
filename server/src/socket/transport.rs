//! A WebSocket over a byte stream: bytes in, messages out, frames in, bytes out.
//!
//! tungstenite's state machine understands what arrives and answers pings and closes. It is driven here and not by
//! tokio-tungstenite because of what stands between it and the stream: a connection reads through a buffer that all
//! connections of its thread share, and writes into another one, where an answer is encoded once, behind its header.
//! So nothing is copied or zeroed that is not sent, thousands of connections touch little memory by turns, and an idle
//! one holds no buffer but tungstenite's own small one.

use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind, Read, Write};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use castellan_protocol::limits::CLIENT_FRAME_BYTES_MAX;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig, WebSocketContext};
use tokio_tungstenite::tungstenite::{Error, Message};

/// tungstenite's own buffer of each connection, in bytes; it grows for a larger frame.
///
/// Holds a few usual intents. Small, as it is zeroed up to here at every read, and kept while the connection is idle.
const UNDERSTOOD_AT_ONCE_BYTES: usize = 512;

/// Room for the header of most frames, in bytes: those with 126 to 65,535 bytes behind it. Source: RFC 6455, 5.2.
const HEADER_BYTES: usize = 4;

/// Longest header of a frame without a mask, in bytes. Source: RFC 6455, 5.2.
const HEADER_BYTES_MAX: usize = 10;

/// Room for answers that is made at once, in bytes: most fit.
const OUTPUT_BYTES: usize = 4 * 1_024;

/// A larger buffer is not used again.
const SPARE_BYTES_MAX: usize = 256 * 1_024;

thread_local! {
    /// Where this thread's connections read into; what one has read is copied out at once.
    static INPUT: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    /// The buffer that a connection of this thread was last done with.
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// A byte stream.
pub(super) trait Io: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Io for T {}

/// A WebSocket after its handshake, the server's side.
pub(super) struct Transport<IO> {
    io: IO,
    context: WebSocketContext,
    buffers: Buffers,
    /// Bytes read at a time.
    read_bytes: usize,
}

/// The stream as tungstenite sees it.
#[derive(Default)]
struct Buffers {
    /// What was read; empty, without memory of its own, when all of it is understood.
    input: Vec<u8>,
    /// Bytes of it that are understood.
    understood: usize,
    /// What is to be sent; without memory of its own when all of it is.
    output: Vec<u8>,
    /// Bytes of it that are sent.
    sent: usize,
    /// Where in it the frame begins that is being written.
    frame: Option<usize>,
}

impl<IO: Io> Transport<IO> {
    /// `leftover` was read behind the handshake; `read_bytes` are read at a time.
    pub(super) fn new(io: IO, leftover: Vec<u8>, read_bytes: usize) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(UNDERSTOOD_AT_ONCE_BYTES)
            // Its frames go to our buffer at once, in line with our own.
            .write_buffer_size(0)
            .max_message_size(Some(CLIENT_FRAME_BYTES_MAX))
            .max_frame_size(Some(CLIENT_FRAME_BYTES_MAX));
        let context = WebSocketContext::new(Role::Server, Some(config));
        Self { io, context, buffers: Buffers { input: leftover, ..Buffers::default() }, read_bytes }
    }

    /// Reads what is there, unless something is left of what was read before; false at the end of the stream.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        if !self.buffers.input.is_empty() {
            return Poll::Ready(Ok(true));
        }
        INPUT.with_borrow_mut(|buffer| {
            buffer.resize(self.read_bytes, 0);
            let mut buffer = ReadBuf::new(buffer);
            ready!(Pin::new(&mut self.io).poll_read(cx, &mut buffer))?;
            self.buffers.input.extend_from_slice(buffer.filled());
            Poll::Ready(Ok(!buffer.filled().is_empty()))
        })
    }

    /// The next message of what was read; `None` where the rest of it is still to come.
    pub(super) fn next(&mut self) -> Result<Option<Message>, Error> {
        match self.context.read(&mut self.buffers) {
            Ok(message) => Ok(Some(message)),
            Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Begins a frame: what is appended here is its payload, until [`Transport::end_frame`].
    pub(super) fn begin_frame(&mut self) -> &mut Vec<u8> {
        let output = self.buffers.output();
        let begin = output.len();
        output.extend_from_slice(&[0; HEADER_BYTES]);
        self.buffers.frame = Some(begin);
        &mut self.buffers.output
    }

    /// Ends the frame, or takes it back where nothing was appended.
    pub(super) fn end_frame(&mut self, kind: Data) {
        let Some(begin) = self.buffers.frame.take() else { return };
        let output = &mut self.buffers.output;
        let payload_bytes = output.len() - begin - HEADER_BYTES;
        if payload_bytes == 0 {
            return output.truncate(begin);
        }
        let mut header = [0; HEADER_BYTES_MAX];
        let mut rest = header.as_mut_slice();
        let fields = FrameHeader { opcode: OpCode::Data(kind), ..FrameHeader::default() };
        fields.format(payload_bytes as u64, &mut rest).expect("the longest header fits");
        let header_bytes = HEADER_BYTES_MAX - rest.len();
        if header_bytes == HEADER_BYTES {
            output[begin..begin + HEADER_BYTES].copy_from_slice(&header[..HEADER_BYTES]);
        } else {
            output.splice(begin..begin + HEADER_BYTES, header[..header_bytes].iter().copied());
        }
    }

    /// Asks the peer whether it is still there.
    pub(super) fn ping(&mut self) -> Result<(), Error> {
        self.context.write(&mut self.buffers, Message::Ping(Bytes::new()))
    }

    /// Ends the conversation. A frame that was begun and not ended is not sent.
    pub(super) fn close(&mut self, frame: CloseFrame) -> Result<(), Error> {
        self.take_back_frame();
        self.context.close(&mut self.buffers, Some(frame))
    }

    /// Takes a frame back that was begun and not ended.
    pub(super) fn take_back_frame(&mut self) {
        if let Some(begin) = self.buffers.frame.take() {
            self.buffers.output.truncate(begin);
        }
    }

    /// Writes the answer to a ping or a close that was read.
    pub(super) fn answer_control(&mut self) -> Result<(), Error> {
        match self.context.flush(&mut self.buffers) {
            // After the answer to a close nothing follows.
            Ok(()) | Err(Error::ConnectionClosed) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Bytes that wait to be sent.
    pub(super) fn unsent_bytes(&self) -> usize {
        self.buffers.output.len() - self.buffers.sent
    }

    /// Sends all that was written.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Buffers { output, sent, .. } = &mut self.buffers;
        while *sent < output.len() {
            match ready!(Pin::new(&mut self.io).poll_write(cx, &output[*sent..]))? {
                0 => return Poll::Ready(Err(ErrorKind::WriteZero.into())),
                bytes => *sent += bytes,
            }
        }
        *sent = 0;
        let mut spare = std::mem::take(output);
        if (1..=SPARE_BYTES_MAX).contains(&spare.capacity()) {
            spare.clear();
            SPARE.set(spare);
        }
        Poll::Ready(Ok(()))
    }
}

impl Buffers {
    /// The output, with the thread's spare memory where it has none.
    fn output(&mut self) -> &mut Vec<u8> {
        if self.output.capacity() == 0 {
            self.output = SPARE.take();
            self.output.reserve(OUTPUT_BYTES);
        }
        &mut self.output
    }
}

impl Read for Buffers {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let rest = &self.input[self.understood..];
        if rest.is_empty() {
            return Err(ErrorKind::WouldBlock.into());
        }
        let bytes = rest.len().min(buffer.len());
        buffer[..bytes].copy_from_slice(&rest[..bytes]);
        self.understood += bytes;
        if self.understood == self.input.len() {
            (self.input, self.understood) = (Vec::new(), 0);
        }
        Ok(bytes)
    }
}

impl Write for Buffers {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.output().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
