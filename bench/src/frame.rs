//! WebSocket frames: intents are encoded once and patched, answers only inspected.

use std::io::Cursor;

use anyhow::{Context, Result, ensure};
use castellan_srd::wire::{Ack, Action, CharacterId, ClientFrame, Codec, Intent, ModifyHitpoints, RequestId, Version};
use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;

/// Prefix of every `applied` frame's payload: a map with one entry of that name.
pub const APPLIED: &[u8] = b"\x81\xa7applied";

/// Prefix of every `durable` frame's payload.
pub const DURABLE: &[u8] = b"\x81\xa7durable";

/// The operation code of a binary message, RFC 6455 section 5.2.
pub const BINARY: u8 = 2;
/// The operation code of a ping.
pub const PING: u8 = 9;
/// The operation code of a pong.
pub const PONG: u8 = 10;

/// Bytes of a MessagePack integer that needs 64 bits, without its marker.
const LONG_BYTES: usize = 8;
/// The masking key of all client frames. Any key costs the server the same work.
pub(crate) const MASK: [u8; 4] = [0x3a, 0xc5, 0x96, 0x51];

/// Smallest request id of the load. Its encoding is as long as that of nearly all real ids.
pub const FIRST_ID: u64 = 1 << 40;

/// Appends a masked frame.
pub fn push_masked(operation: u8, payload: &[u8], out: &mut Vec<u8>) {
    let header = FrameHeader { opcode: operation.into(), mask: Some(MASK), ..FrameHeader::default() };
    header.format(payload.len() as u64, out).expect("memory takes every byte");
    out.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, key)| byte ^ key));
}

/// A connection's intents: one frame encoded once, whose ids and sign are replaced.
///
/// The intents take and heal one hit point in turn, each based on the previous one.
#[derive(Debug, Clone)]
pub struct Intents {
    frame: Vec<u8>,
    payload_at: usize,
    id_at: usize,
    after_at: usize,
    delta_at: usize,
    next: u64,
}

impl Intents {
    /// Intents for one character with ids from `first` on. The first one is based on any state.
    ///
    /// # Errors
    ///
    /// Fails if the wire has changed and the frame cannot be patched.
    pub fn new(character: CharacterId, first: u64, ack: Option<Ack>) -> Result<Self> {
        ensure!(first >= FIRST_ID, "the id {first} is below {FIRST_ID}, so its encoding is too short");
        let [damage, healing] = [-1, 1].map(|delta| payload(character, FIRST_ID + 1, Some(FIRST_ID), delta, ack));
        let delta_at = damage
            .iter()
            .zip(&healing)
            .position(|(a, b)| a != b)
            .context("frames for damage and healing are the same")?;
        ensure!(
            damage.len() == healing.len() && damage[delta_at + 1..] == healing[delta_at + 1..],
            "frames for damage and healing differ in more than one byte"
        );
        let find = |number: u64| {
            let bytes = number.to_be_bytes();
            damage.windows(LONG_BYTES).position(|window| window == bytes).context("an id is not encoded in eight bytes")
        };
        let (id_at, after_at) = (find(FIRST_ID + 1)?, find(FIRST_ID)?);
        let mut frame = Vec::new();
        push_masked(BINARY, &damage, &mut frame);
        let payload_at = frame.len() - damage.len();
        Ok(Self { frame, payload_at, id_at, after_at, delta_at, next: first })
    }

    /// Bytes of an intent, without the frame's header.
    pub fn payload_bytes(&self) -> usize {
        self.frame.len() - self.payload_at
    }

    /// Appends the next intent, based on the previous one.
    pub fn push_next(&mut self, out: &mut Vec<u8>) {
        let (id, at) = (self.next, out.len() + self.payload_at);
        out.extend_from_slice(&self.frame);
        let payload = &mut out[at..];
        patch(payload, self.id_at, &id.to_be_bytes());
        patch(payload, self.after_at, &(id - 1).to_be_bytes());
        // MessagePack's -1 and 1.
        patch(payload, self.delta_at, if id.is_multiple_of(2) { &[0xff] } else { &[0x01] });
        self.next += 1;
    }

