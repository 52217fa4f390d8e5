//! The messages of a link, and how they are written.
//!
//! A message is its length in bytes (4, without itself), its kind (1), the shard (1), the number of the attachment (8),
//! the socket (8), and a body that depends on the kind. Numbers are little-endian.

use std::net::IpAddr;

use castellan_cluster::word::Word;
use castellan_protocol::limits::CLIENT_FRAME_BYTES_MAX;
use castellan_protocol::{CharacterId, SessionId, UserId};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::SocketId;
use crate::storage::ShardId;

/// Bytes before the body, without the length.
const HEAD_BYTES: usize = 1 + 1 + 8 + 8;

/// Bytes of the length.
const LENGTH_BYTES: usize = 4;

/// Longest body, in bytes. Answers with states, and answers to requests, are longer than what clients send.
const BODY_BYTES_MAX: usize = 16 * 1_024 * 1_024;

/// Bytes of a W3C Trace Context of version 00.
pub const TRACEPARENT_BYTES: usize = 55;

/// The subject of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address {
    /// The shard.
    pub shard: ShardId,
    /// The number of the attachment.
    pub number: u64,
    /// The socket, or the request. 0 if it is about the whole attachment.
    pub socket: SocketId,
}

/// A message and what it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message<'a> {
    /// Its subject.
    pub address: Address,
    /// Its content.
    pub said: Said<'a>,
}

