//! Spoiled frames, from bytes to the core: whatever a client sends, every message gets at most one answer, the answers
//! tell no lies about what is durable, and the connection ends in one of the known ways.

use std::io::{self, Cursor, Read, Write};
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use castellan_fuzz::bolero::{Driver, ValueGenerator, check};
use castellan_fuzz::{BRIEFLY, Encoding, Input, Spoiled, golden_frames, spoiled};
use castellan_protocol::limits::{CLIENT_FRAME_BYTES_MAX, SERVER_FRAME_BYTES_MAX};
use castellan_srd::wire::{Character, ReplyFrame, Told};
use castellan_srd::{Catalogue, Srd};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::{Role as Side, WebSocketConfig, WebSocketContext};
use uuid::Uuid;

use super::*;
use crate::audit::Audit;
use crate::auth::{Auth, Exposure, Policy};
use crate::clock::Clock;
use crate::config::{Command, Config, Role};
use crate::rate::Rate;
use crate::shard::tests::{InMemory, in_memory};
use crate::socket::{Opener, Registry, SocketLimits, SocketSettings};

/// Most messages of one client.
const MESSAGES_MAX: usize = 24;

/// Longer than any intent waits for its commit, shorter than a silent client is kept.
const DURABLE_TIMEOUT: Duration = Duration::from_secs(1);
const LONG_ENOUGH: Duration = Duration::from_secs(2);

const NOW_MS: i64 = 1_800_000_000_000;

/// What one client sends.
#[derive(Debug, Clone)]
struct Conversation {
    /// WebSocket frames.
    bytes: Input,
    /// Bytes that arrive at a time.
    pieces: usize,
    is_game_server: bool,
    replies: Replies,
}

/// Makes conversations of spoiled frames: mostly good WebSocket with bad payloads, sometimes bad WebSocket.
struct Conversations {
    codec: Codec,
    payloads: Spoiled,
}

impl ValueGenerator for Conversations {
    type Output = Conversation;

    fn generate<D: Driver>(&self, driver: &mut D) -> Option<Conversation> {
        let mut bytes = Vec::new();
        for _ in 0..(1..=MESSAGES_MAX).generate(driver)? {
            let Input(payload) = self.payloads.generate(driver)?;
            let kind = match self.codec {
                Codec::Json => 1,
                Codec::MessagePack => 2,
            };
            let (kind, cut) = match (0..40_u8).generate(driver)? {
                0 => ((0..16_u8).generate(driver)?, None),
                1 => (9, None),
                2 => (10, None),
                3 | 4 => (kind, Some((0..=payload.len()).generate(driver)?)),
                5 => (3 - kind, None),
                _ => (kind, None),
            };
            match cut {
                None => frame(&mut bytes, 0x80 | kind, &payload),
                Some(cut) => {
                    frame(&mut bytes, kind, &payload[..cut]);
                    frame(&mut bytes, 0x80, &payload[cut..]);
                }
            }
        }
        let bytes = match (0..4_u8).generate(driver)? {
            0 => spoiled(vec![bytes]).generate(driver)?,
            _ => Input(bytes),
        };
        let pieces = (1..2_000).generate(driver)?;
        let replies = if driver.gen_bool(None)? { Replies::Whole } else { Replies::Changes };
        Some(Conversation { bytes, pieces, is_game_server: driver.gen_bool(None)?, replies })
    }
}

/// A frame as a client sends it; control frames are cut to what they may hold. Source: RFC 6455, 5.2.
pub(super) fn frame(out: &mut Vec<u8>, first: u8, payload: &[u8]) {
    const MASK: [u8; 4] = [0x5a, 0, 0xff, 0x3c];
    let payload = if first & 0x08 == 0 { payload } else { &payload[..payload.len().min(125)] };
    out.push(first);
    match u16::try_from(payload.len()) {
        Ok(length @ 0..126) => out.push(0x80 | length as u8),
        Ok(length) => {
            out.push(0x80 | 126);
            out.extend(length.to_be_bytes());
        }
        Err(_) => {
            out.push(0x80 | 127);
            out.extend((payload.len() as u64).to_be_bytes());
        }
    }
    out.extend(MASK);
    out.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
}

/// Bytes that were sent, for a reader that wants a stream.
struct Sent(Cursor<Vec<u8>>);

impl Read for Sent {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match Read::read(&mut self.0, buffer)? {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            bytes => Ok(bytes),
        }
    }
}

impl Write for Sent {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// How the bytes of one side end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// In the middle of a conversation.
    Open,
    /// With a close frame.
    Closed,
    /// With something that is no WebSocket.
    Wrong,
}

