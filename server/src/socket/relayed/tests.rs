//! A node over a real database, and a gateway at the other end of a real connection.

mod fuzz;
mod parting;
mod seats;

use std::collections::HashMap;

use castellan_protocol::{CharacterId, SessionId};
use castellan_srd::Srd;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::*;
use crate::link::{LinkId, SocketId};
use crate::node::FromLink;
use crate::shard::tests::{InMemory, character, over, user};
use crate::socket::session::fuzz::House;
use crate::socket::{Line, SocketLimits};
use crate::storage::{ShardId, StorageOptions, connect};

/// Something that a gateway hears.
#[derive(Debug, Clone, PartialEq)]
enum Told {
    Welcome(Value),
    Answer(Value),
    Notice(Value),
    Back(Value),
    RequestBack(Vec<u8>),
    Response(Vec<u8>),
    Close(u16),
    Word(Word<Uuid>),
    Beat,
}

impl From<Said<'_>> for Told {
    fn from(said: Said<'_>) -> Self {
        let frame = |bytes| serde_json::from_slice(bytes).expect("JSON");
        match said {
            Said::Beat => Self::Beat,
            Said::Word(word) => Self::Word(word),
            Said::Welcome(bytes) => Self::Welcome(frame(bytes)),
            Said::Answer(bytes) => Self::Answer(frame(bytes)),
            Said::Notice(bytes) => Self::Notice(frame(bytes)),
            Said::FrameBack(bytes) => Self::Back(frame(bytes)),
            Said::RequestBack(bytes) => Self::RequestBack(bytes.to_vec()),
            Said::Response(bytes) => Self::Response(bytes.to_vec()),
            Said::Close(code, _) => Self::Close(code),
            said => panic!("nodes do not say {said:?}"),
        }
    }
}

impl Told {
    /// The kind of an answer, and its request id.
    fn answer(&self) -> (&str, u64) {
        let Self::Answer(frame) = self else { panic!("no answer: {self:?}") };
        let (kind, fields) = frame.as_object().expect("a map").iter().next().expect("one entry");
        (kind, fields["id"].as_u64().expect("an id"))
    }
}

/// The gateway's end.
struct Gateway {
    stream: LinkStream<TcpStream>,
    /// Without it, notices of durable versions are left out: they come at any time.
    hears_durable: bool,
}

impl Gateway {
    async fn say(&mut self, shard: ShardId, number: u64, socket: SocketId, said: Said<'_>) {
        self.stream.put(&Message::new(Address { shard, number, socket }, said));
        poll_fn(|cx| self.stream.poll_flush(cx)).await.expect("the node reads");
    }

    /// The next message that is no sign of life and is wanted; `None` at the end.
    async fn hear(&mut self) -> Option<(Address, Told)> {
        loop {
            while let Some(Message { address, said }) = self.stream.next_message().expect("messages") {
                let told = Told::from(said);
                match &told {
                    Told::Beat => {}
                    Told::Notice(notice) if !self.hears_durable && notice.get("durable").is_some() => {}
                    _ => return Some((address, told)),
                }
            }
            let read = poll_fn(|cx| self.stream.poll_read(cx)).await;
            if !matches!(read, Ok(true)) {
                return None;
            }
        }
    }

    /// The next message, which must be about this socket.
    async fn told(&mut self, socket: SocketId) -> Told {
        let (address, told) = self.hear().await.expect("the link lives");
        assert_eq!(address.socket, socket, "{told:?}");
        told
    }
}

/// Blocks the runtime for loads until it is dropped.
type Blocked = std::sync::mpsc::Sender<()>;

/// The runtime for loads. Dropped, it does not wait for them.
struct Loading(Option<tokio::runtime::Runtime>);

impl Drop for Loading {
    fn drop(&mut self) {
        self.0.take().into_iter().for_each(tokio::runtime::Runtime::shutdown_background);
    }
}

/// A node with one link.
struct Node {
    server: InMemory,
    registry: Arc<Registry>,
    loading: Loading,
    gateway: Gateway,
    /// From the link to the task that moves shards, and back.
    from_link: mpsc::Receiver<(LinkId, FromLink)>,
    to_link: mpsc::Sender<ToLink>,
    serving: JoinHandle<()>,
    _folder: TempDir,
}

