//! The intents of a game server's connection: each for a random character, based on any state.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use castellan_srd::wire::{
    Action, CharacterId, ClientFrame, Codec, Intent, ModifyHitpoints, RequestId, UserId, Version,
};
use rand::RngExt;
use uuid::Uuid;
use uuid::fmt::Hyphenated;

use crate::frame::{APPLIED, BINARY, FIRST_ID, patch, push_masked};

/// The bytes between the start of an `applied` frame's fields and its id, which is encoded in eight bytes.
const ID_KEY: &[u8] = b"\xa2id\xcf";

/// A character and its owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owned {
    /// The owner.
    pub user: UserId,
    /// The character.
    pub character: CharacterId,
}

/// A connection's intents: one frame encoded once, whose id, character and owner are replaced.
///
/// Each intent heals one hit point, which is valid any number of times and in any order.
#[derive(Debug, Clone)]
pub struct Errands {
    frame: Vec<u8>,
    payload_at: usize,
    id_at: usize,
    character_at: usize,
    user_at: usize,
    next: u64,
    targets: Arc<[Owned]>,
}

impl Errands {
    /// Intents for `targets` (at least one), with ids from `first` on.
    ///
    /// # Errors
    ///
    /// Fails if the wire has changed and the frame cannot be patched.
    pub fn new(targets: Arc<[Owned]>, first: u64) -> Result<Self> {
        ensure!(first >= FIRST_ID, "the id {first} is below {FIRST_ID}, so its encoding is too short");
        ensure!(!targets.is_empty(), "a game server needs at least one target");
        let (character, user) = (Uuid::from_u128(u128::MAX - 1), Uuid::from_u128(u128::MAX - 2));
        let payload = payload(character, user);
        let find = |bytes: &[u8]| payload.windows(bytes.len()).position(|window| window == bytes);
        let id_at = find(&FIRST_ID.to_be_bytes()).context("the id of an intent is not encoded in eight bytes")?;
        let [character_at, user_at] = [character, user].map(|id| find(id.hyphenated().to_string().as_bytes()));
        let (character_at, user_at) =
            character_at.zip(user_at).context("the ids of a frame are not strings of the expected form")?;
        let mut frame = Vec::new();
        push_masked(BINARY, &payload, &mut frame);
        let payload_at = frame.len() - payload.len();
        Ok(Self { frame, payload_at, id_at, character_at, user_at, next: first, targets })
    }

    /// Bytes of an intent, without the frame's header.
    pub fn payload_bytes(&self) -> usize {
        self.frame.len() - self.payload_at
    }

    /// Appends the next intent.
    pub fn push_next(&mut self, out: &mut Vec<u8>) {
        let at = out.len() + self.payload_at;
        let target = self.targets[rand::rng().random_range(0..self.targets.len())];
        out.extend_from_slice(&self.frame);
        let payload = &mut out[at..];
        let mut text = [0; Hyphenated::LENGTH];
        patch(payload, self.id_at, &self.next.to_be_bytes());
        patch(payload, self.character_at, target.character.uuid().hyphenated().encode_lower(&mut text).as_bytes());
        patch(payload, self.user_at, target.user.uuid().hyphenated().encode_lower(&mut text).as_bytes());
        self.next += 1;
    }
}

/// The id of the intent that an `applied` frame answers.
///
/// Answers for different characters may overtake each other, because loading a character takes time.
///
/// # Errors
///
/// Fails if the frame's first field is not an id of eight bytes.
pub fn answered_id(payload: &[u8]) -> Result<u64> {
    // One byte in between holds the number of fields.
    let fields = payload.get(APPLIED.len() + 1..).context("an answer has no fields")?;
    let id = fields
        .strip_prefix(ID_KEY)
        .and_then(|rest| rest.first_chunk::<8>())
        .context("an answer does not begin with its id")?;
    Ok(u64::from_be_bytes(*id))
}

fn payload(character: Uuid, user: Uuid) -> Vec<u8> {
    let intent = Intent {
        id: RequestId::new(FIRST_ID),
        character: CharacterId::from_uuid(character),
        after: None,
        expect: Some(Version::new(0)),
        action: Action::ModifyHitpoints(ModifyHitpoints { delta: 1, critical: false }),
        ack: None,
        traceparent: None,
        user: Some(UserId::from_uuid(user)),
    };
    let mut bytes = Vec::new();
    Codec::MessagePack.encode(&ClientFrame::Intent(intent), &mut bytes);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::MASK;

    #[test]
    fn a_patched_frame_equals_an_encoded_one() {
        let target = Owned {
            user: UserId::from_uuid(Uuid::from_u128(7)),
            character: CharacterId::from_uuid(Uuid::from_u128(8)),
        };
        let mut errands = Errands::new(Arc::from([target]), FIRST_ID + 5).expect("a frame that can be patched");
        let mut out = Vec::new();
        errands.push_next(&mut out);
        let second = out.len();
        errands.push_next(&mut out);
        for (frame, id) in [(&out[..second], FIRST_ID + 5), (&out[second..], FIRST_ID + 6)] {
            let masked = &frame[frame.len() - errands.payload_bytes()..];
            let bytes: Vec<u8> = masked.iter().zip(MASK.iter().cycle()).map(|(byte, key)| byte ^ key).collect();
            let Ok(ClientFrame::Intent(intent)) = Codec::MessagePack.decode_client_frame(&bytes) else {
                panic!("not an intent");
            };
            assert_eq!(intent.id, RequestId::new(id));
            assert_eq!((intent.user, intent.character), (Some(target.user), target.character));
        }
    }

    #[test]
    fn the_id_of_an_answer_is_found() {
        let answer = [APPLIED, b"\x83", ID_KEY, &(FIRST_ID + 9).to_be_bytes(), b"\xa9character"].concat();
        assert_eq!(answered_id(&answer).ok(), Some(FIRST_ID + 9));
        assert!(answered_id(&answer[..answer.len() - 12]).is_err());
    }
}