/// The messages in what one side sent, as tungstenite reads them, and how they end.
fn messages(bytes: &[u8], reader: Side) -> (Vec<Vec<u8>>, Ending) {
    let config = match reader {
        Side::Server => WebSocketConfig::default()
            .max_message_size(Some(CLIENT_FRAME_BYTES_MAX))
            .max_frame_size(Some(CLIENT_FRAME_BYTES_MAX)),
        Side::Client => WebSocketConfig::default(),
    };
    let mut context = WebSocketContext::new(reader, Some(config));
    let mut stream = Sent(Cursor::new(bytes.to_vec()));
    let mut messages = Vec::new();
    loop {
        match context.read(&mut stream) {
            Ok(Message::Text(text)) => messages.push(text.as_bytes().to_vec()),
            Ok(Message::Binary(bytes)) => messages.push(bytes.to_vec()),
            Ok(Message::Close(_)) => return (messages, Ending::Closed),
            Ok(_) => {}
            Err(tokio_tungstenite::tungstenite::Error::Io(_)) => return (messages, Ending::Open),
            Err(_) => return (messages, Ending::Wrong),
        }
    }
}

/// What all conversations share; none of them changes it.
pub(in crate::socket) struct House {
    auth: Arc<Auth>,
    pub(in crate::socket) catalogue: Arc<Catalogue>,
    pub(in crate::socket) clock: Clock,
    pub(in crate::socket) session: Session,
    pub(in crate::socket) character: castellan_protocol::CharacterId,
}

impl House {
    pub(in crate::socket) async fn new() -> Self {
        let catalogue = Arc::new(Catalogue::embedded());
        let clock: Clock = Arc::new(|| NOW_MS);
        // The owner and the character of the golden frames.
        let character = "f81d4fae-7dec-11d0-a765-00a0c91e6bf6".parse().expect("an id");
        let user = "019ab000-0000-7000-8000-000000000001".parse().expect("an id");
        let id = castellan_protocol::SessionId::from_uuid(Uuid::from_u128(1));
        let session = Session { id, user, role: Role::Player, expires_at_ms: NOW_MS + 900_000 };
        let storage = in_memory(&catalogue, user, character, &clock).await.storage;
        let Ok(Command::Run(config, _)) = Config::from_args(["castellan".into()], &Default::default(), &[]) else {
            panic!("a server without flags runs")
        };
        let entropy = Arc::new(|bytes: &mut [u8]| bytes.fill(7));
        let auth = Auth::open(storage, &config.auth, Arc::new(Exposure::new(false)), Arc::clone(&clock), entropy).await;
        Self { auth: Arc::new(auth.expect("accounts")), catalogue, clock, session, character }
    }

    /// A new server with the character in memory.
    pub(in crate::socket) async fn server(&self) -> InMemory {
        in_memory(&self.catalogue, self.session.user, self.character, &self.clock).await
    }

    /// What all connections to a server share.
    pub(in crate::socket) fn context(&self, server: &InMemory, read_buffer_bytes: usize) -> Arc<Context<Srd>> {
        let (_running, stopped) = watch::channel(false);
        let entropy = Arc::new(|bytes: &mut [u8]| bytes.fill(7));
        let (audit, _) = Audit::start(Arc::clone(&server.storage), Arc::clone(&self.clock), entropy, stopped);
        Arc::new(Context {
            shards: Arc::clone(&server.shards),
            auth: Arc::clone(&self.auth),
            policy: Arc::new(Policy::permissive::<Srd>()),
            settings: SocketSettings {
                ping_interval: Duration::from_secs(20),
                watch_max: 64,
                rate: Rate::new(1_000_000, 1_000_000),
                slow_consumer: Duration::from_secs(10),
                durable_timeout: DURABLE_TIMEOUT,
                read_buffer_bytes,
            },
            audit,
            clock: Arc::clone(&self.clock),
        })
    }

    /// Serves a connection through a pipe that holds `pieces` bytes. Returns the client's end of it.
    pub(super) fn open(
        &self,
        server: &InMemory,
        codec: Codec,
        role: Role,
        replies: Replies,
        pieces: usize,
        read_buffer_bytes: usize,
    ) -> (DuplexStream, JoinHandle<()>) {
        let context = self.context(server, read_buffer_bytes);
        let session = Session { role, ..self.session };
        let registry = Arc::new(Registry::new(SocketLimits { all_max: 1, per_user_max: 1, per_address_max: 1 }));
        let opener = Opener { session: session.id, user: session.user, limited_by: None };
        let seat = registry.take_seat(&opener, None).expect("the first one");
        let (near, far) = duplex(pieces);
        let transport = Transport::new(near, Vec::new(), read_buffer_bytes);
        let mut outbound = Outbound::new(transport, codec, Duration::from_secs(10));
        if replies == Replies::Changes {
            outbound.tell_changes(Box::new(Changes::new(64)));
        }
        let connection = Box::new(Connection::new(outbound, session, [127, 0, 0, 1].into(), seat, context));
        (far, tokio::spawn(connection.serve()))
    }

