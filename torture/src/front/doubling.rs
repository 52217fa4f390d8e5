//! Lets WebSocket messages of a client arrive twice, byte for byte.

/// Messages of a connection that are doubled; those behind them pass once. What a client sends first on a connection
/// is what it sends again.
const DOUBLED_MAX: u32 = 64;

/// Where in a client's bytes we are.
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
                let Some(length) = frame_length(&self.pending) else { return };
                let frame: Vec<u8> = self.pending.drain(..length).collect();
                out.extend_from_slice(&frame);
                // Opcodes from 8 up are pings, pongs and the end; a second end would be a breach.
                if frame[0] & 0x0f < 8 && frame[0] & 0x80 != 0 {
                    out.extend_from_slice(&frame);
                    self.doubled += 1;
                    self.done = self.doubled == DOUBLED_MAX;
                }
            }
        }
        out.append(&mut self.pending);
    }
}

/// How long the frame at the beginning is, if all of it is there: RFC 6455, section 5.2.
fn frame_length(bytes: &[u8]) -> Option<usize> {
    let second = *bytes.get(1)?;
    let mask = if second & 0x80 != 0 { 4 } else { 0 };
    let (extended, payload) = match second & 0x7f {
        126 => (2, usize::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?))),
        127 => (8, usize::try_from(u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?)).ok()?),
        short => (0, usize::from(short)),
    };
    let length = 2 + extended + mask + payload;
    (bytes.len() >= length).then_some(length)
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
