//! The client over real sockets. Each test plays the server.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use castellan_client::ledger::Event;
use castellan_client::{Client, Credentials, IntentHandle, Notice, Options, Outcome};
use castellan_srd::Srd;
use castellan_srd::wire::*;
use futures_util::{SinkExt, StreamExt};
use parking_lot::Mutex;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, frame::coding::CloseCode as Code};

const UUID: &str = "f81d4fae-7dec-11d0-a765-00a0c91e6bf6";

/// Answers logins and hands sockets to the test.
struct Server {
    address: String,
    sockets: mpsc::Receiver<Peer>,
    /// The called paths, in order: the n-th call returned the n-th token.
    calls: Arc<Mutex<Vec<String>>>,
}

/// The server's end of one socket.
struct Peer {
    socket: WebSocketStream<TcpStream>,
    codec: Codec,
    /// Path and query of the upgrade.
    target: String,
    token: String,
}

impl Server {
    async fn start(expires_in: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound").to_string();
        let (sender, sockets) = mpsc::channel(8);
        let calls = Arc::new(Mutex::new(Vec::new()));
        let (own_address, own_calls) = (address.clone(), Arc::clone(&calls));
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut head = [0; 11];
                while stream.peek(&mut head).await.expect("a request") < head.len() {}
                if &head == b"GET /socket" {
                    sender.send(Peer::accept(stream).await).await.expect("the test runs");
                    continue;
                }
                let path = read_request(&mut stream).await;
                let number = {
                    let mut calls = own_calls.lock();
                    calls.push(path);
                    calls.len()
                };
                let body = json!({
                    "token": format!("token-{number}"), "token_type": "Bearer", "expires_in": expires_in,
                    "refresh_token": format!("refresh-{number}"), "user_id": UUID, "session_id": UUID,
                    "socket_url": format!("ws://{own_address}/socket"),
                })
                .to_string();
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
                stream.write_all((head + &body).as_bytes()).await.expect("the client reads");
            }
        });
        Self { address, sockets, calls }
    }

    fn options(&self, codec: Codec) -> Options {
        let credentials = Credentials { username: "nobody".to_owned(), password: "secret".to_owned(), create: true };
        let server = format!("http://{}", self.address).parse().expect("an address");
        Options { codec, ..Options::new(server, credentials) }
    }

    /// The next socket, after `welcome`.
    async fn socket(&mut self) -> Peer {
        let mut peer = self.sockets.recv().await.expect("the server runs");
        let nobody = UUID;
        peer.send(ServerFrame::Welcome(Welcome {
            protocol: 1,
            server: "test".to_owned(),
            session: nobody.parse().expect("a UUID"),
            user: nobody.parse().expect("a UUID"),
            expires_in: 900,
            ping_seconds: 20,
            in_flight_max: 64,
            watch_max: 64,
            frame_bytes_max: 16_384,
            characters: Vec::new(),
        }))
        .await;
        peer
    }

    fn calls(&self) -> Vec<String> {
        self.calls.lock().clone()
    }
}

async fn read_request(stream: &mut TcpStream) -> String {
    let mut request = Vec::new();
    loop {
        stream.read_buf(&mut request).await.expect("a request");
        let text = String::from_utf8_lossy(&request).to_lowercase();
        let Some(end) = text.find("\r\n\r\n") else { continue };
        let length = text.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next()?.parse().ok());
        if request.len() >= end + 4 + length.unwrap_or(0_usize) {
            return text.split(' ').nth(1).expect("a path").to_owned();
        }
    }
}

