//! The WebSocket: connects, and converts between frames and messages.

use std::time::Duration;

use castellan_protocol::limits::SERVER_FRAME_BYTES_MAX;
use castellan_protocol::{Action, ClientFrame, Codec, DecodeError, ServerFrame};
use serde::de::DeserializeOwned;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::ClientRequestBuilder;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};
use uuid::Uuid;

use crate::base_url::{BadUrl, BaseUrl};
use crate::reconnect::Ended;
use crate::stream::{Stream, Trust};

/// Time limit for the TCP and the WebSocket handshake together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);

/// A WebSocket to a server.
pub type Socket = WebSocketStream<Stream>;

/// Options of a connection.
#[derive(Debug, Clone, Copy)]
pub struct SocketOptions {
    /// The encoding of frames.
    pub codec: Codec,
    /// Identifies this run of the client: a newer connection with the same id replaces an older one.
    pub client: Uuid,
    /// Read buffer, in bytes. A small one is faster, because every read first fills it with zeros.
    pub read_buffer_bytes: usize,
}

/// Why a connection failed.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The address is invalid.
    #[error("{0}")]
    BadUrl(#[from] BadUrl),
    /// The server refused the upgrade.
    #[error("the server answered the upgrade with status {status}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The value of `Retry-After`.
        retry_after: Option<Duration>,
    },
    /// The server could not be reached.
    #[error("cannot reach the server: {0}")]
    Unreachable(String),
}

impl ConnectError {
    /// The error as [`crate::reconnect::Backoff`] needs it.
    pub fn ended(&self) -> Ended {
        match self {
            Self::BadUrl(_) => Ended::Refused { status: 400, retry_after: None },
            Self::Refused { status, retry_after } => Ended::Refused { status: *status, retry_after: *retry_after },
            Self::Unreachable(_) => Ended::Lost { retry_after: None },
        }
    }
}

/// Opens the WebSocket at `url` for the session of `token`. A `wss` URL needs a certificate that is trusted.
///
/// # Errors
///
/// [`ConnectError`]; no connection stays open.
pub async fn connect(url: &str, token: &str, options: SocketOptions, trust: &Trust) -> Result<Socket, ConnectError> {
    let target = BaseUrl::parse(url, "ws://", "wss://")?;
    let unreachable = |error: &dyn std::fmt::Display| ConnectError::Unreachable(error.to_string());
    let uri = format!("ws://{}{}?client={}", target.authority(), target.prefix(), options.client);
    let uri = uri.parse().map_err(|_| BadUrl(format!("{url}: not a URL")))?;
    let request = ClientRequestBuilder::new(uri)
        .with_header("Authorization", format!("Bearer {token}"))
        .with_sub_protocol(options.codec.subprotocol());
    let config = WebSocketConfig::default()
        .read_buffer_size(options.read_buffer_bytes)
        .write_buffer_size(4 * 1024)
        .max_message_size(Some(SERVER_FRAME_BYTES_MAX))
        .max_frame_size(Some(SERVER_FRAME_BYTES_MAX));
    let attempt = async {
        let stream = Stream::connect(&target, trust).await.map_err(|error| unreachable(&error))?;
        match tokio_tungstenite::client_async_with_config(request, stream, Some(config)).await {
            Ok((socket, _)) => Ok(socket),
            Err(Error::Http(response)) => {
                let seconds = response.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
                let retry_after = seconds.map(Duration::from_secs);
                Err(ConnectError::Refused { status: response.status().as_u16(), retry_after })
            }
            Err(error) => Err(unreachable(&error)),
        }
    };
    tokio::time::timeout(CONNECT_TIMEOUT, attempt).await.map_err(|error| unreachable(&error))?
}

/// Encodes a frame as a message.
pub fn encode_message<A: Action>(codec: Codec, frame: &ClientFrame<A>) -> Message {
    let mut bytes = Vec::with_capacity(160);
    codec.encode(frame, &mut bytes);
    match codec {
        Codec::MessagePack => Message::binary(bytes),
        Codec::Json => Message::text(String::from_utf8(bytes).expect("JSON is text")),
    }
}

/// Decodes the frame in a message. Returns `None` for pings, pongs and unknown kinds of frames.
///
/// # Errors
///
/// [`DecodeError`] if the server sent something that the wire does not allow.
pub fn decode_message<C: DeserializeOwned>(
    codec: Codec,
    message: &Message,
) -> Result<Option<ServerFrame<C>>, DecodeError> {
    match message {
        Message::Text(text) => codec.decode_server_frame(text.as_bytes()),
        Message::Binary(bytes) => codec.decode_server_frame(bytes),
        _ => Ok(None),
    }
}
