//! A gateway without a database, nodes that do what a test says, and clients.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use castellan_protocol::{CharacterId, CloseCode, Codec, UserId};
use castellan_srd::Srd;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::timeout;
use uuid::Uuid;

use crate::auth::{Auth, Exposure, Session};
use crate::clock::{Clock, system_entropy};
use crate::config::{Command, Config, Role};
use crate::gateway::{Carried, Context, Dial, Hub, Owners, resume, serve};
use crate::link::{Address, Hello, Message, Said, Wire};
use crate::rate::Rate;
use crate::shard::shard_of;
use crate::socket::{Accepted, Line, Opener, Registry, Replies, SocketLimits, SocketSettings};
use crate::storage::faulty::MemoryStorage;
use crate::storage::{InUse, Lease, Link, Load, Node, NodeKind, Owned, Present, ShardId};

pub(super) const NOW_MS: i64 = 1_800_000_000_000;

/// Bytes that the kernel keeps on each side of a client's connection, about.
const BUFFER_BYTES: u32 = 128 * 1_024;

/// Long enough for everything that must happen.
const SOON: Duration = Duration::from_secs(10);

pub(super) fn user(number: u128) -> UserId {
    UserId::from_uuid(Uuid::from_u128(number))
}

pub(super) fn character(number: u128) -> CharacterId {
    CharacterId::from_uuid(Uuid::from_u128(number))
}

pub(super) fn home(number: u128) -> ShardId {
    shard_of(user(number))
}

/// Waits for something that must happen.
pub(super) async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(SOON, future).await.expect("it happens soon")
}

/// The rows of the database.
#[derive(Default)]
struct Rows {
    owned: BTreeMap<u16, Owned>,
    present: Vec<Present>,
}

/// A thread of a gateway.
pub(super) struct Gateway {
    rows: Arc<Mutex<Rows>>,
    pub(super) hub: Hub,
    pub(super) auth: Arc<Auth>,
    pub(super) context: Arc<Context>,
    registry: Arc<Registry>,
}

impl Gateway {
    pub(super) async fn new() -> Self {
        Self::with_rate(1_000_000).await
    }

    /// A gateway, and a node that owns the home of the first user.
    pub(super) async fn with_node() -> (Self, FakeNode) {
        let (gateway, node) = (Self::new().await, FakeNode::new(1).await);
        gateway.register(&node);
        gateway.own(home(1), node.process, 1);
        (gateway, node)
    }

    /// Clients may send so many frames at once.
    pub(super) async fn with_rate(rate_burst: u32) -> Self {
        let rows = Arc::<Mutex<Rows>>::default();
        let read = Arc::clone(&rows);
        let owners = Owners::reading(move || {
            let rows = read.lock();
            let result = (rows.owned.values().copied().collect(), rows.present.clone());
            Box::pin(async move { Ok(result) })
        });
        let dial: Dial = Arc::new(|node| {
            Box::pin(async move {
                let stream = TcpStream::connect(&node.address).await?;
                Ok((Box::new(stream) as Box<dyn Wire>, Vec::new()))
            })
        });
        let flags = ["castellan", "--auth-argon2-memory=64KiB", "--auth-argon2-iterations=1"];
        let Ok(Command::Run(config, _)) = Config::from_args(flags.map(Into::into), &Default::default(), &[]) else {
            panic!("a server with these flags runs")
        };
        let clock: Clock = Arc::new(|| NOW_MS);
        let (storage, exposure) = (Arc::new(MemoryStorage::new()), Arc::new(Exposure::new(false)));
        let auth = Auth::open(storage, &config.auth, exposure, Arc::clone(&clock), system_entropy()).await;
        let auth = Arc::new(auth.expect("accounts"));
        let settings = SocketSettings {
            ping_interval: Duration::from_secs(20),
            watch_max: 64,
            rate: Rate::new(if rate_burst < 100 { 1 } else { rate_burst }, rate_burst),
            slow_consumer: Duration::from_secs(10),
            durable_timeout: Duration::from_secs(1),
            read_buffer_bytes: 16 * 1_024,
        };
        let context = Arc::new(Context { auth: Arc::clone(&auth), settings, clock });
        let limits = SocketLimits { all_max: 100, per_user_max: 100, per_address_max: 100 };
        Self { rows, hub: Hub::new(owners, dial), auth, context, registry: Arc::new(Registry::new(limits)) }
    }

    /// The database knows a node.
    pub(super) fn register(&self, node: &FakeNode) {
        self.register_at(node.process, node.listener.local_addr().expect("bound").to_string());
    }

