//! This room over real loopback connections, with real shards and a real SQLite file.

mod audit;
mod characters;
mod forwarding;
mod fuzz;
mod limits;
mod linking;
mod proxies;
mod requests;
mod sockets;

use std::cell::Cell;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::*;
use crate::audit::Audit;
use crate::auth::{AccountName, Auth, Exposure, Grant, Password, Policy};
use crate::clock::{Clock, system_clock, system_entropy};
use crate::config::{Command, Config, Role};
use crate::flush::{FlushSettings, Flusher, Signals};
use crate::shard::{Capacity, Shards};
use crate::socket::{Accepted, Registry, SocketLimits};
use crate::storage::{Storage, StorageOptions, connect};
use castellan_srd::{Catalogue, Srd};

thread_local! {
    /// How far this test's clock runs ahead of the machine's.
    static AHEAD_MS: Cell<i64> = const { Cell::new(0) };
}

/// A server without socket threads: upgraded connections arrive in `accepted`.
struct House {
    storage: Arc<dyn Storage>,
    audit: Audit,
    address: SocketAddr,
    auth: Arc<Auth>,
    shards: Arc<Shards<Srd>>,
    health: Arc<Mutex<Health>>,
    accepted: mpsc::Receiver<Accepted>,
    context: Arc<Context<Srd>>,
    routes: Routes,
    stop: watch::Sender<bool>,
    served: JoinHandle<()>,
    _flushing: watch::Sender<bool>,
    _folder: tempfile::TempDir,
}

/// A complete answer.
#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    text: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }

    /// The status and the code of an error.
    fn problem(&self) -> (u16, String) {
        (self.status, self.json()["code"].as_str().unwrap_or_default().to_owned())
    }
}

async fn house(flags: &[&str]) -> House {
    AHEAD_MS.set(0);
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("sqlite://{}/castellan.db", folder.path().display());
    let storage = connect(&url, &StorageOptions::default()).await.expect("a database");
    storage.migrate().await.expect("tables");
    let house = house_on(flags, storage, folder, None).await;
    house.shards.take(&house.storage.take_over("test").await.expect("leases"));
    house
}

