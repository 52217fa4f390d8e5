//! The server: one character, its intents, and its lies.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use castellan_srd::wire::{Action, ClientFrame, Codec, Fetch, Intent, Watch};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};

const UUID: &str = "f81d4fae-7dec-11d0-a765-00a0c91e6bf6";

/// Length of a pause.
const PAUSE: Duration = Duration::from_millis(500);

/// A lie, told with the tenth applied intent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Lie {
    None,
    /// Answers `applied` but does nothing.
    Nothing,
    /// Applies the intent twice.
    Twice,
    /// Repeats the previous version.
    VersionFalls,
    /// Calls a version durable that does not exist yet.
    DurableAhead,
    /// Says that somebody else produced the state.
    Stranger,
    /// Never calls the intent durable.
    NeverDurable,
    /// Never answers.
    Silence,
    /// Applies every intent, whatever its base.
    AnyBase,
    /// Applies an intent again when it is sent again.
    Again,
    /// No lie, but a pause.
    Pause,
}

/// The owner of a character.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Owner {
    /// One client, on all its connections.
    Client,
    /// All clients.
    Everybody,
}

/// A character and its applied intents.
struct State {
    character: Value,
    ids: BTreeSet<u64>,
    applied: u32,
    has_paused: bool,
    durable: u64,
}

/// All characters by their owners.
type Characters = Arc<Mutex<BTreeMap<String, Arc<Mutex<State>>>>>;

impl Default for State {
    fn default() -> Self {
        let character = json!({
            "id": UUID, "version": 1, "last": 0, "experience": 0, "hitpoints": 12, "max_hitpoints": 12,
            "temporary_hitpoints": 0, "life": "conscious", "currency": {"cp": 0, "sp": 0, "ep": 0, "gp": 0, "pp": 0},
            "inventory": [{"item": "torch", "quantity": 1}], "equipment": {}, "derived": {"armor_class": 11},
        });
        Self { character, ids: BTreeSet::new(), applied: 0, has_paused: false, durable: 1 }
    }
}

impl State {
    /// Applies an action; returns false if this server does not know it.
    fn act(&mut self, action: &Action) -> bool {
        let mut add = |path: &str, amount: i64| {
            let number = self.character.pointer_mut(path).expect("the path is there");
            let sum = number.as_i64().expect("an integer") + amount;
            *number = json!(sum);
            sum
        };
        match action {
            Action::ModifyHitpoints(modify) if modify.delta > 0 => {
                let over = (add("/hitpoints", modify.delta) - 12).max(0);
                add("/hitpoints", -over);
            }
            Action::ModifyHitpoints(modify) => {
                let under = add("/temporary_hitpoints", modify.delta).min(0);
                add("/temporary_hitpoints", -under);
                let under = add("/hitpoints", under).min(0);
                add("/hitpoints", -under);
            }
            Action::GainExperience(gain) => drop(add("/experience", gain.amount)),
            Action::ModifyCurrency(modify) => drop(add("/currency/gp", modify.gp.unwrap_or(0))),
            Action::AddItem(item) if item.item == "torch" => drop(add("/inventory/0/quantity", item.quantity)),
            _ => return false,
        }
        true
    }

    /// Returns true if the tenth intent was just applied, so that a pause is due.
    fn pauses(&mut self) -> bool {
        let pauses = self.applied >= 10 && !self.has_paused;
        self.has_paused |= pauses;
        pauses
    }