    pub(super) fn register_at(&self, process: Uuid, address: String) {
        let node = Node {
            process,
            kind: NodeKind::Node,
            name: process.to_string(),
            address,
            link: Some(Link { secret: vec![7], oldest: 1, newest: 1 }),
            weight: 1,
            draining: false,
            rules: InUse::default(),
            schema_version: 1,
        };
        self.rows.lock().present.push(Present {
            node,
            load: Load::default(),
            heartbeat: 1,
            started_at_ms: 0,
            age_ms: 0,
            seen_ago_ms: 0,
        });
    }

    /// The database names an owner.
    pub(super) fn own(&self, shard: ShardId, process: Uuid, epoch: i64) {
        let lease = Lease { shard, epoch, recoveries: 0 };
        self.rows.lock().owned.insert(shard.number(), Owned { lease, released: false, owner: Some(process) });
    }

    /// A client of a user connects.
    pub(super) async fn client(&self, number: u128) -> Client {
        let id = castellan_protocol::SessionId::from_uuid(Uuid::from_u128(number));
        let expires_at_ms = NOW_MS + 900_000;
        self.client_of(Session { id, user: user(number), role: Role::Player, expires_at_ms }).await
    }

    pub(super) async fn client_of(&self, session: Session) -> Client {
        // Small buffers, so that a client that does not read is noticed soon.
        let (near, far) = (TcpSocket::new_v4().expect("a socket"), TcpSocket::new_v4().expect("a socket"));
        near.set_send_buffer_size(BUFFER_BYTES).expect("a size");
        far.set_recv_buffer_size(BUFFER_BYTES).expect("a size");
        near.bind((Ipv4Addr::LOCALHOST, 0).into()).expect("a port");
        let listener = near.listen(1).expect("a port");
        let address = listener.local_addr().expect("bound");
        let (far, near) = tokio::join!(far.connect(address), listener.accept());
        let (near, _) = near.expect("a connection");
        let opener = Opener { session: session.id, user: session.user, limited_by: None };
        let seat = self.registry.take_seat(&opener, None).expect("room");
        let accepted = Accepted {
            line: Line::Plain(near.into_std().expect("a socket")),
            address: Ipv4Addr::LOCALHOST.into(),
            leftover: Vec::new(),
            codec: Codec::Json,
            replies: Replies::Whole,
            ticket: Ok((session, seat)),
        };
        tokio::spawn(serve::<Srd>(accepted, self.hub.clone(), Arc::clone(&self.context)));
        Client { tcp: far.expect("a connection"), input: Vec::new() }
    }

    /// Goes on with a connection of another gateway.
    pub(super) fn go_on(&self, carried: Carried) {
        let opener = Opener::of(&carried.state.session(), carried.state.address());
        let seat = self.registry.keep_seat(&opener, carried.state.client(), true);
        tokio::spawn(resume::<Srd>(carried, seat, self.hub.clone(), Arc::clone(&self.context)));
    }
}

/// A node.
pub(super) struct FakeNode {
    pub(super) process: Uuid,
    listener: TcpListener,
}

impl FakeNode {
    pub(super) async fn new(number: u128) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        Self { process: Uuid::from_u128(number), listener }
    }

    /// The gateway opens its link.
    pub(super) async fn accept(&self) -> FakeLink {
        let (tcp, _) = soon(self.listener.accept()).await.expect("a link");
        FakeLink { tcp, input: Vec::new() }
    }

    /// The link of a gateway with a client that was welcomed, and the number of its attachment.
    pub(super) async fn welcome(&self, client: &mut Client, shard: ShardId, epoch: u64) -> (FakeLink, Address) {
        let mut link = self.accept().await;
        let address = link.attached(shard, epoch).await;
        let (socket, hello) = link.hello().await;
        assert!(hello.is_new);
        link.say(socket, Said::Welcome(b"welcome")).await;
        assert_eq!(client.text().await, "welcome");
        assert_eq!(socket.number, address.number);
        (link, socket)
    }
}

/// A node's end of a link.
pub(super) struct FakeLink {
    tcp: TcpStream,
    input: Vec<u8>,
}