/// A server on this database that owns no shards yet.
async fn house_on(
    flags: &[&str],
    storage: Arc<dyn Storage>,
    folder: tempfile::TempDir,
    forward: Option<Forward>,
) -> House {
    let fixed = ["castellan", "--auth-argon2-memory=64KiB", "--auth-argon2-iterations=1", "--flush-interval=5ms"];
    let arguments = fixed.into_iter().chain(flags.iter().copied()).map(Into::into);
    let Ok(Command::Run(config, _)) = Config::from_args(arguments, &Default::default(), &[]) else {
        panic!("flags that cannot be used: {flags:?}")
    };
    let clock: Clock = {
        let machine = system_clock();
        Arc::new(move || machine() + AHEAD_MS.get())
    };
    let exposure = Arc::new(Exposure::new(config.listen.is_exposed()));
    let auth =
        Auth::open(Arc::clone(&storage), &config.auth, Arc::clone(&exposure), Arc::clone(&clock), system_entropy());
    let auth = Arc::new(auth.await.expect("accounts"));
    let signals = Arc::new(Signals::default());
    let catalogue = Arc::new(Catalogue::embedded());
    let shards = shards(&storage, &catalogue, &signals, &clock);
    let flushing = flush(&shards, &storage, &signals, &clock);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("its number");
    let health = Arc::new(Mutex::new(Health { status: Standing::Ready, problems: Vec::new() }));
    let (sender, accepted) = mpsc::channel(16);
    let published = Arc::new(Published { body: r#"{"items":[]}"#.into(), revision: "rev-1".to_owned() });
    let (stop, stopped) = watch::channel(false);
    let (audit, _) = Audit::start(Arc::clone(&storage), Arc::clone(&clock), system_entropy(), stopped.clone());
    let context = Arc::new(Context {
        audit: audit.clone(),
        auth: Arc::clone(&auth),
        issuers: Arc::default(),
        policy: Arc::new(Policy::from_choice::<Srd>(&config.rules.policy, &exposure).expect("a policy")),
        exposure,
        shards: Arc::clone(&shards),
        forward,
        registry: Arc::new(Registry::new(SocketLimits {
            all_max: config.socket.connections_max,
            per_user_max: config.socket.connections_per_user,
            per_address_max: config.socket.connections_per_address,
        })),
        hand_over: Box::new(move |accepted| sender.try_send(accepted).is_ok()),
        catalogue: Box::new(move || Arc::clone(&published)),
        health: Box::new({
            let health = Arc::clone(&health);
            move || health.lock().clone()
        }),
        metrics: Box::new(|| "castellan_sockets_open 0\n".to_owned()),
        rates: Rates::new(&config.listen, &config.socket),
        settings: config.listen.clone(),
        durable_timeout: config.flush.durable_timeout,
        clock,
        entropy: system_entropy(),
    });
    let routes = for_players(&context);
    let served = tokio::spawn(serve(listener, None, routes.clone(), Limits::from(&config.listen), stopped));
    House {
        address,
        storage,
        audit,
        auth,
        shards,
        health,
        accepted,
        context,
        routes,
        stop,
        served,
        _flushing: flushing,
        _folder: folder,
    }
}

fn shards(
    storage: &Arc<dyn Storage>,
    catalogue: &Arc<Catalogue>,
    signals: &Arc<Signals>,
    clock: &Clock,
) -> Arc<Shards<Srd>> {
    let capacity = Capacity {
        characters_max: 1_000,
        dirty_max: 1_000,
        deals_per_minute: 100,
        load_timeout: Duration::from_secs(5),
    };
    Arc::new(Shards::new(
        Arc::clone(storage),
        catalogue,
        &Arc::from([7; 32].as_slice()),
        capacity,
        Arc::clone(signals),
        tokio::runtime::Handle::current(),
        Arc::clone(clock),
    ))
}

/// Flushes until the returned sender is dropped.
fn flush(
    shards: &Arc<Shards<Srd>>,
    storage: &Arc<dyn Storage>,
    signals: &Arc<Signals>,
    clock: &Clock,
) -> watch::Sender<bool> {
    let settings = FlushSettings {
        interval: Duration::from_millis(5),
        batch_rows: 100,
        gather: Duration::from_millis(1),
        backoff_min: Duration::from_millis(10),
        backoff_max: Duration::from_millis(100),
    };
    let (stop, stopped) = watch::channel(false);
    let flusher = Flusher::new(
        Arc::clone(shards),
        Arc::clone(storage),
        Arc::clone(signals),
        settings,
        Arc::clone(clock),
        rand::make_rng(),
    );
    tokio::spawn(flusher.run(stopped));
    stop
}

impl House {
    /// Sends these bytes and reads until the server closes the connection.
    async fn raw(&self, request: &[u8]) -> Answer {
        let mut stream = TcpStream::connect(self.address).await.expect("a connection");
        stream.write_all(request).await.expect("to send");
        read(&mut stream).await
    }

    /// Sends a request with these header lines on its own connection.
    async fn send(&self, line: &str, headers: &[&str], body: &str) -> Answer {
        let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
        let head = format!("{line} HTTP/1.1\r\nHost: castellan.test:1\r\nConnection: close\r\n{headers}");
        self.raw(format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).as_bytes()).await
    }

    async fn post(&self, path: &str, token: &str, body: Value) -> Answer {
        self.write(&format!("POST {path}"), token, &[], body).await
    }

    async fn write(&self, line: &str, token: &str, headers: &[&str], body: Value) -> Answer {
        let token = format!("Authorization: Bearer {token}");
        let all = [&[token.as_str(), "Content-Type: application/json"], headers].concat();
        self.send(line, &all, &body.to_string()).await
    }

    async fn get(&self, path: &str, token: &str, headers: &[&str]) -> Answer {
        self.call("GET", path, token, headers).await
    }

    /// A request without a body.
    async fn call(&self, method: &str, path: &str, token: &str, headers: &[&str]) -> Answer {
        let token = format!("Authorization: Bearer {token}");
        self.send(&format!("{method} {path}"), &[&[token.as_str()], headers].concat(), "").await
    }

    /// A new session, after creating the account if necessary.
    async fn session(&self, name: &str, role: Role) -> Grant {
        let (name, password) =
            (AccountName::new(name).expect("a name"), Password::new("open sesame").expect("a password"));
        let _ = self.auth.registrar().create_account(&name, password.clone(), role).await;
        self.auth.login(&name, password, false, [127, 0, 0, 1].into()).await.expect("a login")
    }

    async fn token(&self, name: &str) -> String {
        self.session(name, Role::Player).await.token
    }

    /// A new character for the token's user.
    async fn character(&self, token: &str) -> String {
        let answer = self.post("/characters", token, brannor()).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.json()["id"].as_str().expect("an id").to_owned()
    }
}

fn brannor() -> Value {
    json!({
        "name": "Brannor", "race": "dwarf", "subrace": "hill-dwarf", "class": "fighter",
        "abilities": {"str": 16, "dex": 12, "con": 13, "int": 8, "wis": 12, "cha": 10},
        "skills": ["athletics", "perception"],
    })
}

/// Reads an answer to the end of its connection.
async fn read(stream: &mut TcpStream) -> Answer {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.expect("an answer");
    let text = String::from_utf8(bytes).expect("text");
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
    Answer { status, head: head.to_owned(), text: body.to_owned() }
}
