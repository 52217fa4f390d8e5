//! Lets WebSocket messages of a client arrive twice, byte for byte.

use std::io::Cursor;

use tokio_tungstenite::tungstenite;
use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
use tokio_tungstenite::tungstenite::protocol::frame::coding::OpCode;

/// Most messages of a connection that are doubled; later ones pass once. The first messages of a connection are the
/// intents that the client sends again after a reconnect.
const DOUBLED_MAX: u32 = 64;

/// The position in a client's byte stream.
#[derive(Debug, Default)]
pub(super) struct Doubling {
    /// Bytes of a head or a frame that is not whole yet.
    pending: Vec<u8>,
    upgraded: bool,
    doubled: u32,
    /// It is no WebSocket, or all that was to be doubled has been.
    done: bool,
}

impl Doubling {
    /// Takes in what the client sent and appends what goes on to the server.
    pub(super) fn pass(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        if self.done {
            out.extend_from_slice(bytes);
            return;
        }
        self.pending.extend_from_slice(bytes);
        while !self.done {
            if !self.upgraded {
                let Some(end) = self.pending.windows(4).position(|window| window == b"\r\n\r\n") else { return };
                let head = String::from_utf8_lossy(&self.pending[..end]).to_ascii_lowercase();
                self.upgraded = head.contains("upgrade: websocket");
                self.done = !self.upgraded;
                out.extend(self.pending.drain(..end + 4));
            } else {
                let (header, length) = match first_frame(&self.pending) {
                    Ok(Some(frame)) => frame,
                    Ok(None) => return,
                    Err(_) => {
                        self.done = true;
                        break;
                    }
                };
                let frame: Vec<u8> = self.pending.drain(..length).collect();
                out.extend_from_slice(&frame);
                // Not pings, pongs and the end; a second end would break the protocol.
                if header.is_final && matches!(header.opcode, OpCode::Data(_)) {
                    out.extend_from_slice(&frame);
                    self.doubled += 1;
                    self.done = self.doubled == DOUBLED_MAX;
                }
            }
        }
        out.append(&mut self.pending);
    }
}

/// The first frame's header and the bytes of the whole frame; `None` until all of it is there.
///
/// # Errors
///
/// If it is no frame.
fn first_frame(bytes: &[u8]) -> Result<Option<(FrameHeader, usize)>, tungstenite::Error> {
    let mut cursor = Cursor::new(bytes);
    let Some((header, payload)) = FrameHeader::parse(&mut cursor)? else { return Ok(None) };
    let length = cursor.position().saturating_add(payload);
    Ok(usize::try_from(length).ok().filter(|length| *length <= bytes.len()).map(|length| (header, length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &[u8] = b"GET /socket HTTP/1.1\r\nUpgrade: websocket\r\n\r\n";

    fn passed(bytes: &[u8], chunk: usize) -> Vec<u8> {
        let (mut doubling, mut out) = (Doubling::default(), Vec::new());
        bytes.chunks(chunk).for_each(|chunk| doubling.pass(chunk, &mut out));
        out
    }

    /// A masked message, and one whose length takes two more bytes.
    fn frames() -> (Vec<u8>, Vec<u8>) {
        let short = [&[0x82, 0x83, 1, 2, 3, 4][..], b"abc"].concat();
        let long = [&[0x81, 0xfe, 0, 200, 1, 2, 3, 4][..], &[7; 200]].concat();
        (short, long)
    }

    #[test]
    fn messages_come_twice_and_nothing_else_does() {
        let (short, long) = frames();
        let ping = vec![0x89, 0x80, 1, 2, 3, 4];
        let sent = [HEAD, &short, &ping, &long].concat();
        let expected = [HEAD, &short, &short, &ping, &long, &long].concat();
        for chunk in [1, 3, 50, 1_000] {
            assert_eq!(passed(&sent, chunk), expected, "in chunks of {chunk}");
        }
    }

    #[test]
    fn what_is_no_websocket_passes_as_it_is() {
        let request = b"POST /session/login HTTP/1.1\r\nContent-Length: 4\r\n\r\n\x82\x80ab";
        assert_eq!(passed(request, 5), request);
    }

    #[test]
    fn only_the_first_messages_come_twice() {
        let (short, _) = frames();
        let sent = [HEAD, &short.repeat(70)].concat();
        assert_eq!(passed(&sent, 64), [HEAD, &short.repeat(64 * 2 + 6)].concat());
    }
}
