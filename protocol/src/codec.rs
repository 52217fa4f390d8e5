//! Encodes and decodes frames, in the two encodings of the wire.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::action::Action;
use crate::frame::ClientFrame;
use crate::id::RequestId;
use crate::limits::{DEPTH_MAX, INTEGER_MAX, SUBPROTOCOL_JSON, SUBPROTOCOL_MSGPACK};
use crate::outline::Outline;
use crate::rejection::RejectionCode;
use crate::reply::ReplyFrame;
use crate::server_frame::ServerFrame;
use crate::value::{DecodeError, decode_value, shorten};
use crate::wire::Cursor;

/// How the frames of a connection are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    /// Binary messages. The default for a connection that offers no subprotocol.
    MessagePack,
    /// Text messages.
    Json,
}

/// The problem with a client's message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The client broke the contract; the socket closes with 4500.
    #[error("{0}")]
    NotAFrame(String),
    /// The frame is refused; the connection goes on.
    #[error("{code}: {message}")]
    Rejected {
        /// The frame's request id, if it could be read.
        id: Option<RequestId>,
        /// `malformed`, `unknown_action`, `unknown_frame` or `version_required`.
        code: RejectionCode,
        /// The reason, for a person.
        message: String,
    },
}

impl Codec {
    /// The codec of a subprotocol.
    pub fn from_subprotocol(name: &str) -> Option<Self> {
        match name {
            SUBPROTOCOL_MSGPACK => Some(Self::MessagePack),
            SUBPROTOCOL_JSON => Some(Self::Json),
            _ => None,
        }
    }

