//! The wire contract of Castellan, version 1, as plain data, and its codec. `docs/protocol.md` is the contract.
//!
//! A client holds one WebSocket and exchanges frames: maps with exactly one entry, the frame's kind and that kind's
//! fields. A client sends [`ClientFrame`]s and gets [`ServerFrame`]s; [`Codec`] turns both into the bytes of one
//! WebSocket message, as MessagePack or as JSON. HTTP bodies of the same contract are in [`http`]. A client may ask
//! for smaller answers, which carry only the changes: [`reply`].
//!
//! The protocol knows no game: frames are generic over a game's actions and states ([`GameTypes`]).
//!
//! Decoding is strict if a mistake would otherwise go unnoticed: actions refuse unknown keys. It is lenient so that old
//! and new programs work together: frames ignore unknown keys, and clients ignore unknown kinds and codes.

mod action;
mod character;
mod close;
mod codec;
mod frame;
pub mod http;
mod id;
pub mod limits;
mod outline;
pub mod pack;
mod rejection;
pub mod reply;
mod server_frame;
mod value;
pub mod wire;

pub use action::{Action, CharacterOf, GameTypes, KindFields};
pub use character::Character;
pub use close::CloseCode;
pub use codec::{Codec, FrameError, decode_action};
pub use frame::{Ack, ClientFrame, Fetch, Intent, Ping, Refresh, Unwatch, Watch};
pub use id::{CharacterId, ParseIdError, RequestId, SessionId, UserId, Version};
pub use rejection::RejectionCode;
pub use reply::{AppliedReply, Changes, REPLY_CHANGES, ReplyFrame, StateReply, Told, merge};
pub use server_frame::*;
pub use value::{DecodeError, decode_value};