    /// The answers to an intent.
    fn answer(&mut self, intent: &Intent, lie: Lie) -> Vec<Value> {
        let before = self.character.clone();
        if self.ids.contains(&intent.id.get()) && lie != Lie::Again {
            let applied = json!({"id": intent.id, "character": before, "durable": self.durable, "duplicate": true});
            return vec![json!({"applied": applied})];
        }
        let matches = match intent.expect {
            Some(version) => json!(version) == before["version"],
            None => json!(intent.after) == before["last"],
        };
        if !matches && !matches!(lie, Lie::AnyBase | Lie::Again) {
            return vec![json!({"conflict": {"id": intent.id, "character": before, "durable": self.durable}})];
        }
        if !self.act(&intent.action) {
            return vec![json!({"rejected": {"id": intent.id, "code": "cannot_use", "message": "Not here."}})];
        }
        self.applied += 1;
        self.ids.insert(intent.id.get());
        let lies = self.applied == 10;
        let version = before["version"].as_u64().expect("a version") + 1;
        match lie {
            Lie::Nothing if lies => self.character = before,
            Lie::Twice if lies => drop(self.act(&intent.action)),
            _ => {}
        }
        self.character["version"] = json!(version);
        self.character["last"] = json!(intent.id);
        let mut told = self.character.clone();
        let mut durable = self.durable;
        match lie {
            Lie::VersionFalls if lies => told["version"] = json!(version - 2),
            Lie::DurableAhead if lies => durable = version + 1,
            Lie::Stranger if lies => told["last"] = json!((1_u64 << 53) - 1),
            Lie::Silence if lies => return Vec::new(),
            _ => {}
        }
        let applied = json!({"applied": {"id": intent.id, "character": told, "durable": durable}});
        if lie == Lie::NeverDurable && self.applied >= 10 {
            return vec![applied];
        }
        self.durable = version;
        vec![applied, json!({"durable": {"versions": {UUID: version}}})]
    }
}

pub(super) async fn serve(listener: TcpListener, lie: Lie, owner: Owner) {
    let address = listener.local_addr().expect("bound");
    let characters = Characters::default();
    while let Ok((mut stream, _)) = listener.accept().await {
        stream.set_nodelay(true).expect("a socket");
        let mut head = [0; 11];
        while stream.peek(&mut head).await.is_ok_and(|length| (1..head.len()).contains(&length)) {}
        if &head == b"GET /socket" {
            tokio::spawn(play(stream, lie, owner, Arc::clone(&characters)));
            continue;
        }
        let path = read_request(&mut stream).await;
        let body = match path.as_str() {
            "/session/login" => json!({
                "token": "t", "token_type": "Bearer", "expires_in": 900, "refresh_token": "r", "user_id": UUID,
                "session_id": UUID, "socket_url": format!("ws://{address}/socket"),
            }),
            _ => json!({"characters": [{"id": UUID}]}),
        }
        .to_string();
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
        stream.write_all((head + &body).as_bytes()).await.expect("the client reads");
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

#[allow(clippy::result_large_err, reason = "the library's own type")]
async fn play(stream: TcpStream, lie: Lie, owner: Owner, characters: Characters) {
    let mut client = String::new();
    let socket = tokio_tungstenite::accept_hdr_async(stream, |request: &Request, mut response: Response| {
        client = request.uri().query().expect("the client names itself").to_owned();
        let name = Codec::Json.subprotocol().parse().expect("a header");
        response.headers_mut().insert("sec-websocket-protocol", name);
        Ok(response)
    });
    let mut socket = socket.await.expect("a good upgrade");
    let key = if owner == Owner::Client { client } else { String::new() };
    let state = Arc::clone(characters.lock().expect("nobody panics").entry(key).or_default());
    let welcome = json!({"welcome": {
        "protocol": 1, "server": "liar", "session": UUID, "user": UUID, "expires_in": 900, "ping_seconds": 20,
        "in_flight_max": 64, "watch_max": 64, "frame_bytes_max": 16384, "characters": [],
    }});
    socket.send(Message::text(welcome.to_string())).await.expect("the client reads");
    while let Some(Ok(message)) = socket.next().await {
        let Message::Text(text) = message else { continue };
        let answers = match Codec::Json.decode_client_frame(text.as_bytes()).expect("a good frame") {
            ClientFrame::Intent(intent) => state.lock().expect("nobody panics").answer(&intent, lie),
            ClientFrame::Fetch(Fetch { id, .. }) | ClientFrame::Watch(Watch { id, .. }) => {
                let state = state.lock().expect("nobody panics");
                vec![json!({"state": {"character": state.character, "durable": state.durable, "id": id}})]
            }
            other => panic!("unexpected {}", other.kind()),
        };
        if lie == Lie::Pause && state.lock().expect("nobody panics").pauses() {
            tokio::time::sleep(PAUSE).await;
        }
        for answer in answers {
            // An error means that the client has closed the connection.
            if socket.send(Message::text(answer.to_string())).await.is_err() {
                return;
            }
        }
    }
}
