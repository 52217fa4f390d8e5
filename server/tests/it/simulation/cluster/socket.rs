//! A client's end of a WebSocket. Source: RFC 6455, 5.2.

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, split};
use tokio::sync::mpsc;

use super::network::Line;

const TEXT: u8 = 0x81;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;

/// A connection to a gateway.
pub(super) struct Socket {
    pub(super) line: Line,
    pub(super) is_welcome: bool,
    /// What it is for was sent.
    pub(super) is_used: bool,
    output: mpsc::UnboundedSender<Vec<u8>>,
    input: mpsc::UnboundedReceiver<Heard>,
}

/// Something that a client hears.
pub(super) enum Heard {
    Text(String),
    /// The end; with its code, if the gateway said one.
    End(Option<u16>),
}

impl Socket {
    #[expect(clippy::disallowed_methods, reason = "a client in a simulation takes everything, and sends few frames")]
    pub(super) fn new(line: Line, stream: DuplexStream) -> Self {
        let (reader, mut writer) = split(stream);
        let ((output, mut to_send), (heard, input)) = (mpsc::unbounded_channel::<Vec<u8>>(), mpsc::unbounded_channel());
        tokio::spawn(read(reader, heard, output.downgrade()));
        tokio::spawn(async move {
            while let Some(bytes) = to_send.recv().await {
                if writer.write_all(&bytes).await.is_err() {
                    return;
                }
            }
        });
        Self { line, is_welcome: false, is_used: false, output, input }
    }

    pub(super) fn send(&self, text: &str) {
        // The end is heard.
        let _ = self.output.send(masked(TEXT, text.as_bytes()));
    }

    /// The next message that has arrived.
    pub(super) fn next(&mut self) -> Option<Heard> {
        self.input.try_recv().ok()
    }
}

/// A frame of a client. A mask of zeros changes nothing.
fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first, 0x80 | 126];
    frame.extend(u16::try_from(payload.len()).expect("short").to_be_bytes());
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}

async fn read(
    mut reader: ReadHalf<DuplexStream>,
    heard: mpsc::UnboundedSender<Heard>,
    output: mpsc::WeakUnboundedSender<Vec<u8>>,
) {
    let (mut input, mut code) = (Vec::new(), None);
    while reader.read_buf(&mut input).await.is_ok_and(|bytes| bytes > 0) {
        while let Some((first, payload)) = take(&mut input) {
            match first {
                TEXT => {
                    let text = String::from_utf8(payload).expect("UTF-8");
                    if heard.send(Heard::Text(text)).is_err() {
                        return;
                    }
                }
                PING => drop(output.upgrade().map(|output| output.send(masked(PONG, &payload)))),
                CLOSE => code = Some(u16::from_be_bytes([payload[0], payload[1]])),
                _ => {}
            }
        }
        if code.is_some() {
            break;
        }
    }
    let _ = heard.send(Heard::End(code));
}

/// The first byte and the payload of the next frame that has arrived.
fn take(input: &mut Vec<u8>) -> Option<(u8, Vec<u8>)> {
    let (first, length, header) = match *input.as_slice() {
        [first, 126, a, b, ..] => (first, usize::from(u16::from_be_bytes([a, b])), 4),
        [first, length @ 0..126, ..] => (first, usize::from(length), 2),
        _ => return None,
    };
    let end = header + length;
    (input.len() >= end).then(|| (first, input.drain(..end).skip(header).collect()))
}