impl Node {
    /// A node whose requests are answered by what is sent into the channel.
    async fn new() -> Self {
        Self::answering(Arc::new(|request| Box::pin(async move { Some(request) }))).await
    }

    async fn answering(requests: RequestHandler) -> Self {
        let house = House::new().await;
        let folder = tempfile::tempdir().expect("a folder");
        let url = format!("sqlite://{}", folder.path().join("node.db").display());
        let storage = connect(&url, &StorageOptions::default()).await.expect("a database");
        storage.migrate().await.expect("tables");
        let mut loading = tokio::runtime::Builder::new_multi_thread();
        let loading = loading.worker_threads(1).enable_all().build().expect("a runtime");
        let server = over(storage, loading.handle().clone(), &house.catalogue, &house.clock).await;
        let limits = SocketLimits { all_max: 100, per_user_max: 4, per_address_max: 1 };
        let registry = Arc::new(Registry::new(limits));

        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let near = TcpStream::connect(listener.local_addr().expect("an address")).await.expect("a connection");
        let (far, _) = listener.accept().await.expect("a connection");
        let accepted = AcceptedLink { line: Line::Plain(far.into_std().expect("a stream")), leftover: Vec::new() };
        let (links, mut from_link) = Links::new();
        let context = house.context(&server, 1_024);
        let serving = tokio::spawn(serve_link(accepted, links, context, Arc::clone(&registry), requests));
        let Some((_, FromLink::Up(to_link))) = from_link.recv().await else { panic!("a link comes up") };
        let gateway = Gateway { stream: LinkStream::new(near, Vec::new()), hears_durable: false };
        let loading = Loading(Some(loading));
        Self { server, registry, loading, gateway, from_link, to_link, serving, _folder: folder }
    }

    /// Makes a character and, unless it `stays`, lets it leave memory.
    async fn character(&self, owner: UserId, character: CharacterId, stays: bool) {
        let before = self.server.shards.occupied();
        self.server.create(owner, character).await;
        while self.server.shards.dirty() > 0 {
            tokio::task::yield_now().await;
        }
        while !stays && self.server.shards.occupied() > before {
            self.server.shards.leave(owner);
            tokio::task::yield_now().await;
        }
    }

    /// Attaches the gateway to a shard.
    async fn attach(&mut self, shard: ShardId, number: u64) {
        self.gateway.say(shard, number, 0, Said::Attach(1)).await;
        let said = self.from_link.recv().await;
        assert!(matches!(said, Some((_, FromLink::Attach { shard: of, .. })) if of == shard), "{said:?}");
        self.order(ToLink::Say { shard, number, word: Word::Attached { epoch: 1 } }).await;
        let heard = self.gateway.told(0).await;
        assert_eq!(heard, Told::Word(Word::Attached { epoch: 1 }));
    }

    async fn order(&mut self, order: ToLink) {
        self.to_link.send(order).await.expect("the link lives");
    }

    async fn word(&mut self, shard: ShardId, number: u64, word: Word<Uuid>) {
        self.order(ToLink::Say { shard, number, word }).await;
    }

    /// Loads wait until what this returns is dropped.
    fn block(&self) -> Blocked {
        let (blocked, released) = std::sync::mpsc::channel();
        let (begins, has_begun) = std::sync::mpsc::channel();
        self.loading.0.as_ref().expect("it runs").spawn(async move {
            begins.send(()).expect("somebody waits");
            let _ = released.recv();
        });
        has_begun.recv().expect("it begins");
        blocked
    }

    /// Introduces a socket of a user and hears its welcome.
    async fn welcome(&mut self, number: u64, socket: SocketId, user: UserId) -> Value {
        self.hello(number, socket, &hello(user)).await;
        match self.gateway.told(socket).await {
            Told::Welcome(welcome) => welcome["welcome"].clone(),
            told => panic!("no welcome: {told:?}"),
        }
    }

    async fn hello(&mut self, number: u64, socket: SocketId, hello: &Hello) {
        let said = Said::Hello(Box::new(hello.clone()));
        self.gateway.say(shard_of(hello.user), number, socket, said).await;
    }

