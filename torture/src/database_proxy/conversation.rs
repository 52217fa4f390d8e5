//! A server's messages to PostgreSQL, as far as the proxy must understand them.
//!
//! Source: PostgreSQL documentation, chapter "Frontend/Backend Protocol", "Message Formats".

use std::collections::HashSet;

/// The kind of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Any other message.
    Other,
    /// A write of characters.
    Write,
    /// The commit of a transaction that hands a shard over.
    Transfer,
}

/// Part of every statement that writes characters.
const WRITE: &[u8] = b"INSERT INTO characters";

/// Part of the statement that hands a shard over.
const TRANSFER: &[u8] = b"process = receiver.id";

/// Protocol codes of requests for TLS and GSSAPI. After one of them comes another first message.
const PRELIMINARIES: [u32; 2] = [80_877_103, 80_877_104];

/// The server's side of one connection.
#[derive(Debug, Default)]
pub(super) struct Conversation {
    pending: Vec<u8>,
    started: bool,
    /// Names of prepared statements that write characters.
    writes: HashSet<Vec<u8>>,
    /// Names of prepared statements that hand a shard over.
    transfers: HashSet<Vec<u8>>,
    /// The transaction hands a shard over.
    is_transfer: bool,
}

impl Conversation {
    pub(super) fn take_in(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
    }

    /// The next complete message.
    pub(super) fn next_message(&mut self) -> Option<(Kind, Vec<u8>)> {
        let head = usize::from(self.started);
        let length = u32::from_be_bytes(self.pending.get(head..head + 4)?.try_into().ok()?);
        let end = head + usize::try_from(length).ok()?;
        if self.pending.len() < end {
            return None;
        }
        let message: Vec<u8> = self.pending.drain(..end).collect();
        if !self.started {
            let code = message.get(4..8).and_then(|code| Some(u32::from_be_bytes(code.try_into().ok()?)));
            self.started = !code.is_some_and(|code| PRELIMINARIES.contains(&code));
            return Some((Kind::Other, message));
        }
        let kind = self.kind(message[0], &message[5..]);
        Some((kind, message))
    }

    fn kind(&mut self, tag: u8, body: &[u8]) -> Kind {
        let mut texts = body.split(|byte| *byte == 0);
        match tag {
            b'P' => {
                let (name, query) = (texts.next().unwrap_or_default(), texts.next().unwrap_or_default());
                for (part, names) in [(WRITE, &mut self.writes), (TRANSFER, &mut self.transfers)] {
                    if query.windows(part.len()).any(|found| found == part) {
                        names.insert(name.to_vec());
                    } else {
                        names.remove(name);
                    }
                }
                Kind::Other
            }
            b'B' => {
                let name = texts.nth(1).unwrap_or_default();
                self.is_transfer |= self.transfers.contains(name);
                if self.writes.contains(name) { Kind::Write } else { Kind::Other }
            }
            b'Q' if body.starts_with(b"COMMIT") && std::mem::take(&mut self.is_transfer) => Kind::Transfer,
            b'Q' if body.starts_with(b"ROLLBACK") => {
                self.is_transfer = false;
                Kind::Other
            }
            _ => Kind::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(tag: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 4).expect("short");
        [&[tag][..], &length.to_be_bytes(), body].concat()
    }

    fn first(code: u32) -> Vec<u8> {
        [8_u32.to_be_bytes(), code.to_be_bytes()].concat()
    }

    #[test]
    fn writes_are_found_in_any_pieces() {
        let said = [
            first(80_877_103),
            first(196_608),
            message(b'Q', b"BEGIN\0"),
            message(b'P', b"s1\0WITH held AS (SELECT 1) INSERT INTO characters AS stored\0\0\0"),
            message(b'P', b"s2\0SELECT 1\0\0\0"),
            message(b'B', b"\0s2\0\0\0"),
            message(b'B', b"\0s1\0\0\0"),
            message(b'P', b"s1\0SELECT 2\0\0\0"),
            message(b'B', b"\0s1\0\0\0"),
            message(b'Q', b"COMMIT\0"),
            message(b'P', b"s3\0UPDATE shard_leases SET process = receiver.id\0\0\0"),
            message(b'B', b"\0s3\0\0\0"),
            message(b'Q', b"COMMIT\0"),
            message(b'Q', b"COMMIT\0"),
        ];
        let kinds =
            [0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 2, 0].map(|kind| [Kind::Other, Kind::Write, Kind::Transfer][kind]);
        for piece in [1, 7, 1_000] {
            let mut conversation = Conversation::default();
            let mut heard = Vec::new();
            for bytes in said.concat().chunks(piece) {
                conversation.take_in(bytes);
                heard.extend(std::iter::from_fn(|| conversation.next_message()));
            }
            assert_eq!(heard.iter().map(|(kind, _)| *kind).collect::<Vec<_>>(), kinds);
            assert_eq!(heard.into_iter().map(|(_, message)| message).collect::<Vec<_>>(), said);
        }
    }
}
