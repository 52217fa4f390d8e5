//! Bounds that both sides must know.

/// The wire version, as sent in `welcome`.
pub const PROTOCOL_VERSION: u32 = 1;

/// Largest client message accepted, in bytes, checked before decoding. Above it the socket closes with 1009.
///
/// Many times the largest honest frame: it bounds what one hostile socket can make the server allocate.
pub const CLIENT_FRAME_BYTES_MAX: usize = 16 * 1024;

/// Server messages stay below this size, in bytes, so that a client can use a fixed buffer.
pub const SERVER_FRAME_BYTES_MAX: usize = 64_000;

/// Largest part of a frame for the parcels, offers and waiting goods of a character, in bytes of MessagePack: then every
/// character fits a frame.
pub const BOOKS_BYTES_MAX: usize = 3_800;

/// Deepest nesting of maps and lists that is decoded from MessagePack, in levels.
///
/// For JSON, serde_json's own bound of 127 applies. Both only protect the stack from a deeply nested message.
pub const DEPTH_MAX: usize = 32;

/// Intents of one connection that may be unanswered at the same time.
pub const IN_FLIGHT_MAX: usize = 64;

/// Request ids kept in a character's own row. A repeated intent is recognised while its id is among them.
pub const REQUEST_IDS_MAX: usize = 64;

/// Largest integer on the wire: 2^53 - 1, the largest that JavaScript holds exactly.
pub const INTEGER_MAX: i64 = (1 << 53) - 1;

/// Characters that one user may have.
pub const CHARACTERS_PER_USER_MAX: usize = 32;

/// Open sockets that one session may have.
pub const SOCKETS_PER_SESSION_MAX: usize = 4;

/// Control frames, fragments, and malformed or unknown frames that one connection may send per second, and in a burst on
/// top of that.
pub const CHATTER_FRAMES_PER_SECOND: u32 = 1_000;

/// Frames above the rate that are answered; ten of them are forgotten each second. One more ends the connection.
pub const FRAMES_OVER_RATE_MAX: u32 = 1_000;

/// How long a client may leave its answers unread, in seconds. Then the socket closes with 4403.
pub const SLOW_CONSUMER_SECONDS: u64 = 10;

/// How long a used refresh token still returns the present pair, in seconds. Helps a client that lost the answer.
pub const REFRESH_REPEAT_SECONDS: u32 = 30;

/// Longest name of an account, in Unicode scalar values, after trimming and NFC.
pub const USERNAME_SCALARS_MAX: usize = 64;

/// Longest password, in bytes: long enough for a phrase, short enough that hashing it costs no more than another.
pub const PASSWORD_BYTES_MAX: usize = 1024;

/// Shortest new password, in Unicode scalar values, after it is prepared. Source: NIST SP 800-63B, section 5.1.1.2.
pub const PASSWORD_SCALARS_MIN: usize = 8;

/// The subprotocol whose frames are MessagePack in binary messages.
pub const SUBPROTOCOL_MSGPACK: &str = "castellan.v1.msgpack";

/// The subprotocol whose frames are JSON in text messages.
pub const SUBPROTOCOL_JSON: &str = "castellan.v1.json";

/// The prefix of a browser's token in the list of subprotocols.
pub const SUBPROTOCOL_BEARER_PREFIX: &str = "bearer.";

const _: () = assert!(CLIENT_FRAME_BYTES_MAX < SERVER_FRAME_BYTES_MAX);
const _: () =
    assert!(IN_FLIGHT_MAX <= REQUEST_IDS_MAX, "every intent that a client may send again must still be recognised");
