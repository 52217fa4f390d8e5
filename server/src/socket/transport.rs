//! A WebSocket over a byte stream: bytes in, messages out, frames in, bytes out.
//!
//! The memory that thousands of connections touch in turn limits their thread. So all connections of a thread share one
//! buffer for reading and one for writing, in which an answer is encoded once, behind its header. An idle connection
//! holds no buffer at all. That is why this module drives tungstenite's state machine itself: with tokio-tungstenite
//! each connection would have its own buffers.
//!
//! Nearly all messages are single frames, which are unmasked in place. Everything else (fragments, pings, closes,
//! protocol errors) goes through tungstenite, frame by frame: it answers, and reports errors.

use std::borrow::Cow;
use std::cell::Cell;
use std::io::{self, Cursor, ErrorKind, Read, Write};
use std::ops::Range;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::thread::LocalKey;

use bytes::{BufMut, Bytes};
use castellan_protocol::limits::CLIENT_FRAME_BYTES_MAX;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio_tungstenite::tungstenite::error::CapacityError;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::frame::{Frame, FrameHeader};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig, WebSocketContext};
use tokio_tungstenite::tungstenite::{Error, Message};

/// Room for the header of most frames, in bytes: those with 126 to 65,535 bytes behind it. Source: RFC 6455, 5.2.
const HEADER_BYTES: usize = 4;

/// Longest header of a frame without a mask, in bytes. Source: RFC 6455, 5.2.
const HEADER_BYTES_MAX: usize = 10;

/// First capacity of the output buffer, in bytes: most answers fit.
const OUTPUT_BYTES: usize = 4 * 1_024;

/// Most bytes of a message in fragments that can move to another process. The fragments of a message of the largest size
/// need more only if they are tiny.
const FRAGMENTS_BYTES_MAX: usize = 2 * CLIENT_FRAME_BYTES_MAX;

/// Largest buffer that is kept for reuse, in bytes.
const SPARE_BYTES_MAX: usize = 256 * 1_024;

thread_local! {
    /// The input buffer that this thread's connections share: the last one given back.
    static SPARE_INPUT: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    /// The same for output.
    static SPARE_OUTPUT: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// A byte stream.
pub(crate) trait Io: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Io for T {}

/// A WebSocket after its handshake, the server's side.
pub(crate) struct Transport<IO> {
    io: IO,
    buffers: Buffers,
    /// Bytes read at a time.
    read_bytes: usize,
    /// Bytes are left over from the handshake or from a turn, and not processed yet.
    has_leftover: bool,
    /// The current message is in fragments.
    is_fragmented: bool,
    /// Present while a message is in fragments or the connection is closing.
    tungstenite: Option<Box<Slow>>,
}

/// What a connection needs while a message is in fragments or it is closing.
struct Slow {
    context: WebSocketContext,
    /// The fragments of the message so far, as they came.
    fragments: Vec<u8>,
}

/// A WebSocket that another process can go on with.
pub(crate) struct Paused<IO> {
    /// The byte stream.
    pub(crate) io: IO,
    /// Bytes that were read, and belong to messages that were not processed.
    pub(crate) unheard: Vec<u8>,
    /// Bytes to send.
    pub(crate) unsent: Vec<u8>,
}

/// A message or control frame that arrived.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Heard<'a> {
    /// A message.
    Message {
        /// Its payload.
        payload: Cow<'a, [u8]>,
        /// True for a text message, whose payload is valid UTF-8.
        is_text: bool,
    },
    /// A ping or a pong; the answer, if any, is written.
    Control,
    /// A fragment of a message that more fragments follow.
    Fragment,
    /// The peer closes; the answer is written.
    Close,
}

/// The stream as tungstenite sees it.
#[derive(Default)]
struct Buffers {
    /// Bytes read; has no memory when all of them are processed.
    input: Vec<u8>,
    /// How many of them are processed.
    heard: usize,
    /// How many of them tungstenite may read.
    shown: usize,
    /// Bytes to send; has no memory when all of them are sent.
    output: Vec<u8>,
    /// How many of them are sent.
    sent: usize,
    /// Where the frame begins that is being written.
    frame: Option<usize>,
}

impl<IO: Io> Transport<IO> {
    /// `leftover` was read after the handshake. Reads up to `read_bytes` at a time.
    pub(crate) fn new(io: IO, leftover: Vec<u8>, read_bytes: usize) -> Self {
        let has_leftover = !leftover.is_empty();
        let buffers = Buffers { input: leftover, ..Buffers::default() };
        Self { io, buffers, read_bytes, has_leftover, is_fragmented: false, tungstenite: None }
    }

    /// Goes on where another process has paused.
    pub(crate) fn resume(paused: Paused<IO>, read_bytes: usize) -> Self {
        let mut transport = Self::new(paused.io, paused.unheard, read_bytes);
        transport.buffers.output = paused.unsent;
        transport
    }