    /// Appends an intent based on any state, as the base of later ones.
    pub fn push_first(&mut self, character: CharacterId, ack: Option<Ack>, out: &mut Vec<u8>) {
        let delta = if self.next.is_multiple_of(2) { -1 } else { 1 };
        push_masked(BINARY, &payload(character, self.next, None, delta, ack), out);
        self.next += 1;
    }

    /// The id of the next intent.
    pub const fn next_id(&self) -> u64 {
        self.next
    }
}

/// Replaces bytes of a masked payload from `at` on.
pub(crate) fn patch(payload: &mut [u8], at: usize, bytes: &[u8]) {
    for (index, byte) in bytes.iter().enumerate() {
        payload[at + index] = byte ^ MASK[(at + index) % MASK.len()];
    }
}

fn payload(character: CharacterId, id: u64, after: Option<u64>, delta: i64, ack: Option<Ack>) -> Vec<u8> {
    let intent = Intent {
        id: RequestId::new(id),
        character,
        after: after.map(RequestId::new),
        expect: after.is_none().then_some(Version::new(0)),
        action: Action::ModifyHitpoints(ModifyHitpoints { delta, critical: false }),
        ack,
        traceparent: None,
        user: None,
    };
    let mut bytes = Vec::new();
    Codec::MessagePack.encode(&ClientFrame::Intent(intent), &mut bytes);
    bytes
}

/// A server's frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heard<'a> {
    /// RFC 6455's operation code.
    pub operation: u8,
    /// Its payload.
    pub payload: &'a [u8],
}

/// Takes the first frame off `bytes`; `None` if it is incomplete.
///
/// # Errors
///
/// Fails if its header breaks RFC 6455.
pub fn take<'a>(bytes: &mut &'a [u8]) -> Result<Option<Heard<'a>>> {
    let mut cursor = Cursor::new(*bytes);
    let Some((header, length)) = FrameHeader::parse(&mut cursor)? else { return Ok(None) };
    let behind = &bytes[usize::try_from(cursor.position())?..];
    let Some((payload, rest)) = behind.split_at_checked(usize::try_from(length)?) else { return Ok(None) };
    *bytes = rest;
    Ok(Some(Heard { operation: header.opcode.into(), payload }))
}

#[cfg(test)]
mod tests {
    use tokio_tungstenite::tungstenite::protocol::frame::Frame;
    use tokio_tungstenite::tungstenite::protocol::frame::coding::OpCode;

    use super::*;

    fn unmask(frame: &[u8]) -> Vec<u8> {
        let mut cursor = Cursor::new(frame);
        let (header, _) = FrameHeader::parse(&mut cursor).expect("a frame").expect("all of it");
        let mask = header.mask.expect("a client masks");
        let payload = &frame[cursor.position() as usize..];
        payload.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key).collect()
    }

    #[test]
    fn a_patched_intent_equals_an_encoded_one() {
        let character = CharacterId::from_uuid(uuid::Uuid::from_u128(7));
        for ack in [None, Some(Ack::Durable)] {
            let mut intents = Intents::new(character, FIRST_ID + 77, ack).expect("a frame that can be patched");
            for (id, delta) in [(FIRST_ID + 77, 1), (FIRST_ID + 78, -1), (FIRST_ID + 79, 1)] {
                let mut frame = Vec::new();
                intents.push_next(&mut frame);
                assert_eq!(unmask(&frame), payload(character, id, Some(id - 1), delta, ack));
                assert_eq!(unmask(&frame).len(), intents.payload_bytes());
            }
        }
    }

    #[test]
    fn frames_are_taken_whole_or_not_at_all() {
        for length in [0, 1, 125, 126, 700, 65_535, 65_536] {
            let payload = vec![7; length];
            let mut frame = Vec::new();
            Frame::message(payload.clone(), OpCode::from(BINARY), true)
                .format(&mut frame)
                .expect("memory takes every byte");
            let header = frame.len() - length;
            for cut in [0, 1, header.min(frame.len() - 1), frame.len() - 1] {
                let mut bytes = &frame[..cut];
                assert_eq!(take(&mut bytes).expect("no fault"), None);
                assert_eq!(bytes.len(), cut);
            }
            frame.push(0x55);
            let mut bytes = frame.as_slice();
            assert_eq!(take(&mut bytes).expect("no fault"), Some(Heard { operation: BINARY, payload: &payload }));
            assert_eq!(bytes, [0x55]);
        }
    }
}