impl Peer {
    #[allow(clippy::result_large_err, reason = "the library's own type")]
    async fn accept(stream: TcpStream) -> Self {
        let (mut target, mut token, mut codec) = (String::new(), String::new(), Codec::MessagePack);
        let socket = tokio_tungstenite::accept_hdr_async(stream, |request: &Request, mut response: Response| {
            let header =
                |name: &str| request.headers().get(name).and_then(|v| v.to_str().ok()).unwrap_or("").to_owned();
            target = request.uri().to_string();
            token = header("authorization");
            let protocol = header("sec-websocket-protocol");
            codec = Codec::from_subprotocol(&protocol).expect("a known subprotocol");
            response.headers_mut().insert("sec-websocket-protocol", protocol.parse().expect("a header"));
            Ok(response)
        });
        let socket = socket.await.expect("a good upgrade");
        Self { socket, codec, target, token }
    }

    async fn send(&mut self, frame: ServerFrame) {
        let mut bytes = Vec::new();
        self.codec.encode(&frame, &mut bytes);
        let message = match self.codec {
            Codec::MessagePack => Message::binary(bytes),
            Codec::Json => Message::text(String::from_utf8(bytes).expect("JSON is text")),
        };
        self.socket.send(message).await.expect("the client reads");
    }

    async fn frame(&mut self) -> ClientFrame {
        loop {
            let message = self.socket.next().await.expect("the client is there").expect("a message");
            if message.is_text() || message.is_binary() {
                return self.codec.decode_client_frame(&message.into_data()).expect("a good frame");
            }
        }
    }

    /// The next intent; answers fetches before it.
    async fn intent(&mut self) -> Intent {
        loop {
            match self.frame().await {
                ClientFrame::Intent(intent) => return intent,
                ClientFrame::Fetch(fetch) => {
                    let (character, durable) = (character(1, 0), Version::new(1));
                    self.send(ServerFrame::State(State { character, durable, id: Some(fetch.id) })).await;
                }
                other => panic!("unexpected {}", other.kind()),
            }
        }
    }

    async fn applied(&mut self, id: RequestId, version: u64) {
        let (character, durable) = (character(version, id.get()), Version::new(1));
        self.send(ServerFrame::Applied(Applied { id, character, durable, duplicate: false })).await;
    }

    async fn durable(&mut self, version: u64) {
        let versions = BTreeMap::from([(hero(), Version::new(version))]);
        self.send(ServerFrame::Durable(Durable { versions })).await;
    }

    async fn close(mut self, code: u16) {
        let frame = CloseFrame { code: Code::from(code), reason: "test".into() };
        self.socket.close(Some(frame)).await.expect("the client reads");
    }
}

fn hero() -> CharacterId {
    UUID.parse().expect("a UUID")
}

fn character(version: u64, last: u64) -> Character {
    let scores = Scores::default();
    let derived = Derived {
        armor_class: 10,
        speed: 30,
        initiative: 0,
        proficiency_bonus: 2,
        passive_perception: 10,
        abilities: scores,
        modifiers: scores,
        saving_throws: scores,
        skills: BTreeMap::new(),
        carrying_capacity: 150,
        carried_weight: 0.0,
        attacks: Vec::new(),
        flags: Vec::new(),
    };
    Character {
        id: hero(),
        user_id: UUID.parse().expect("a UUID"),
        sheet: Sheet {
            name: "Brannor".to_owned(),
            race: "dwarf".to_owned(),
            subrace: None,
            class: "fighter".to_owned(),
            level: 1,
            experience: 0,
            abilities: scores,
            skills: Vec::new(),
            hitpoints: 10,
            max_hitpoints: 10,
            temporary_hitpoints: 0,
            hit_dice: 1,
            death_saves: DeathSaves::default(),
            life: "conscious".to_owned(),
            conditions: Vec::new(),
            exhaustion: 0,
            currency: Currency::default(),
            equipment: BTreeMap::new(),
            attuned: Vec::new(),
            inventory: Vec::new(),
            derived,
        },
        parcels: Vec::new(),
        offers: Vec::new(),
        waiting: Vec::new(),
        version: Version::new(version),
        last: RequestId::new(last),
        created_at: String::new(),
        updated_at: String::new(),
    }
}