impl FakeLink {
    /// The next message other than a beat; `None` at the end.
    pub(super) async fn try_next(&mut self) -> Option<Message<'static>> {
        loop {
            let length = Message::read(&self.input).expect("a message").map(|(_, length)| length);
            if let Some(length) = length {
                // Leaked, so that tests can keep it.
                let bytes: &'static [u8] = self.input.drain(..length).collect::<Vec<_>>().leak();
                let (message, _) = Message::read(bytes).expect("a message").expect("all of it");
                if message.said != Said::Beat {
                    return Some(message);
                }
            } else if soon(self.tcp.read_buf(&mut self.input)).await.unwrap_or(0) == 0 {
                return None;
            }
        }
    }

    pub(super) async fn next(&mut self) -> Message<'static> {
        self.try_next().await.expect("the link lives")
    }

    pub(super) async fn say(&mut self, address: Address, said: Said<'_>) {
        let mut bytes = Vec::new();
        Message::new(address, said).write(&mut bytes);
        self.garbage(&bytes).await;
    }

    pub(super) async fn garbage(&mut self, bytes: &[u8]) {
        soon(self.tcp.write_all(bytes)).await.expect("the link lives");
    }

    /// The gateway attaches a shard; returns the attachment.
    pub(super) async fn attach(&mut self, shard: ShardId, epoch: u64) -> Address {
        let Message { address, said } = self.next().await;
        assert_eq!((address.shard, said), (shard, Said::Attach(epoch)));
        address
    }

    /// The same, and the node serves the shard.
    pub(super) async fn attached(&mut self, shard: ShardId, epoch: u64) -> Address {
        let address = self.attach(shard, epoch).await;
        self.say(address, Said::Word(castellan_cluster::word::Word::Attached { epoch })).await;
        address
    }

    pub(super) async fn hello(&mut self) -> (Address, Hello) {
        match self.next().await {
            Message { address, said: Said::Hello(hello) } => (address, *hello),
            other => panic!("no hello: {other:?}"),
        }
    }

    pub(super) async fn frame(&mut self) -> (Address, &'static str) {
        match self.next().await {
            Message { address, said: Said::Frame(frame) } => (address, std::str::from_utf8(frame).expect("JSON")),
            other => panic!("no frame: {other:?}"),
        }
    }
}

/// A client's end of a WebSocket.
pub(super) struct Client {
    tcp: TcpStream,
    input: Vec<u8>,
}

/// Something that a client hears.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Incoming {
    Text(String),
    Closed(Option<CloseCode>),
}

impl Client {
    pub(super) async fn send(&mut self, text: &str) {
        self.send_at_once(&[text.to_owned()]).await;
    }

    /// Sends text messages in one write. Source: RFC 6455, 5.2.
    pub(super) async fn send_at_once(&mut self, texts: &[String]) {
        let mut frames = Vec::new();
        for text in texts {
            frames.extend([0x81, 0x80 | 126]);
            frames.extend(u16::try_from(text.len()).expect("short").to_be_bytes());
            // A mask of zeros changes nothing.
            frames.extend([0; 4]);
            frames.extend(text.as_bytes());
        }
        soon(self.tcp.write_all(&frames)).await.expect("the connection lives");
    }

    /// Sends bytes as they are.
    pub(super) async fn send_bytes(&mut self, bytes: &[u8]) {
        soon(self.tcp.write_all(bytes)).await.expect("the connection lives");
    }

    /// The next message, or the end.
    pub(super) async fn next(&mut self) -> Incoming {
        loop {
            if let Some((first, payload)) = self.take() {
                match first {
                    0x81 => return Incoming::Text(String::from_utf8(payload).expect("UTF-8")),
                    0x88 => {
                        let code = u16::from_be_bytes([payload[0], payload[1]]);
                        return Incoming::Closed(CloseCode::from_number(code));
                    }
                    _ => {}
                }
            } else if soon(self.tcp.read_buf(&mut self.input)).await.unwrap_or(0) == 0 {
                return Incoming::Closed(None);
            }
        }
    }

    /// The first byte and the payload of the next frame that has arrived.
    fn take(&mut self) -> Option<(u8, Vec<u8>)> {
        let (first, length, header) = match *self.input.as_slice() {
            [first, 126, a, b, ..] => (first, u64::from(u16::from_be_bytes([a, b])), 4),
            [first, 127, a, b, c, d, e, f, g, h, ..] => (first, u64::from_be_bytes([a, b, c, d, e, f, g, h]), 10),
            [first, length @ 0..126, ..] => (first, u64::from(length), 2),
            _ => return None,
        };
        let end = header + usize::try_from(length).expect("short");
        (self.input.len() >= end).then(|| (first, self.input.drain(..end).skip(header).collect()))
    }

    pub(super) async fn text(&mut self) -> String {
        match self.next().await {
            Incoming::Text(text) => text,
            Incoming::Closed(code) => panic!("closed: {code:?}"),
        }
    }

    /// The connection is closed, and says why.
    pub(super) async fn closed(&mut self) -> Option<CloseCode> {
        loop {
            match self.next().await {
                Incoming::Closed(code) => return code,
                Incoming::Text(text) => assert!(text.contains("closing"), "{text}"),
            }
        }
    }
}

pub(super) fn ping(id: u64) -> String {
    format!(r#"{{"ping":{{"id":{id}}}}}"#)
}

pub(super) fn watch(id: u64, character: CharacterId) -> String {
    format!(r#"{{"watch":{{"id":{id},"character":"{character}"}}}}"#)
}