    async fn frame(&mut self, user: UserId, number: u64, socket: SocketId, frame: &Value) {
        let frame = frame.to_string();
        self.gateway.say(shard_of(user), number, socket, Said::Frame(frame.as_bytes())).await;
    }

    async fn stop(self) {
        let Self { gateway, serving, .. } = self;
        drop(gateway);
        serving.await.expect("the link does not panic");
    }
}

fn hello(user: UserId) -> Hello {
    Hello {
        session: SessionId::from_uuid(user.uuid()),
        user,
        role: "player".to_owned(),
        expires_at_ms: i64::MAX,
        address: [127, 0, 0, 1].into(),
        client: None,
        is_json: true,
        wants_changes: false,
        is_new: true,
        watched: Vec::new(),
    }
}

fn game(user: UserId, is_new: bool) -> Hello {
    Hello { role: "game".to_owned(), is_new, ..hello(user) }
}

fn pay(id: u64, character: CharacterId) -> Value {
    json!({"intent": {"id": id, "character": character, "expect": 0, "action": {"modify_currency": {"gp": 1}}}})
}

fn pay_of(owner: UserId, id: u64, character: CharacterId) -> Value {
    let mut frame = pay(id, character);
    frame["intent"]["user"] = json!(owner);
    frame
}

fn ping(id: u64) -> Value {
    json!({"ping": {"id": id}})
}

#[tokio::test]
async fn two_sockets_are_welcomed_and_their_frames_are_answered_in_order() {
    let mut node = Node::new().await;
    let users = [user(1), user(2)];
    for (number, of) in (1..).zip(users) {
        node.character(of, character(number), false).await;
        node.attach(shard_of(of), 7).await;
        let welcome = node.welcome(7, number as u64, of).await;
        assert_eq!(welcome["characters"][0]["id"], json!(character(number)));
        assert_eq!((&welcome["user"], &welcome["protocol"]), (&json!(of), &json!(1)));
    }
    for id in 1..=20 {
        for (number, of) in (1..).zip(users) {
            node.frame(of, 7, number as u64, &pay(id, character(number))).await;
        }
    }
    let mut last = HashMap::new();
    for _ in 0..40 {
        let (address, told) = node.gateway.hear().await.expect("the link lives");
        let (kind, id) = told.answer();
        assert!(kind == "applied" && address.number == 7, "{told:?}");
        assert_eq!(last.insert(address.socket, id).unwrap_or_default() + 1, id, "in order");
    }
    node.stop().await;
}

#[tokio::test]
async fn a_frame_that_waits_for_a_load_holds_up_only_its_own_followers() {
    let mut node = Node::new().await;
    let (owner, other) = (user(1), user(2));
    node.character(owner, character(1), false).await;
    node.character(other, character(2), true).await;
    let bot = user(3);
    node.attach(shard_of(owner), 1).await;
    node.attach(shard_of(other), 1).await;
    for of in [owner, other] {
        let said = Said::Hello(Box::new(game(bot, false)));
        node.gateway.say(shard_of(of), 1, 9, said).await;
    }
    let blocked = node.block();
    node.frame(owner, 1, 9, &pay_of(owner, 1, character(1))).await;
    node.frame(owner, 1, 9, &ping(2)).await;
    node.frame(owner, 1, 9, &json!({"watch": {"id": 3, "character": character(1), "user": owner}})).await;
    node.frame(other, 1, 9, &pay_of(other, 4, character(2))).await;
    assert_eq!(node.gateway.told(9).await.answer(), ("applied", 4), "the other shard's connection is served");
    drop(blocked);
    for answer in [("applied", 1), ("pong", 2), ("state", 3)] {
        assert_eq!(node.gateway.told(9).await.answer(), answer);
    }
    node.stop().await;
}