    /// Stops between two messages. `None` if nobody could go on, because the connection is closing.
    pub(crate) fn pause(mut self) -> Option<Paused<IO>> {
        self.take_back_frame();
        let Buffers { input, heard, output, sent, .. } = self.buffers;
        let mut unheard = match self.tungstenite {
            Some(slow) if !slow.context.can_write() || slow.fragments.len() > FRAGMENTS_BYTES_MAX => return None,
            Some(slow) => slow.fragments,
            None => Vec::new(),
        };
        unheard.extend_from_slice(&input[heard..]);
        Some(Paused { io: self.io, unheard, unsent: output[sent..].to_vec() })
    }

    /// Reads the available bytes. Returns false at the end of the stream.
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        if std::mem::take(&mut self.has_leftover) {
            return Poll::Ready(Ok(true));
        }
        let input = &mut self.buffers.input;
        let mut spare = SPARE_INPUT.take();
        spare.extend_from_slice(input);
        spare.reserve(self.read_bytes);
        let mut room = (&mut spare).limit(self.read_bytes);
        let read = pin!(self.io.read_buf(&mut room)).poll(cx);
        match read {
            Poll::Ready(Ok(1..)) => *input = spare,
            _ => give_back(spare, &SPARE_INPUT),
        }
        read.map_ok(|bytes| bytes > 0)
    }

    /// The next frame that was read; `None` if the rest of it has not arrived.
    pub(crate) fn next(&mut self) -> Result<Option<Heard<'_>>, Error> {
        if let Some((header, payload)) = self.buffers.whole_frame()? {
            match (whole_message(&header), header.mask) {
                (Some(is_text), Some(mask)) if !self.is_fragmented => {
                    self.buffers.heard = payload.end;
                    let payload = &mut self.buffers.input[payload];
                    unmask(payload, mask);
                    if is_text {
                        std::str::from_utf8(payload)?;
                    }
                    return Ok(Some(Heard::Message { payload: Cow::Borrowed(payload), is_text }));
                }
                _ => {
                    if let OpCode::Data(_) = header.opcode {
                        self.is_fragmented = !header.is_final;
                    }
                    let begin = self.buffers.heard;
                    self.buffers.shown = payload.end;
                    let is_data = matches!(header.opcode, OpCode::Data(_));
                    return self.hear_by_tungstenite(is_data.then_some(begin..payload.end)).map(Some);
                }
            }
        }
        self.buffers.let_go();
        Ok(None)
    }

    /// Lets tungstenite read the bytes shown to it. `data`: the whole frame, if it is a part of a message.
    fn hear_by_tungstenite(&mut self, data: Option<Range<usize>>) -> Result<Heard<'static>, Error> {
        let mut slow = self.tungstenite.take().unwrap_or_else(new_tungstenite);
        if let Some(frame) = data.filter(|_| self.is_fragmented && slow.fragments.len() <= FRAGMENTS_BYTES_MAX) {
            slow.fragments.extend_from_slice(&self.buffers.input[frame]);
        }
        let context = &mut slow.context;
        let message = match context.read(&mut self.buffers) {
            Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => None,
            message => Some(message?),
        };
        let heard = match message {
            None => Heard::Fragment,
            Some(Message::Text(text)) => {
                Heard::Message { payload: Cow::Owned(text.as_bytes().to_vec()), is_text: true }
            }
            Some(Message::Binary(bytes)) => Heard::Message { payload: Cow::Owned(bytes.to_vec()), is_text: false },
            Some(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => {
                context.flush(&mut self.buffers)?;
                Heard::Control
            }
            Some(Message::Close(_)) => match context.flush(&mut self.buffers) {
                // Nothing follows the answer.
                Ok(()) | Err(Error::ConnectionClosed) => Heard::Close,
                Err(error) => return Err(error),
            },
        };
        if self.is_fragmented || !context.can_write() {
            self.tungstenite = Some(slow);
        }
        Ok(heard)
    }

    /// Keeps the unprocessed bytes for the next read. Returns false if there are none.
    pub(crate) fn put_off(&mut self) -> bool {
        self.buffers.let_go();
        self.has_leftover = self.unheard_bytes() > 0;
        self.has_leftover
    }

    /// The number of bytes read and not processed.
    pub(super) fn unheard_bytes(&self) -> usize {
        self.buffers.input.len() - self.buffers.heard
    }

    /// Keeps only the unprocessed bytes, before a wait.
    pub(crate) fn hold_little(&mut self) {
        self.buffers.let_go();
    }

    /// Begins a frame. Append its payload to the returned buffer, then call [`Transport::end_frame`].
    pub(super) fn begin_frame(&mut self) -> &mut Vec<u8> {
        let output = self.buffers.output();
        let begin = output.len();
        output.extend_from_slice(&[0; HEADER_BYTES]);
        self.buffers.frame = Some(begin);
        &mut self.buffers.output
    }

    /// Ends the frame, or discards it if nothing was appended.
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

    /// Sends a ping, to check that the peer is still there.
    pub(crate) fn ping(&mut self) {
        Frame::ping(Bytes::new()).format(self.buffers.output()).expect("a buffer takes all");
    }

    /// Writes the close frame. Discards a frame that was begun and not ended.
    pub(super) fn close(&mut self, frame: CloseFrame) -> Result<(), Error> {
        self.take_back_frame();
        self.tungstenite.get_or_insert_with(new_tungstenite).context.close(&mut self.buffers, Some(frame))
    }

    /// Discards a frame that was begun and not ended.
    pub(super) fn take_back_frame(&mut self) {
        if let Some(begin) = self.buffers.frame.take() {
            self.buffers.output.truncate(begin);
        }
    }

    /// The number of unsent bytes.
    pub(super) fn unsent_bytes(&self) -> usize {
        self.buffers.output.len() - self.buffers.sent
    }

    /// Sends all written bytes.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Buffers { output, sent, .. } = &mut self.buffers;
        while *sent < output.len() {
            match ready!(Pin::new(&mut self.io).poll_write(cx, &output[*sent..]))? {
                0 => return Poll::Ready(Err(ErrorKind::WriteZero.into())),
                bytes => *sent += bytes,
            }
        }
        *sent = 0;
        give_back(std::mem::take(output), &SPARE_OUTPUT);
        // TLS keeps bytes back that the kernel does not take; for TCP this does nothing.
        Pin::new(&mut self.io).poll_flush(cx)
    }
}