    /// Holds a conversation with a new server; returns everything that it sent.
    async fn converse(&self, codec: Codec, conversation: &Conversation) -> Vec<u8> {
        let role = if conversation.is_game_server { Role::Game } else { Role::Player };
        let server = self.server().await;
        let (far, serving) = self.open(&server, codec, role, conversation.replies, conversation.pieces, 1_024);
        let (mut incoming, mut outgoing) = tokio::io::split(far);
        let send = async {
            // Fails if the server has heard enough.
            let _ = outgoing.write_all(&conversation.bytes.0).await;
            tokio::time::sleep(LONG_ENOUGH).await;
            let _ = outgoing.shutdown().await;
        };
        let mut answers = Vec::new();
        let (_, heard) = tokio::join!(send, incoming.read_to_end(&mut answers));
        heard.expect("the stream holds");
        serving.await.expect("the connection does not panic");
        answers
    }
}

/// Checks all that a server sent against all that the client sent it.
fn judge(codec: Codec, conversation: &Conversation, answers: &[u8]) {
    let (asked, ending) = messages(&conversation.bytes.0, Side::Server);
    let (told, told_ending) = messages(answers, Side::Client);
    assert_ne!(told_ending, Ending::Wrong, "the server speaks WebSocket");
    let (mut count, mut is_closing) = (0, false);
    let mut last: Option<Character> = None;
    for message in &told {
        assert!(message.len() < SERVER_FRAME_BYTES_MAX, "{} bytes", message.len());
        let frame = codec.decode_reply_frame::<Character>(message).expect("a frame").expect("a known kind");
        let (is_answer, state) = match frame {
            ReplyFrame::Applied(applied) => (true, Some((applied.told, applied.durable))),
            ReplyFrame::Conflict(conflict) => {
                (true, Some((Told::Character(Box::new(conflict.character)), conflict.durable)))
            }
            ReplyFrame::State(state) => (state.id.is_some(), Some((state.told, state.durable))),
            ReplyFrame::Rejected(_) | ReplyFrame::Accepted(_) | ReplyFrame::Pong(_) => (true, None),
            ReplyFrame::Welcome(_) | ReplyFrame::Durable(_) => (false, None),
            ReplyFrame::Closing(_) => {
                is_closing = true;
                (false, None)
            }
        };
        count += usize::from(is_answer);
        if let Some((told, durable)) = state {
            // There is one character that it may see.
            let state = told.state(last.as_ref()).expect("changes of the state that was sent last");
            assert!(durable <= state.version, "{durable} of {}", state.version);
            assert!(last.is_none_or(|last| last.version <= state.version), "states never go back");
            last = Some(state);
        }
    }
    assert!(count <= asked.len(), "{count} answers to {} messages", asked.len());
    assert!(ending != Ending::Wrong || is_closing, "bytes that are no WebSocket end the connection, which is told why");
    // A client that closes waits for no commit any more.
    let waits = |message: &Vec<u8>| message.windows(7).any(|bytes| bytes == b"durable");
    let may_miss_some = is_closing || (ending == Ending::Closed && asked.iter().any(waits));
    assert!(may_miss_some || count == asked.len(), "{count} answers to {} messages", asked.len());
}

fn a_client_may_send_anything(codec: Codec) {
    let encoding = match codec {
        Codec::Json => Encoding::Json,
        Codec::MessagePack => Encoding::MessagePack,
    };
    let conversations = Conversations { codec, payloads: spoiled(golden_frames("client", encoding)) };
    let runtime =
        || tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().expect("a runtime");
    let house = AssertUnwindSafe(runtime().block_on(House::new()));
    let target = check!().with_generator(conversations).with_test_time(BRIEFLY);
    target.for_each(|conversation: &Conversation| {
        let house = &house;
        let answers = runtime().block_on(house.converse(codec, conversation));
        judge(codec, conversation, &answers);
    });
}

#[test]
fn who_closes_gets_no_answer_that_waits_for_its_commit() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    runtime.expect("a runtime").block_on(async {
        let house = House::new().await;
        let intent = format!(
            r#"{{"intent":{{"id":1,"character":"{}","expect":0,"action":{{"modify_hitpoints":{{"delta":3}}}},"ack":"durable"}}}}"#,
            house.character
        );
        // Masked with zeros.
        let length = u16::try_from(intent.len()).expect("short").to_be_bytes();
        let mut bytes = [&[0x81, 0xfe], &length[..], &[0; 4], intent.as_bytes()].concat();
        for (close, answers) in [(vec![], 1), (vec![0x88, 0x80, 0, 0, 0, 0], 0)] {
            bytes.extend(close);
            let (pieces, replies) = (1_024, Replies::Whole);
            let conversation = Conversation { bytes: Input(bytes.clone()), pieces, is_game_server: false, replies };
            let told = house.converse(Codec::Json, &conversation).await;
            judge(Codec::Json, &conversation, &told);
            let applied = messages(&told, Side::Client).0.iter().filter(|frame| frame.starts_with(b"{\"applied\"")).count();
            assert_eq!(applied, answers);
        }
    });
}

#[test]
fn a_client_may_send_anything_in_json() {
    a_client_may_send_anything(Codec::Json);
}

#[test]
fn a_client_may_send_anything_in_messagepack() {
    a_client_may_send_anything(Codec::MessagePack);
}