#[tokio::test]
async fn frames_under_no_open_attachment_come_back_as_they_came() {
    let mut node = Node::new().await;
    let owner = user(1);
    node.character(owner, character(1), true).await;
    let shard = shard_of(owner);
    node.attach(shard, 5).await;
    node.welcome(5, 1, owner).await;
    for number in [4, 6] {
        for id in 1..=3 {
            node.frame(owner, number, 1, &pay(id, character(1))).await;
        }
        for id in 1..=3 {
            let (address, told) = node.gateway.hear().await.expect("the link lives");
            assert_eq!((address.number, told), (number, Told::Back(pay(id, character(1)))));
        }
    }
    node.word(shard, 5, Word::Leaving).await;
    assert_eq!(node.gateway.told(0).await, Told::Word(Word::Leaving));
    node.frame(owner, 5, 1, &pay(1, character(1))).await;
    assert_eq!(node.gateway.told(1).await, Told::Back(pay(1, character(1))));
    node.gateway.say(shard, 5, 2, Said::Request(b"request")).await;
    assert_eq!(node.gateway.told(2).await, Told::RequestBack(b"request".to_vec()));
    node.stop().await;
}

#[tokio::test]
async fn a_shard_that_leaves_hands_back_its_frames_in_order_even_those_that_wait_for_a_load() {
    let mut node = Node::new().await;
    let owner = user(1);
    node.character(owner, character(1), false).await;
    let shard = shard_of(owner);
    node.attach(shard, 1).await;
    for socket in [8, 9] {
        node.gateway.say(shard, 1, socket, Said::Hello(Box::new(game(user(3), false)))).await;
    }
    let blocked = node.block();
    for id in 1..=3 {
        node.frame(owner, 1, 8, &pay_of(owner, id, character(1))).await;
    }
    node.frame(owner, 1, 9, &ping(9)).await;
    assert_eq!(node.gateway.told(9).await.answer(), ("pong", 9), "the frames before were read");
    // Every shard is clean, so all of them refuse from now on, and no connection is closed.
    assert_eq!(node.server.shards.retire().len(), 256);
    node.frame(owner, 1, 9, &pay_of(owner, 4, character(1))).await;
    assert_eq!(node.gateway.told(9).await, Told::Back(pay_of(owner, 4, character(1))));
    for id in 1..=3 {
        assert_eq!(node.gateway.told(8).await, Told::Back(pay_of(owner, id, character(1))));
    }
    node.frame(owner, 1, 8, &ping(5)).await;
    assert_eq!(node.gateway.told(8).await, Told::Back(ping(5)), "nothing counts any more");
    drop(blocked);
    node.word(shard, 1, Word::Leaving).await;
    assert_eq!(node.gateway.told(0).await, Told::Word(Word::Leaving));
    node.stop().await;
}

#[tokio::test]
async fn the_last_words_before_a_move_are_the_notices_that_a_slow_client_had_not_read() {
    let mut node = Node::new().await;
    let owner = user(1);
    node.character(owner, character(1), true).await;
    let shard = shard_of(owner);
    node.attach(shard, 1).await;
    node.welcome(1, 1, owner).await;
    node.gateway.hears_durable = true;
    node.gateway.say(shard, 1, 1, Said::Slow(true)).await;
    let mut durable = pay(1, character(1));
    durable["intent"]["ack"] = json!("durable");
    node.frame(owner, 1, 1, &durable).await;
    assert_eq!(node.gateway.told(1).await.answer(), ("applied", 1), "answers are wanted");
    node.word(shard, 1, Word::Leaving).await;
    node.order(ToLink::Tell { shard, number: 1 }).await;
    node.word(shard, 1, Word::Moved { to: None, epoch: 2 }).await;
    assert_eq!(node.gateway.told(0).await, Told::Word(Word::Leaving));
    let Told::Notice(notice) = node.gateway.told(1).await else { panic!("a notice") };
    assert_eq!(notice["durable"]["versions"][character(1).to_string()], 2);
    assert_eq!(node.gateway.told(0).await, Told::Word(Word::Moved { to: None, epoch: 2 }));
    assert!(node.registry.is_empty(), "the connections are forgotten");
    node.stop().await;
}