impl Buffers {
    /// The next frame's header and the range of its payload; `None` if some of the frame has not arrived.
    fn whole_frame(&self) -> Result<Option<(FrameHeader, Range<usize>)>, Error> {
        let mut cursor = Cursor::new(&self.input[self.heard..]);
        let Some((header, payload_bytes)) = FrameHeader::parse(&mut cursor)? else { return Ok(None) };
        if payload_bytes > CLIENT_FRAME_BYTES_MAX as u64 {
            let size = usize::try_from(payload_bytes).unwrap_or(usize::MAX);
            return Err(CapacityError::MessageTooLong { size, max_size: CLIENT_FRAME_BYTES_MAX }.into());
        }
        let begin = self.heard + cursor.position() as usize;
        let end = begin + payload_bytes as usize;
        Ok((end <= self.input.len()).then_some((header, begin..end)))
    }

    /// Keeps only the unprocessed bytes.
    fn let_go(&mut self) {
        let rest = self.input[self.heard..].to_vec();
        give_back(std::mem::replace(&mut self.input, rest), &SPARE_INPUT);
        (self.heard, self.shown) = (0, 0);
    }

    /// The output buffer; takes the thread's spare one if it has no memory.
    fn output(&mut self) -> &mut Vec<u8> {
        if self.output.capacity() == 0 {
            self.output = SPARE_OUTPUT.take();
            self.output.reserve(OUTPUT_BYTES);
        }
        &mut self.output
    }
}

impl Read for Buffers {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut shown = &self.input[self.heard..self.shown.max(self.heard)];
        if shown.is_empty() {
            return Err(ErrorKind::WouldBlock.into());
        }
        let bytes = Read::read(&mut shown, buffer)?;
        self.heard += bytes;
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

/// Gives a buffer back as the thread's spare one.
fn give_back(mut buffer: Vec<u8>, spare: &'static LocalKey<Cell<Vec<u8>>>) {
    if (1..=SPARE_BYTES_MAX).contains(&buffer.capacity()) {
        buffer.clear();
        spare.set(buffer);
    }
}

fn new_tungstenite() -> Box<Slow> {
    let config = WebSocketConfig::default()
        .read_buffer_size(CLIENT_FRAME_BYTES_MAX)
        // Its frames go to our buffer at once, in order with ours.
        .write_buffer_size(0)
        .max_message_size(Some(CLIENT_FRAME_BYTES_MAX))
        .max_frame_size(Some(CLIENT_FRAME_BYTES_MAX));
    Box::new(Slow { context: WebSocketContext::new(Role::Server, Some(config)), fragments: Vec::new() })
}

/// `Some` if a frame is a complete message: true for text, false for binary.
fn whole_message(header: &FrameHeader) -> Option<bool> {
    let is_plain = header.is_final && !(header.rsv1 || header.rsv2 || header.rsv3);
    match header.opcode {
        OpCode::Data(Data::Text) if is_plain => Some(true),
        OpCode::Data(Data::Binary) if is_plain => Some(false),
        _ => None,
    }
}

/// Removes the mask. Source: RFC 6455, 5.3.
fn unmask(payload: &mut [u8], mask: [u8; 4]) {
    let [a, b, c, d] = mask;
    let twice = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, rest) = payload.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ twice).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
}

#[cfg(test)]
mod tests;
