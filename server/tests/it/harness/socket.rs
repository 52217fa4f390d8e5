//! A plain WebSocket client that speaks frames of either subprotocol and checks the guarantees that every answer
//! must keep.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use castellan_srd::wire::Codec;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::error::Error;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::{Message, WebSocket, client};

/// How long the tests wait for a message before they say that none comes.
const PATIENCE: Duration = Duration::from_secs(20);

/// One connection; its calls block.
pub(crate) struct Socket {
    socket: WebSocket<TcpStream>,
    codec: Codec,
    /// The first frame's fields.
    pub(crate) welcome: Value,
    next_id: u64,
    /// Of the message that brought the last frame.
    pub(crate) last_bytes: usize,
}

impl Socket {
    /// Connects and takes the welcome.
    pub(crate) fn open(server: SocketAddr, token: &str) -> Self {
        Self::open_as(server, token, Codec::Json, "")
    }

    /// Connects with this codec and query and takes the welcome.
    pub(crate) fn open_as(server: SocketAddr, token: &str, codec: Codec, query: &str) -> Self {
        let bearer = format!("Bearer {token}");
        let mut socket = Self::bare(server, &bearer, codec.subprotocol(), query).expect("an upgrade");
        let (kind, welcome) = socket.next();
        assert_eq!(kind, "welcome");
        socket.welcome = welcome;
        socket
    }

    /// Connects and takes nothing. `query` begins with `?` where there is one.
    pub(crate) fn bare(server: SocketAddr, authorization: &str, subprotocol: &str, query: &str) -> Result<Self, Error> {
        let stream = TcpStream::connect(server)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        let mut request = format!("ws://{server}/socket{query}").into_client_request()?;
        let headers = request.headers_mut();
        headers.insert("Authorization", HeaderValue::from_str(authorization)?);
        headers.insert("Sec-WebSocket-Protocol", HeaderValue::from_str(subprotocol)?);
        let (socket, _) = client(request, stream).map_err(|error| match error {
            tokio_tungstenite::tungstenite::HandshakeError::Failure(error) => error,
            interrupted => panic!("the handshake takes too long: {interrupted}"),
        })?;
        // No two connections use the same ids.
        static CONNECTIONS: AtomicU64 = AtomicU64::new(1);
        let next_id = CONNECTIONS.fetch_add(1, Ordering::Relaxed) * 1_000_000;
        let codec = Codec::from_subprotocol(subprotocol).unwrap_or(Codec::Json);
        Ok(Self { socket, codec, welcome: Value::Null, next_id, last_bytes: 0 })
    }

    /// Sends a text message.
    pub(crate) fn send_text(&mut self, text: &str) {
        self.socket.send(Message::text(text)).expect("the socket takes it");
    }

    /// Sends any message.
    pub(crate) fn send(&mut self, message: Message) {
        self.socket.send(message).expect("the socket takes it");
    }

    /// Sends bytes as they are.
    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) {
        self.socket.get_mut().write_all(bytes).expect("the socket takes them");
    }

    /// Sends a frame and waits for the answer that carries its id. `None` if the connection has ended.
    pub(crate) fn try_call(&mut self, kind: &str, mut fields: Value) -> Option<(String, Value)> {
        self.next_id += 1;
        fields["id"] = json!(self.next_id);
        self.socket.send(Message::text(json!({ kind: fields }).to_string())).ok()?;
        loop {
            let frame: Value = serde_json::from_slice(&self.socket.read().ok()?.into_data()).ok()?;
            let (kind, fields) = frame.as_object().and_then(|map| map.iter().next()).expect("one entry");
            if fields["id"] == json!(self.next_id) {
                return Some((kind.clone(), fields.clone()));
            }
        }
    }

    /// Sends a frame under a new id, which is returned.
    pub(crate) fn ask(&mut self, kind: &str, mut fields: Value) -> u64 {
        self.next_id += 1;
        fields["id"] = json!(self.next_id);
        self.send_frame(&json!({ kind: fields }));
        self.next_id
    }

    /// Sends a frame as it is.
    pub(crate) fn send_frame(&mut self, frame: &Value) {
        let mut bytes = Vec::new();
        self.codec.encode(frame, &mut bytes);
        self.send(match self.codec {
            Codec::MessagePack => Message::binary(bytes),
            Codec::Json => Message::text(String::from_utf8(bytes).expect("JSON is text")),
        });
    }

    /// Sends a frame and waits for the answer that carries its id; what comes meanwhile is passed over.
    pub(crate) fn call(&mut self, kind: &str, fields: Value) -> (String, Value) {
        let id = self.ask(kind, fields);
        self.answer(id)
    }

    /// Sends an intent based on any state and waits for its answer.
    pub(crate) fn act(&mut self, character: &str, action: Value) -> (String, Value) {
        self.call("intent", json!({"character": character, "expect": 0, "action": action}))
    }

    /// The answer that carries this id.
    pub(crate) fn answer(&mut self, id: u64) -> (String, Value) {
        loop {
            let (kind, fields) = self.next();
            if fields["id"] == json!(id) {
                return (kind, fields);
            }
        }
    }

    /// The next frame of this kind; others are passed over.
    pub(crate) fn wait_for(&mut self, wanted: &str) -> Value {
        loop {
            let (kind, fields) = self.next();
            if kind == wanted {
                return fields;
            }
        }
    }

    /// The next frame: its kind and its fields.
    pub(crate) fn next(&mut self) -> (String, Value) {
        loop {
            match self.socket.read().expect("a frame comes") {
                message @ (Message::Text(_) | Message::Binary(_)) => {
                    assert_eq!(message.is_text(), self.codec == Codec::Json, "the subprotocol's type of message");
                    let bytes = message.into_data();
                    self.last_bytes = bytes.len();
                    let frame: Value = self.codec.decode(&bytes).expect("a frame is a value of its codec");
                    let map = frame.as_object().expect("a frame is a map");
                    assert_eq!(map.len(), 1, "a frame has one entry: {frame}");
                    let (kind, fields) = map.iter().next().expect("one entry");
                    return (kind.clone(), fields.clone());
                }
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("a frame was to come, not {other:?}"),
            }
        }
    }

    /// The next frame, or the code with which the server closes.
    pub(crate) fn next_or_close(&mut self) -> Result<(String, Value), u16> {
        loop {
            match self.socket.read().expect("a frame comes") {
                Message::Close(frame) => return Err(frame.expect("a close frame has a code").code.into()),
                Message::Ping(_) | Message::Pong(_) => {}
                message => {
                    let frame: Value =
                        self.codec.decode(&message.into_data()).expect("a frame is a value of its codec");
                    let (kind, fields) = frame.as_object().and_then(|map| map.iter().next()).expect("one entry");
                    if kind != "closing" {
                        return Ok((kind.clone(), fields.clone()));
                    }
                }
            }
        }
    }

    /// Reads until the server closes; returns the fields of `closing` and the close code.
    pub(crate) fn closed(mut self) -> (Value, u16) {
        let mut closing = Value::Null;
        loop {
            match self.socket.read().expect("a close frame comes") {
                Message::Text(text) => {
                    let frame: Value = serde_json::from_str(&text).expect("a frame is JSON");
                    if let Some(fields) = frame.get("closing") {
                        closing = fields.clone();
                    }
                }
                Message::Close(Some(frame)) => return (closing, frame.code.into()),
                Message::Close(None) => panic!("a close frame has a code"),
                _ => {}
            }
        }
    }
}