fn hurt(client: &Client<Srd>) -> IntentHandle<Character> {
    let action = Action::ModifyHitpoints(ModifyHitpoints { delta: -1, critical: false });
    client.send(hero(), action).expect("there is room")
}

/// Waits for a notice of a kind.
async fn until(client: &Client<Srd>, wanted: impl Fn(&Notice<Character>) -> bool) -> Notice<Character> {
    let search = async {
        loop {
            let notice = client.notice().await;
            if wanted(&notice) {
                return notice;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), search).await.expect("the notice comes")
}

#[tokio::test]
async fn intents_are_answered_in_both_encodings() {
    for codec in [Codec::MessagePack, Codec::Json] {
        let mut server = Server::start(900).await;
        let client = Client::<Srd>::start(server.options(codec)).await.expect("a login");
        let mut peer = server.socket().await;
        assert_eq!((peer.codec, peer.token.as_str()), (codec, "Bearer token-1"));
        let (mut first, mut second) = (hurt(&client), hurt(&client));
        let intents = [peer.intent().await, peer.intent().await];
        assert_eq!([intents[0].id, intents[1].id], [first.id(), second.id()]);
        assert_eq!([intents[0].after, intents[1].after], [Some(RequestId::new(0)), Some(first.id())]);
        peer.applied(first.id(), 2).await;
        assert!(matches!(first.answered().await, Outcome::Applied(state) if state.version.get() == 2));
        let (code, message) = (castellan_srd::code::DEAD, "The dead do not bleed.".to_owned());
        peer.send(ServerFrame::Rejected(Rejected {
            id: Some(second.id()),
            code,
            message: message.clone(),
            retry_after_ms: None,
        }))
        .await;
        assert_eq!(second.settled().await, Outcome::Rejected { code, message });
        peer.durable(2).await;
        assert_eq!(first.settled().await, Outcome::Durable(Version::new(2)));
        client.settled().await;
        assert_eq!(client.state(hero()).map(|state| state.version.get()), Some(2));
        client.close();
        until(&client, |notice| matches!(notice, Notice::Stopped { .. })).await;
    }
}

/// The test and the client share one thread, so the client finds all answers in its socket at once: more than it handles
/// in one go.
#[tokio::test]
async fn every_answer_of_a_long_burst_counts() {
    let mut server = Server::start(900).await;
    let client = Client::start(server.options(Codec::MessagePack)).await.expect("a login");
    let mut peer = server.socket().await;
    let requests: Vec<_> = (0..300).map(|_| client.unwatch(hero()).expect("there is room")).collect();
    let mut burst = Vec::new();
    for _ in &requests {
        let ClientFrame::Unwatch(unwatch) = peer.frame().await else { panic!("the client only unwatches") };
        let mut bytes = Vec::new();
        peer.codec
            .encode(&ServerFrame::<Character>::Accepted(Accepted { id: unwatch.id, expires_in: None }), &mut bytes);
        let payload_bytes = u8::try_from(bytes.len()).expect("it is short");
        // A final binary message without a mask: RFC 6455, section 5.2.
        burst.extend([0x82, payload_bytes]);
        burst.extend(bytes);
    }
    peer.socket.get_mut().write_all(&burst).await.expect("the client reads");
    for request in requests {
        until(&client, |notice| matches!(notice, Notice::Event(Event::Accepted { id, .. }) if *id == request)).await;
    }
}

#[tokio::test]
async fn a_lost_connection_is_replaced_and_intents_are_sent_again() {
    let mut server = Server::start(900).await;
    let client = Client::<Srd>::start(server.options(Codec::MessagePack)).await.expect("a login");
    let mut peer = server.socket().await;
    let target = peer.target.clone();
    assert!(target.starts_with("/socket?client="), "{target}");
    let (mut first, mut second) = (hurt(&client), hurt(&client));
    let sent = [peer.intent().await, peer.intent().await];
    peer.applied(first.id(), 2).await;
    first.answered().await;
    drop(peer);
    until(&client, |notice| matches!(notice, Notice::Offline { .. })).await;
    let mut third = hurt(&client);
    let mut peer = server.socket().await;
    assert_eq!(peer.target, target, "a run of the client keeps its id");
    assert_eq!([peer.intent().await, peer.intent().await], sent);
    assert_eq!(peer.intent().await.after, Some(second.id()));
    for (handle, version) in [(&first, 5), (&second, 6), (&third, 7)] {
        peer.applied(handle.id(), version).await;
    }
    peer.durable(7).await;
    for handle in [&mut first, &mut second, &mut third] {
        assert!(matches!(handle.settled().await, Outcome::Durable(_)));
    }
}

#[tokio::test]
async fn close_codes_are_obeyed() {
    let mut server = Server::start(900).await;
    let client = Client::<Srd>::start(server.options(Codec::Json)).await.expect("a login");
    server.socket().await.close(4502).await;
    let peer = server.socket().await;
    assert_eq!(
        (server.calls(), peer.token.as_str()),
        (vec!["/session/login".to_owned(), "/session/refresh".to_owned()], "Bearer token-2")
    );
    peer.close(4501).await;
    let mut peer = server.socket().await;
    assert_eq!(
        (server.calls().last().map(String::as_str), peer.token.as_str()),
        (Some("/session/login"), "Bearer token-3")
    );
    let closing = Closing { code: 4400, reason: "the server stops".to_owned(), retry_after_ms: 5 };
    peer.send(ServerFrame::Closing(closing)).await;
    peer.close(4400).await;
    let wait = Duration::from_millis(5);
    until(&client, |notice| matches!(notice, Notice::Offline { retry_in, .. } if *retry_in == wait)).await;
    let mut lost = hurt(&client);
    server.socket().await.close(4500).await;
    assert_eq!(lost.settled().await, Outcome::Unknown);
    until(&client, |notice| matches!(notice, Notice::Stopped { reason } if reason.contains("4500"))).await;
    assert!(client.send(hero(), Action::LongRest(LongRest {})).is_err());
}

#[tokio::test]
async fn tokens_are_refreshed_before_they_expire() {
    let mut server = Server::start(0).await;
    let client = Client::<Srd>::start(server.options(Codec::MessagePack)).await.expect("a login");
    let mut peer = server.socket().await;
    let ClientFrame::Refresh(refresh) = peer.frame().await else { panic!("the token has already expired") };
    assert_eq!(refresh.token, "token-2");
    client.close();
}

#[test]
fn a_program_without_a_runtime_can_use_the_client() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime for the server");
    let mut server = runtime.block_on(Server::start(900));
    let client = Client::<Srd>::start_on_thread(server.options(Codec::MessagePack)).expect("a login");
    let mut handle = hurt(&client);
    runtime.block_on(async {
        let mut peer = server.socket().await;
        let id = peer.intent().await.id;
        peer.applied(id, 2).await;
        peer.durable(2).await;
        assert_eq!(handle.settled().await, Outcome::Durable(Version::new(2)));
    });
    assert!(std::iter::from_fn(|| client.try_notice()).count() >= 3);
    client.close();
}

#[tokio::test]
async fn a_refused_login_is_reported_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a client");
        read_request(&mut stream).await;
        let body = r#"{"error":"Wrong name or password.","code":"bad_credentials"}"#;
        let answer = format!("HTTP/1.1 401 Unauthorized\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        stream.write_all(answer.as_bytes()).await.expect("the client reads");
    });
    let credentials = Credentials { username: "nobody".to_owned(), password: "secret".to_owned(), create: false };
    assert!(!format!("{credentials:?}").contains("secret"));
    let server = format!("http://{address}").parse().expect("an address");
    let error = Client::<Srd>::start(Options::new(server, credentials)).await.err().expect("a refusal");
    assert_eq!(error.to_string(), "Wrong name or password. (bad_credentials)");
}