#[tokio::test]
async fn a_move_waits_for_requests_that_run() {
    let (answer, answers) = mpsc::channel::<Vec<u8>>(1);
    let answers = Arc::new(tokio::sync::Mutex::new(answers));
    let requests: RequestHandler = Arc::new(move |request| {
        let answers = Arc::clone(&answers);
        Box::pin(async move { if request == b"not ours" { None } else { answers.lock().await.recv().await } })
    });
    let mut node = Node::answering(requests).await;
    let shard = ShardId::new(3);
    node.attach(shard, 1).await;
    node.gateway.say(shard, 1, 5, Said::Request(b"slow")).await;
    node.gateway.say(shard, 1, 6, Said::Request(b"not ours")).await;
    assert_eq!(node.gateway.told(6).await, Told::RequestBack(b"not ours".to_vec()));
    node.word(shard, 1, Word::Leaving).await;
    node.word(shard, 1, Word::Moved { to: None, epoch: 2 }).await;
    assert_eq!(node.gateway.told(0).await, Told::Word(Word::Leaving));
    node.gateway.say(shard, 1, 7, Said::Request(b"late")).await;
    assert_eq!(node.gateway.told(7).await, Told::RequestBack(b"late".to_vec()), "before `moved`");
    answer.send(b"answer".to_vec()).await.expect("it waits");
    assert_eq!(node.gateway.told(5).await, Told::Response(b"answer".to_vec()));
    assert_eq!(node.gateway.told(0).await, Told::Word(Word::Moved { to: None, epoch: 2 }));
    node.stop().await;
}

#[tokio::test]
async fn bytes_that_are_no_messages_end_the_link() {
    let mut node = Node::new().await;
    let owner = user(1);
    node.character(owner, character(1), true).await;
    node.attach(shard_of(owner), 1).await;
    node.welcome(1, 1, owner).await;
    node.gateway.say(shard_of(owner), 1, 1, Said::Response(b"only nodes say this")).await;
    assert_eq!(node.gateway.hear().await, None);
    assert!(matches!(node.from_link.recv().await, Some((_, FromLink::Down))));
    assert!(node.registry.is_empty());
    node.stop().await;
}

#[tokio::test]
async fn a_gateway_that_sends_more_frames_than_it_may_is_cut() {
    let mut node = Node::new().await;
    let owner = user(1);
    node.character(owner, character(1), false).await;
    let shard = shard_of(owner);
    node.attach(shard, 1).await;
    node.gateway.say(shard, 1, 1, Said::Hello(Box::new(game(user(3), false)))).await;
    let blocked = node.block();
    for id in 1..=QUEUE_MAX as u64 {
        node.frame(owner, 1, 1, &pay_of(owner, id, character(1))).await;
    }
    node.gateway.say(shard, 1, 2, Said::Request(b"are you there?")).await;
    assert_eq!(node.gateway.told(2).await, Told::Response(b"are you there?".to_vec()), "so many are allowed");
    node.frame(owner, 1, 1, &ping(1)).await;
    assert_eq!(node.gateway.hear().await, None);
    drop(blocked);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_silent_gateway_is_cut_and_hears_signs_of_life_until_then() {
    let house = House::new().await;
    let server = house.server().await;
    let (near, far) = tokio::io::duplex(4_096);
    let (links, mut from_link) = Links::new();
    let registry = Arc::new(Registry::new(SocketLimits { all_max: 1, per_user_max: 1, per_address_max: 1 }));
    let requests: RequestHandler = Arc::new(|_| Box::pin(async { None }));
    let shared = super::House { context: house.context(&server, 1_024), registry, requests };
    let end = links.open().expect("room");
    let link = Box::new(Link::<Srd, _>::new(LinkStream::new(near, Vec::new()), end, shared));
    let began = Instant::now();
    let serving = tokio::spawn(link.serve());
    let mut stream = LinkStream::new(far, Vec::new());
    let mut beats = 0;
    while let Ok(true) = poll_fn(|cx| stream.poll_read(cx)).await {
        while let Some(message) = stream.next_message().expect("messages") {
            assert_eq!(message.said, Said::Beat);
            beats += 1;
        }
    }
    assert!(matches!(serving.await, Ok(Cut::Silent)));
    assert!((3..=4).contains(&beats), "{beats}");
    assert!((SILENCE_MAX..2 * SILENCE_MAX).contains(&began.elapsed()));
    assert!(matches!(from_link.recv().await, Some((_, FromLink::Up(_)))));
    assert!(matches!(from_link.recv().await, Some((_, FromLink::Down))));
}
