//! A WebSocket over a byte stream: bytes in, messages out, frames in, bytes out.
//!
//! What limits a thread with thousands of connections is the memory that they touch by turns. So a connection reads
//! through a buffer that all connections of its thread share, and writes into another one, where an answer is encoded
//! once, behind its header; an idle connection holds no buffer at all. That is why this drives tungstenite's state
//! machine by itself, where tokio-tungstenite would give each connection buffers of its own.
//!
//! A message in one frame, as nearly all are, is unmasked where it lies. Whatever else arrives (fragments, pings,
//! closes, what breaks the protocol) goes through tungstenite, frame by frame: it answers, and says what is wrong.

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

/// Room for answers that is made at once, in bytes: most fit.
const OUTPUT_BYTES: usize = 4 * 1_024;

/// A larger buffer is not used again.
const SPARE_BYTES_MAX: usize = 256 * 1_024;

thread_local! {
    /// What this thread's connections read into, by turns: the buffer that one was last done with.
    static SPARE_INPUT: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    /// The same for what they write.
    static SPARE_OUTPUT: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// A byte stream.
pub(super) trait Io: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Io for T {}

/// A WebSocket after its handshake, the server's side.
pub(super) struct Transport<IO> {
    io: IO,
    buffers: Buffers,
    /// Bytes read at a time.
    read_bytes: usize,
    /// Something was left over from the handshake and not looked at.
    has_leftover: bool,
    /// The message under way is in fragments.
    is_fragmented: bool,
    /// Here while a message is in fragments, or a close is under way.
    tungstenite: Option<Box<WebSocketContext>>,
}

/// What arrived.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard<'a> {
    /// A message.
    Message {
        /// Its payload.
        payload: Cow<'a, [u8]>,
        /// It is of the type that is for texts, and is one.
        is_text: bool,
    },
    /// A ping or a pong; what is due on it is written.
    Control,
    /// The peer closes; the answer is written.
    Close,
}

/// The stream as tungstenite sees it.
#[derive(Default)]
struct Buffers {
    /// What was read; without memory when all of it is heard.
    input: Vec<u8>,
    /// Bytes of it that are heard.
    heard: usize,
    /// Bytes of it that tungstenite may have.
    shown: usize,
    /// What is to be sent; without memory when all of it is.
    output: Vec<u8>,
    /// Bytes of it that are sent.
    sent: usize,
    /// Where in it the frame begins that is being written.
    frame: Option<usize>,
}

impl<IO: Io> Transport<IO> {
    /// `leftover` was read behind the handshake; `read_bytes` are read at a time.
    pub(super) fn new(io: IO, leftover: Vec<u8>, read_bytes: usize) -> Self {
        let has_leftover = !leftover.is_empty();
        let buffers = Buffers { input: leftover, ..Buffers::default() };
        Self { io, buffers, read_bytes, has_leftover, is_fragmented: false, tungstenite: None }
    }

    /// Reads what is there; false at the end of the stream.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
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

    /// The next of what was read; `None` where the rest of it is still to come.
    pub(super) fn next(&mut self) -> Result<Option<Heard<'_>>, Error> {
        while let Some((header, payload)) = self.buffers.whole_frame()? {
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
                    self.buffers.shown = payload.end;
                    if let Some(heard) = self.hear_by_tungstenite()? {
                        return Ok(Some(heard));
                    }
                }
            }
        }
        self.buffers.let_go();
        Ok(None)
    }

    /// Has tungstenite hear what is shown to it; `None` for a fragment with others to come.
    fn hear_by_tungstenite(&mut self) -> Result<Option<Heard<'static>>, Error> {
        let mut context = self.tungstenite.take().unwrap_or_else(new_tungstenite);
        let message = match context.read(&mut self.buffers) {
            Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => None,
            message => Some(message?),
        };
        let heard = match message {
            None => None,
            Some(Message::Text(text)) => {
                Some(Heard::Message { payload: Cow::Owned(text.as_bytes().to_vec()), is_text: true })
            }
            Some(Message::Binary(bytes)) => {
                Some(Heard::Message { payload: Cow::Owned(bytes.to_vec()), is_text: false })
            }
            Some(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => {
                context.flush(&mut self.buffers)?;
                Some(Heard::Control)
            }
            Some(Message::Close(_)) => match context.flush(&mut self.buffers) {
                // Behind the answer nothing follows.
                Ok(()) | Err(Error::ConnectionClosed) => Some(Heard::Close),
                Err(error) => return Err(error),
            },
        };
        if self.is_fragmented || !context.can_write() {
            self.tungstenite = Some(context);
        }
        Ok(heard)
    }

    /// Holds no more than what is not heard yet: for a wait before that is.
    pub(super) fn hold_little(&mut self) {
        self.buffers.let_go();
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
    pub(super) fn ping(&mut self) {
        Frame::ping(Bytes::new()).format(self.buffers.output()).expect("a buffer takes all");
    }

    /// Ends the conversation. A frame that was begun and not ended is not sent.
    pub(super) fn close(&mut self, frame: CloseFrame) -> Result<(), Error> {
        self.take_back_frame();
        self.tungstenite.get_or_insert_with(new_tungstenite).close(&mut self.buffers, Some(frame))
    }

    /// Takes a frame back that was begun and not ended.
    pub(super) fn take_back_frame(&mut self) {
        if let Some(begin) = self.buffers.frame.take() {
            self.buffers.output.truncate(begin);
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
        give_back(std::mem::take(output), &SPARE_OUTPUT);
        Poll::Ready(Ok(()))
    }
}

impl Buffers {
    /// The next frame's header, and where its payload lies; `None` where some of it is still to come.
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

    /// Keeps no more than what is not heard yet.
    fn let_go(&mut self) {
        let rest = self.input[self.heard..].to_vec();
        give_back(std::mem::replace(&mut self.input, rest), &SPARE_INPUT);
        (self.heard, self.shown) = (0, 0);
    }

    /// The output, with the thread's spare memory where it has none.
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

/// Makes a buffer that is done with the thread's spare one.
fn give_back(mut buffer: Vec<u8>, spare: &'static LocalKey<Cell<Vec<u8>>>) {
    if (1..=SPARE_BYTES_MAX).contains(&buffer.capacity()) {
        buffer.clear();
        spare.set(buffer);
    }
}

fn new_tungstenite() -> Box<WebSocketContext> {
    let config = WebSocketConfig::default()
        .read_buffer_size(CLIENT_FRAME_BYTES_MAX)
        // Its frames go to our buffer at once, in line with our own.
        .write_buffer_size(0)
        .max_message_size(Some(CLIENT_FRAME_BYTES_MAX))
        .max_frame_size(Some(CLIENT_FRAME_BYTES_MAX));
    Box::new(WebSocketContext::new(Role::Server, Some(config)))
}

/// Whether a frame is a whole message by itself, and if so whether it is of the type for texts.
fn whole_message(header: &FrameHeader) -> Option<bool> {
    let is_plain = header.is_final && !(header.rsv1 || header.rsv2 || header.rsv3);
    match header.opcode {
        OpCode::Data(Data::Text) if is_plain => Some(true),
        OpCode::Data(Data::Binary) if is_plain => Some(false),
        _ => None,
    }
}

/// Takes the mask off. Source: RFC 6455, 5.3.
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