    /// The subprotocol of a codec.
    pub const fn subprotocol(self) -> &'static str {
        match self {
            Self::MessagePack => SUBPROTOCOL_MSGPACK,
            Self::Json => SUBPROTOCOL_JSON,
        }
    }

    /// Reads a client's message and makes the checks that need no character.
    ///
    /// # Errors
    ///
    /// [`FrameError`] says whether the frame is refused or the connection ends.
    pub fn decode_client_frame<A: Action>(self, message: &[u8]) -> Result<ClientFrame<A>, FrameError> {
        if let Some(frame) = self.decode_client_frame_quickly(message) {
            return check(frame);
        }
        match self.read(message) {
            Ok(frame) => check(frame),
            Err(_) => Err(self.explain::<A>(message)),
        }
    }

    /// Reads a client's message that is plain MessagePack: known keys given once, integers as integers, no nil.
    ///
    /// `None` does not mean that the message is bad: [`Codec::decode`] then reads it more slowly, or says why it
    /// cannot. Both read a message as the same value. This skips the checks of a zero `id` and
    /// of an intent's `after` and `expect`.
    pub fn decode_client_frame_quickly<A: Action>(self, message: &[u8]) -> Option<ClientFrame<A>> {
        match self {
            Self::MessagePack => Cursor::read_whole(message),
            Self::Json => None,
        }
    }

    /// Reads a server's message. Returns `None` for an unknown kind of frame, which this program ignores.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] if the message is not a frame, or is a frame of a known kind that cannot be read.
    pub fn decode_server_frame<C: DeserializeOwned>(
        self,
        message: &[u8],
    ) -> Result<Option<ServerFrame<C>>, DecodeError> {
        self.read_known(message, ServerFrame::<C>::KINDS)
    }

    /// Like [`Codec::decode_server_frame`], for a connection that asked for changes.
    ///
    /// # Errors
    ///
    /// As [`Codec::decode_server_frame`].
    pub fn decode_reply_frame<C: DeserializeOwned>(self, message: &[u8]) -> Result<Option<ReplyFrame<C>>, DecodeError> {
        self.read_known(message, ReplyFrame::<C>::KINDS)
    }

    fn read_known<T: DeserializeOwned>(self, message: &[u8], kinds: &[&str]) -> Result<Option<T>, DecodeError> {
        let error = match self.read(message) {
            Ok(frame) => return Ok(Some(frame)),
            Err(error) => error,
        };
        match self.read::<Outline>(message).as_ref().map(Outline::only_entry) {
            Ok(Some((kind, _))) if !kinds.contains(&kind) => Ok(None),
            _ => Err(DecodeError::new(error)),
        }
    }

    /// Reads any one value of the wire. Bytes behind the value are an error.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] that says why the value could not be read.
    pub fn decode<T: DeserializeOwned>(self, message: &[u8]) -> Result<T, DecodeError> {
        self.read(message).map_err(|error| DecodeError::new(error.to_string()))
    }

    /// Appends a value to `out`. Allocates nothing if `out` has room.
    ///
    /// Writing into memory cannot fail, and the wire's types hold nothing that an encoding refuses.
    pub fn encode<T: Serialize + ?Sized>(self, value: &T, out: &mut Vec<u8>) {
        match self {
            Self::MessagePack => rmp_serde::encode::write_named(out, value).expect("a wire value fits MessagePack"),
            Self::Json => serde_json::to_writer(out, value).expect("a wire value fits JSON"),
        }
    }

    fn read<'de, T: Deserialize<'de>>(self, message: &'de [u8]) -> Result<T, String> {
        match self {
            Self::MessagePack => {
                let mut reader = rmp_serde::Deserializer::from_read_ref(message);
                reader.set_max_depth(DEPTH_MAX);
                let value = T::deserialize(&mut reader).map_err(|error| error.to_string())?;
                // The reader does not tell how many bytes are left. Only at the end does it find no further marker.
                match <()>::deserialize(&mut reader) {
                    Err(rmp_serde::decode::Error::InvalidMarkerRead(_)) => Ok(value),
                    _ => Err(TRAILING.to_owned()),
                }
            }
            Self::Json => {
                let mut reader = serde_json::Deserializer::from_slice(message);
                let value = T::deserialize(&mut reader).map_err(|error| error.to_string())?;
                reader.end().map(|()| value).map_err(|error| error.to_string())
            }
        }
    }

    /// Reads a bad message again, slowly, to find out what is wrong with it.
    fn explain<A: Action>(self, message: &[u8]) -> FrameError {
        let outline = match self.read::<Outline>(message) {
            Ok(outline) => outline,
            Err(error) => return FrameError::NotAFrame(format!("not one {} value: {error}", self.name())),
        };
        let Some((kind, fields)) = outline.only_entry() else {
            return FrameError::NotAFrame("a frame must be a map with exactly one entry".to_owned());
        };
        let id = match fields.get("id") {
            Some(Outline::Integer(id)) if (1..=INTEGER_MAX).contains(id) => Some(RequestId::new(id.unsigned_abs())),
            _ => None,
        };
        if !ClientFrame::<A>::KINDS.contains(&kind) {
            let message = format!("unknown frame `{}`", shorten(kind));
            return FrameError::Rejected { id, code: RejectionCode::UNKNOWN_FRAME, message };
        }
        if fields.entries().is_none() {
            return FrameError::NotAFrame(format!("the fields of `{kind}` must be a map"));
        }
        if let Some((action, _)) = fields.get("action").and_then(Outline::only_entry)
            && kind == "intent"
            && !A::KINDS.contains(&action)
        {
            let message = format!("unknown action `{}`", shorten(action));
            return FrameError::Rejected { id, code: RejectionCode::UNKNOWN_ACTION, message };
        }
        FrameError::Rejected { id, code: RejectionCode::MALFORMED, message: self.complaint::<A>(message) }
    }

    /// The reader's complaint about a frame, with the path to the field.
    fn complaint<A: Action>(self, message: &[u8]) -> String {
        let complaint = match self {
            Self::MessagePack => {
                let mut reader = rmp_serde::Deserializer::from_read_ref(message);
                reader.set_max_depth(DEPTH_MAX);
                serde_path_to_error::deserialize::<_, ClientFrame<A>>(&mut reader).err().map(|error| error.to_string())
            }
            Self::Json => {
                let mut reader = serde_json::Deserializer::from_slice(message);
                serde_path_to_error::deserialize::<_, ClientFrame<A>>(&mut reader).err().map(|error| error.to_string())
            }
        };
        shorten(&complaint.unwrap_or_else(|| TRAILING.to_owned())).to_owned()
    }

    const fn name(self) -> &'static str {
        match self {
            Self::MessagePack => "MessagePack",
            Self::Json => "JSON",
        }
    }
}

const TRAILING: &str = "extra bytes after the value";

/// Checks the rules that the types do not express.
fn check<A>(frame: ClientFrame<A>) -> Result<ClientFrame<A>, FrameError> {
    let id = frame.id();
    if id == Some(RequestId::new(0)) {
        let message = "id: must be an integer of at least 1".to_owned();
        return Err(FrameError::Rejected { id: None, code: RejectionCode::MALFORMED, message });
    }
    if let ClientFrame::Intent(intent) = &frame
        && intent.after.is_some() == intent.expect.is_some()
    {
        let message = "an intent needs exactly one of `after` and `expect`".to_owned();
        return Err(FrameError::Rejected { id, code: RejectionCode::VERSION_REQUIRED, message });
    }
    Ok(frame)
}

/// Reads an action that came as JSON. Errors carry the codes of the wire.
///
/// # Errors
///
/// `unknown_action` or `malformed`, with a sentence that names the field.
pub fn decode_action<A: Action>(action: &serde_json::Value) -> Result<A, (RejectionCode, String)> {
    let outline = Outline::deserialize(action).map_err(|error| (RejectionCode::MALFORMED, error.to_string()))?;
    if let Some((kind, _)) = outline.only_entry()
        && !A::KINDS.contains(&kind)
    {
        return Err((RejectionCode::UNKNOWN_ACTION, format!("unknown action `{}`", shorten(kind))));
    }
    decode_value(action).map_err(|error| (RejectionCode::MALFORMED, error.to_string()))
}