/// The content of a message. Gateways, and other nodes, say the first half, nodes the second.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said<'a> {
    /// Both say it when they have said nothing else for a while.
    Beat,

    /// Asks the node to serve the shard, whose newest epoch is this one as far as the gateway knows.
    Attach(u64),
    /// No more frames follow under this attachment.
    Marker,
    /// The gateway parts: it sends nothing more under this attachment, and hears `parted`.
    Part,
    /// Introduces a socket. The first message about it under each attachment.
    Hello(Box<Hello>),
    /// A frame of a client, as the client encoded it.
    Frame(&'a [u8]),
    /// A frame that the gateway traces, with its span as W3C Trace Context. From version 2 on.
    TracedFrame(&'a str, &'a [u8]),
    /// A request of a client over HTTP, and everything about it.
    Request(&'a [u8]),
    /// The socket has ended, or nobody waits for the answer to the request any more.
    Gone,
    /// True: the client does not read, so only answers are wanted. False: it has read everything.
    Slow(bool),
    /// Another node asks if the database is away for this one, too.
    AskDatabase,
    /// Another node can reach the database, finds that this one has renewed nothing, and is about to take its shards.
    Warning,
    /// The characters of a user, from another node that will give the shard to this one. The number is that of its
    /// attempt.
    Copy(&'a [u8]),
    /// Another node has given the shard to this one.
    Given(&'a [u8]),
    /// Another node keeps the shard after all.
    CalledOff,

    /// A word about the attachment.
    Word(Word<Uuid>),
    /// The first frame that a client gets.
    Welcome(&'a [u8]),
    /// The answer to one frame, encoded for the client.
    Answer(&'a [u8]),
    /// A frame for the client that answers nothing.
    Notice(&'a [u8]),
    /// A frame that was not applied, as it came.
    FrameBack(&'a [u8]),
    /// A request that did nothing, as it came.
    RequestBack(&'a [u8]),
    /// The answer to a request.
    Response(&'a [u8]),
    /// The gateway must close the socket with this code and reason. The node has forgotten it.
    Close(u16, &'a str),
    /// True: the database is away for this node, too. Before it takes a shard, it watches all heartbeats anew.
    Database(bool),
    /// The warning was heard: this node does not go on without the database any more. True: it may still answer clients.
    Warned(bool),
}

/// A socket, as its gateway introduces it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The session.
    pub session: SessionId,
    /// Its user.
    pub user: UserId,
    /// The name of its role.
    pub role: String,
    /// When its token expires, in milliseconds since the Unix epoch.
    pub expires_at_ms: i64,
    /// The client's address.
    pub address: IpAddr,
    /// The client's id, if it has one.
    pub client: Option<Uuid>,
    /// True if frames are JSON.
    pub is_json: bool,
    /// True if states are sent as changes.
    pub wants_changes: bool,
    /// True if the client waits for its welcome.
    pub is_new: bool,
    /// The characters in this shard that it watches, with their owners.
    pub watched: Vec<(CharacterId, UserId)>,
}

/// A message that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(&'static str);

/// The numbers of the kinds. They never change their meaning.
mod kind {
    pub(super) const BEAT: u8 = 0;
    pub(super) const ATTACH: u8 = 1;
    pub(super) const MARKER: u8 = 2;
    pub(super) const HELLO: u8 = 3;
    pub(super) const FRAME: u8 = 4;
    pub(super) const REQUEST: u8 = 5;
    pub(super) const GONE: u8 = 6;
    pub(super) const SLOW: u8 = 7;
    pub(super) const ASK_DATABASE: u8 = 8;
    pub(super) const COPY: u8 = 9;
    pub(super) const GIVEN: u8 = 10;
    pub(super) const CALLED_OFF: u8 = 11;
    pub(super) const WARNING: u8 = 12;
    pub(super) const PART: u8 = 13;
    pub(super) const TRACED_FRAME: u8 = 14;
    pub(super) const ATTACHED: u8 = 16;
    pub(super) const NOT_MINE: u8 = 17;
    pub(super) const LEAVING: u8 = 18;
    pub(super) const RESUME: u8 = 19;
    pub(super) const MOVED: u8 = 20;
    pub(super) const RELEASED: u8 = 21;
    pub(super) const WELCOME: u8 = 22;
    pub(super) const ANSWER: u8 = 23;
    pub(super) const NOTICE: u8 = 24;
    pub(super) const FRAME_BACK: u8 = 25;
    pub(super) const REQUEST_BACK: u8 = 26;
    pub(super) const RESPONSE: u8 = 27;
    pub(super) const CLOSE: u8 = 28;
    pub(super) const DATABASE: u8 = 29;
    pub(super) const WARNED: u8 = 30;
    pub(super) const PARTED: u8 = 31;
}

impl<'a> Message<'a> {
    /// A message about a shard, or about nothing.
    pub fn new(address: Address, said: Said<'a>) -> Self {
        Self { address, said }
    }

    /// A sign of life.
    pub fn beat() -> Self {
        Self::about_nothing(Said::Beat)
    }

    /// A message about no shard.
    pub fn about_nothing(said: Said<'a>) -> Self {
        Self { address: Address { shard: ShardId::new(0), number: 0, socket: 0 }, said }
    }

    /// Appends the message.
    pub fn write(&self, out: &mut Vec<u8>) {
        let begin = begin(out, self.said.kind(), self.address);
        match &self.said {
            Said::Beat
            | Said::Marker
            | Said::Part
            | Said::Gone
            | Said::AskDatabase
            | Said::Warning
            | Said::CalledOff
            | Said::Word(Word::NotMine | Word::Leaving | Word::Resume | Word::Parted) => {}
            Said::Attach(epoch) | Said::Word(Word::Attached { epoch } | Word::Moved { to: None, epoch }) => {
                out.extend_from_slice(&epoch.to_le_bytes());
            }
            Said::Word(Word::Moved { to: Some(process), epoch }) => {
                out.extend_from_slice(&epoch.to_le_bytes());
                out.extend_from_slice(process.as_bytes());
            }
            Said::Hello(hello) => {
                serde_json::to_writer(&mut *out, hello).expect("a hello has no map with keys other than strings");
            }
            Said::Frame(bytes)
            | Said::Request(bytes)
            | Said::Copy(bytes)
            | Said::Given(bytes)
            | Said::Welcome(bytes)
            | Said::Answer(bytes)
            | Said::Notice(bytes)
            | Said::FrameBack(bytes)
            | Said::RequestBack(bytes)
            | Said::Response(bytes) => out.extend_from_slice(bytes),
            Said::TracedFrame(traceparent, frame) => {
                debug_assert_eq!(traceparent.len(), TRACEPARENT_BYTES);
                out.extend_from_slice(traceparent.as_bytes());
                out.extend_from_slice(frame);
            }
            Said::Slow(is) | Said::Database(is) | Said::Warned(is) => out.push(u8::from(*is)),
            Said::Close(code, reason) => {
                out.extend_from_slice(&code.to_le_bytes());
                out.extend_from_slice(reason.as_bytes());
            }
        }
        end(out, begin);
    }

    /// Reads the first message. Returns it with the bytes that it takes, or `None` if the rest of it has not arrived.
    ///
    /// # Errors
    ///
    /// The bytes are no message of this protocol. Nothing after them can be read either.
    pub fn read(bytes: &'a [u8]) -> Result<Option<(Self, usize)>, Malformed> {
        let Some((length, rest)) = bytes.split_first_chunk::<LENGTH_BYTES>() else { return Ok(None) };
        let length = u32::from_le_bytes(*length) as usize;
        if length < HEAD_BYTES {
            return Err(Malformed("a message is shorter than its head"));
        }
        if length > HEAD_BYTES + BODY_BYTES_MAX {
            return Err(Malformed("a message is longer than any may be"));
        }
        let Some(message) = rest.get(..length) else { return Ok(None) };
        let (head, body) = message.split_first_chunk::<HEAD_BYTES>().expect("the length was checked");
        let [kind, shard, numbers @ ..] = head;
        let (number, socket) = numbers.split_first_chunk::<8>().expect("sixteen bytes");
        let socket = socket.try_into().expect("eight bytes are left");
        let address = Address {
            shard: ShardId::new(u16::from(*shard)),
            number: u64::from_le_bytes(*number),
            socket: u64::from_le_bytes(socket),
        };
        Ok(Some((Self { address, said: Said::read(*kind, body)? }, LENGTH_BYTES + length)))
    }
}

impl<'a> Said<'a> {
    fn kind(&self) -> u8 {
        match self {
            Self::Beat => kind::BEAT,
            Self::Attach(_) => kind::ATTACH,
            Self::Marker => kind::MARKER,
            Self::Part => kind::PART,
            Self::Hello(_) => kind::HELLO,
            Self::Frame(_) => kind::FRAME,
            Self::TracedFrame(..) => kind::TRACED_FRAME,
            Self::Request(_) => kind::REQUEST,
            Self::Gone => kind::GONE,
            Self::Slow(_) => kind::SLOW,
            Self::AskDatabase => kind::ASK_DATABASE,
            Self::Copy(_) => kind::COPY,
            Self::Given(_) => kind::GIVEN,
            Self::CalledOff => kind::CALLED_OFF,
            Self::Database(_) => kind::DATABASE,
            Self::Warning => kind::WARNING,
            Self::Warned(_) => kind::WARNED,
            Self::Word(Word::Attached { .. }) => kind::ATTACHED,
            Self::Word(Word::NotMine) => kind::NOT_MINE,
            Self::Word(Word::Leaving) => kind::LEAVING,
            Self::Word(Word::Resume) => kind::RESUME,
            Self::Word(Word::Parted) => kind::PARTED,
            Self::Word(Word::Moved { to: Some(_), .. }) => kind::MOVED,
            Self::Word(Word::Moved { to: None, .. }) => kind::RELEASED,
            Self::Welcome(_) => kind::WELCOME,
            Self::Answer(_) => kind::ANSWER,
            Self::Notice(_) => kind::NOTICE,
            Self::FrameBack(_) => kind::FRAME_BACK,
            Self::RequestBack(_) => kind::REQUEST_BACK,
            Self::Response(_) => kind::RESPONSE,
            Self::Close(..) => kind::CLOSE,
        }
    }

    fn read(kind: u8, body: &'a [u8]) -> Result<Self, Malformed> {
        let nothing = |said| if body.is_empty() { Ok(said) } else { Err(Malformed("a message has a body too many")) };
        let epoch = || {
            let (epoch, rest) = body.split_first_chunk::<8>().ok_or(Malformed("an epoch has eight bytes"))?;
            Ok((u64::from_le_bytes(*epoch), rest))
        };
        Ok(match kind {
            kind::BEAT => return nothing(Self::Beat),
            kind::ATTACH => Self::Attach(epoch()?.0),
            kind::MARKER => return nothing(Self::Marker),
            kind::PART => return nothing(Self::Part),
            kind::HELLO => Self::Hello(serde_json::from_slice(body).map_err(|_| Malformed("a hello cannot be read"))?),
            kind::FRAME if body.len() > CLIENT_FRAME_BYTES_MAX => {
                return Err(Malformed("a frame is longer than clients may send"));
            }
            kind::FRAME => Self::Frame(body),
            kind::TRACED_FRAME if body.len() > TRACEPARENT_BYTES + CLIENT_FRAME_BYTES_MAX => {
                return Err(Malformed("a frame is longer than clients may send"));
            }
            kind::TRACED_FRAME => {
                let (traceparent, frame) =
                    body.split_first_chunk::<TRACEPARENT_BYTES>().ok_or(Malformed("a trace context has 55 bytes"))?;
                let traceparent = std::str::from_utf8(traceparent);
                Self::TracedFrame(traceparent.map_err(|_| Malformed("a trace context is not ASCII"))?, frame)
            }
            kind::REQUEST => Self::Request(body),
            kind::GONE => return nothing(Self::Gone),
            kind::SLOW => Self::Slow(body == [1]),
            kind::ASK_DATABASE => return nothing(Self::AskDatabase),
            kind::COPY => Self::Copy(body),
            kind::GIVEN => Self::Given(body),
            kind::CALLED_OFF => return nothing(Self::CalledOff),
            kind::DATABASE => Self::Database(body == [1]),
            kind::WARNING => return nothing(Self::Warning),
            kind::WARNED => Self::Warned(body != [0]),
            kind::ATTACHED => Self::Word(Word::Attached { epoch: epoch()?.0 }),
            kind::NOT_MINE => return nothing(Self::Word(Word::NotMine)),
            kind::LEAVING => return nothing(Self::Word(Word::Leaving)),
            kind::RESUME => return nothing(Self::Word(Word::Resume)),
            kind::PARTED => return nothing(Self::Word(Word::Parted)),
            kind::MOVED => {
                let (epoch, process) = epoch()?;
                let process = Uuid::from_slice(process).map_err(|_| Malformed("a process has sixteen bytes"))?;
                Self::Word(Word::Moved { to: Some(process), epoch })
            }
            kind::RELEASED => Self::Word(Word::Moved { to: None, epoch: epoch()?.0 }),
            kind::WELCOME => Self::Welcome(body),
            kind::ANSWER => Self::Answer(body),
            kind::NOTICE => Self::Notice(body),
            kind::FRAME_BACK => Self::FrameBack(body),
            kind::REQUEST_BACK => Self::RequestBack(body),
            kind::RESPONSE => Self::Response(body),
            kind::CLOSE => {
                let (code, reason) = body.split_first_chunk::<2>().ok_or(Malformed("a code has two bytes"))?;
                let reason = std::str::from_utf8(reason).map_err(|_| Malformed("a reason is not UTF-8"))?;
                Self::Close(u16::from_le_bytes(*code), reason)
            }
            _ => return Err(Malformed("a message has an unknown kind")),
        })
    }
}

/// The kind of a message that is written in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InPlace {
    /// [`Said::Welcome`].
    Welcome,
    /// [`Said::Answer`].
    Answer,
    /// [`Said::Notice`].
    Notice,
}

/// Begins a message whose body is appended by others. Returns what [`end`] needs.
pub(super) fn begin_in_place(out: &mut Vec<u8>, what: InPlace, address: Address) -> usize {
    let kind = match what {
        InPlace::Welcome => kind::WELCOME,
        InPlace::Answer => kind::ANSWER,
        InPlace::Notice => kind::NOTICE,
    };
    begin(out, kind, address)
}

/// True if nothing was appended since it began.
pub(super) fn is_empty(out: &[u8], begin: usize) -> bool {
    out.len() == begin + LENGTH_BYTES + HEAD_BYTES
}

fn begin(out: &mut Vec<u8>, kind: u8, address: Address) -> usize {
    let begin = out.len();
    out.extend_from_slice(&[0; LENGTH_BYTES]);
    out.push(kind);
    out.push(u8::try_from(address.shard.number()).expect("there are 256 shards"));
    out.extend_from_slice(&address.number.to_le_bytes());
    out.extend_from_slice(&address.socket.to_le_bytes());
    begin
}

/// Writes the length of the message that began there.
pub(super) fn end(out: &mut [u8], begin: usize) {
    let length = u32::try_from(out.len() - begin - LENGTH_BYTES).expect("a message fits into four gigabytes");
    out[begin..begin + LENGTH_BYTES].copy_from_slice(&length.to_le_bytes());
}

#[cfg(test)]
mod tests;
