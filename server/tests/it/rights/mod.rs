//! Every route and every frame with every kind of token: who gets in, and whose characters exist for whom.
//!
//! [`table`] says what each of them answers. A new route or frame needs a row there.

mod table;
mod tokens;

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};

use castellan::http::all_routes;
use castellan_srd::Srd;
use castellan_srd::wire::{Action, ClientFrame, Codec};
use serde_json::{Value, json};
use sqlx::{Connection, Row as _, SqliteConnection};
use tokio_tungstenite::tungstenite::Error;

use crate::harness::{Http, Kind, Server, Socket};
use crate::play::{House, enter, id};
use table::{ACTIONS, Caller, FRAMES, ROUTES, Row};
use tokens::Forge;

/// Tables whose rows clients can change.
const TABLES: [&str; 7] =
    ["accounts", "identities", "sessions", "characters", "dead_letters", "signing_keys", "departed_users"];

const JSON: &str = "castellan.v1.json";

/// A UUID that nobody has.
const NOBODY: &str = "00000000-0000-4000-8000-000000000000";

/// A server with an owner, her character, and everybody who wants it.
struct World {
    house: House,
    server: Server,
    forge: Forge,
    ada: Login,
    character: String,
    /// Another session of the owner.
    session: String,
    /// Genuine tokens that are no longer good: why, and the close code of a socket.
    dead: Vec<(&'static str, String, u16)>,
    /// A player, an operator and a game server.
    others: [Login; 3],
    /// The rows before anybody tried anything.
    rows: BTreeMap<&'static str, Vec<String>>,
    /// What the owner's characters were then.
    state: String,
}

/// A session.
#[derive(Clone)]
struct Login {
    name: &'static str,
    user: String,
    token: String,
}

impl Login {
    fn new(server: &Server, name: &'static str) -> Self {
        Self::from_answer(name, &Http::new(server.address()).login(name, "open sesame").1)
    }

    fn from_answer(name: &'static str, answer: &Value) -> Self {
        let text = |field: &str| answer[field].as_str().expect("a text").to_owned();
        Self { name, user: text("user_id"), token: text("token") }
    }
}

impl World {
    fn new(arguments: &[&str]) -> Self {
        // Everybody comes from one address here.
        let arguments = &[&["--http-anonymous-burst", "1000000"], arguments].concat();
        let house = House::new(Kind::Sqlite);
        for (name, role) in [("oscar", "operator"), ("gamora", "game")] {
            account(&house, &["create", name, "--role", role, "--password-stdin"]);
        }
        let server = house.server(arguments);
        let (http, _, made) = enter(&server, "ada");
        let character = id(&made);
        let state = http.get("/characters").text;
        let (_, login) = Http::new(server.address()).login("ada", "open sesame");
        let ada = Login::from_answer("ada", &login);
        let (_, spare) = Http::new(server.address()).login("ada", "open sesame");
        let session = spare["session_id"].as_str().expect("an id").to_owned();
        let [over, disabled, deleted] = ["ada", "dora", "della"].map(|name| Login::new(&server, name));
        let http = Http::new(server.address()).with_token(&over.token);
        assert_eq!(http.call("POST", "/session/logout", &[], None).status, 204);
        let others = ["bea", "oscar", "gamora"].map(|name| Login::new(&server, name));
        assert!(server.terminate().success());
        account(&house, &["disable", "dora"]);
        account(&house, &["delete", "della"]);
        // She has no characters to delete. A server would find that out after 5 s, perhaps in the middle of a test.
        query(&house, "DELETE FROM departed_users".to_owned(), |row| row.get::<String, _>(0));
        let forge = Forge::new(&login, &signing_key(&house));
        let rows = rows(&house);
        let dead = vec![
            ("expired", forge.expired(), 4502),
            ("revoked", over.token, 4501),
            ("of a disabled account", disabled.token, 4501),
            ("of a deleted account", deleted.token, 4501),
        ];
        let server = house.server(arguments);
        Self { house, server, forge, ada, character, session, dead, others, rows, state }
    }

    /// Everybody whose token is good, and what they are to the owner's character: with her name or without.
    fn live(&self) -> Vec<(Caller, &Login)> {
        let [player, operator, game] = &self.others;
        vec![
            (Caller::Owner, &self.ada),
            (Caller::Stranger, player),
            (Caller::Stranger, operator),
            (Caller::Stranger, game),
            (Caller::Pretender, player),
            (Caller::Pretender, operator),
            (Caller::GameServer, game),
        ]
    }

    /// Everything that is no token, and why.
    fn forgeries(&self) -> Vec<(&'static str, String)> {
        self.forge.forgeries(&self.others[0].user)
    }

    /// The id of what a route is about.
    fn subject(&self, row: &Row) -> &str {
        if row.path.starts_with("/session/") { &self.session } else { &self.character }
    }

    /// Fails if the owner's characters are not what they were.
    #[track_caller]
    fn assert_unchanged(&self, by: &str) {
        let http = Http::new(self.server.address()).with_token(&self.ada.token);
        assert_eq!(http.get("/characters").text, self.state, "changed by {by}");
    }

    /// Stops the server, which writes everything that it holds, and compares the rows.
    fn assert_no_row_changed(self) {
        assert!(self.server.terminate().success());
        assert_eq!(rows(&self.house), self.rows);
    }

    /// Sends the request of a row; the answer begins with what the table should say.
    fn ask(&self, row: &Row, caller: Caller, token: Option<&str>, subject: &str) -> (String, String) {
        let http = Http::new(self.server.address());
        let http = token.map_or(http.clone(), |token| http.with_token(token));
        let mut path = row.path.replace("{id}", subject);
        if matches!(caller, Caller::Pretender | Caller::GameServer) {
            path = format!("{path}?user={}", self.ada.user);
        }
        let mut headers = vec![("If-Match", "*")];
        let body = (!row.body.is_empty()).then_some(row.body);
        headers.extend(body.map(|_| ("Content-Type", "application/json")));
        let answer = http.call(row.method, &path, &headers, body);
        assert_eq!(answer.headers.contains_key("www-authenticate"), answer.status == 401, "{answer:?}");
        (format!("{} {}", answer.status, answer.code()).trim_end().to_owned(), answer.text)
    }
}

/// Runs a command about an account, as an operator does while no server runs. Its password is always the same.
fn account(house: &House, arguments: &[&str]) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_castellan"));
    command.current_dir(house.folder()).arg("account").args(arguments);
    let cheap = ["--auth-argon2-memory", "64KiB", "--auth-argon2-iterations", "1"];
    let mut child = command.args(cheap).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("it starts");
    // Fails if the command reads nothing.
    let _ = child.stdin.take().expect("a pipe").write_all(b"open sesame\n");
    assert!(child.wait().expect("it ends").success(), "{arguments:?}");
}

/// Runs a query on the file of a server that does not run.
fn query<T: Send + Unpin>(house: &House, sql: String, read: impl Fn(&sqlx::sqlite::SqliteRow) -> T) -> Vec<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let file = house.folder().join("data/castellan.db");
        let mut connection = SqliteConnection::connect(file.to_str().expect("a path")).await.expect("the file opens");
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).fetch_all(&mut connection).await.expect("an answer");
        connection.close().await.expect("the connection ends");
        rows.iter().map(read).collect()
    })
}

fn signing_key(house: &House) -> Vec<u8> {
    let sql = "SELECT secret FROM signing_keys WHERE purpose = 'es256'".to_owned();
    query(house, sql, |row| row.get(0)).pop().expect("the key that signs")
}

/// Every column of every row of [`TABLES`].
fn rows(house: &House) -> BTreeMap<&'static str, Vec<String>> {
    let rows_of = |table| {
        let columns =
            format!("SELECT group_concat('quote(' || name || ')', '||'', ''||') FROM pragma_table_info('{table}')");
        let columns: String = query(house, columns, |row| row.get(0)).pop().expect("columns");
        (table, query(house, format!("SELECT {columns} FROM {table} ORDER BY 1"), |row| row.get(0)))
    };
    TABLES.into_iter().map(rows_of).collect()
}

#[test]
fn every_route_and_every_kind_of_frame_has_a_row() {
    let served = all_routes::<Srd>().into_iter().map(|route| (route.method.to_string(), route.path.into_owned()));
    let mut served: Vec<_> = served.collect();
    let mut listed: Vec<_> = ROUTES.iter().map(|row| (row.method.to_owned(), row.path.to_owned())).collect();
    served.sort();
    listed.sort();
    assert_eq!(listed, served, "server/tests/it/rights/table.rs says who may use each route");
    let kinds: Vec<_> = FRAMES.iter().map(|row| row.kind).collect();
    assert_eq!(kinds, ClientFrame::KINDS, "server/tests/it/rights/table.rs says who may send each kind of frame");
    let kind = |json: &str| serde_json::from_str::<Action>(json).expect("an action").kind();
    let mut kinds: Vec<_> = ACTIONS.iter().map(|(action, _)| kind(action)).collect();
    kinds.dedup();
    assert_eq!(kinds, Action::KINDS, "server/tests/it/rights/table.rs says who may send each kind of action");
}

#[test]
fn without_a_good_token_every_route_refuses_and_nothing_changes() {
    let world = World::new(&[]);
    let resigned = world.forge.resigned();
    for row in ROUTES {
        let check = |caller, why: &str, token: Option<&str>| {
            let (answer, text) = world.ask(row, caller, token, world.subject(row));
            assert_eq!(answer, row.answer(caller), "{} {} with {why}: {text}", row.method, row.path);
            assert!(!text.contains(&world.character), "{text}");
        };
        check(Caller::Nobody, "no token", None);
        for (why, token) in world.forgeries() {
            check(Caller::Nobody, why, Some(&token));
        }
        for (why, token, _) in &world.dead {
            check(Caller::Dead, why, Some(token));
        }
        world.assert_unchanged(row.path);
        if row.changes_nothing(Caller::Owner) {
            let (answer, _) = world.ask(row, Caller::Owner, Some(&resigned), world.subject(row));
            assert_eq!(answer, row.answer(Caller::Owner), "what is forged would otherwise be good");
        }
    }
    world.assert_no_row_changed();
}

#[test]
fn a_token_counts_only_as_the_one_bearer() {
    let world = World::new(&[]);
    let address = world.server.address();
    let token = &world.ada.token;
    let http = Http::new(address);
    let refused = |headers: &[(&str, &str)], path: &str| {
        let answer = http.call("GET", path, headers, None);
        assert_eq!((answer.status, answer.code()), (401, "unauthenticated"), "{path} {headers:?}");
    };
    let bearer = format!("Bearer {token}");
    assert_eq!(http.call("GET", "/session", &[("Authorization", &bearer)], None).status, 200);
    for (name, value) in [
        ("Authorization", token.clone()),
        ("Authorization", format!("Basic {token}")),
        ("Authorization", format!("Bearer,{token}")),
        ("Authorization", "Bearer".to_owned()),
        ("Cookie", format!("token={token}")),
        ("Proxy-Authorization", bearer.clone()),
        ("X-Authorization", bearer.clone()),
        ("Sec-WebSocket-Protocol", format!("{JSON}, bearer.{token}")),
    ] {
        refused(&[(name, &value)], "/session");
    }
    // Two of them: which one counts would be up to each proxy on the way.
    refused(&[("Authorization", &bearer), ("Authorization", "Bearer x")], "/session");
    refused(&[("Authorization", "Bearer x"), ("Authorization", &bearer)], "/session");
    for query in ["token", "access_token", "authorization", "bearer"] {
        refused(&[], &format!("/session?{query}={token}"));
        refused(&[], &format!("/socket?{query}={token}"));
    }
    world.assert_no_row_changed();
}

#[test]
fn a_character_of_somebody_else_does_not_exist() {
    let world = World::new(&[]);
    for row in ROUTES {
        for (caller, who) in world.live() {
            if caller == Caller::Owner || !row.changes_nothing(caller) {
                continue;
            }
            let (answer, text) = world.ask(row, caller, Some(&who.token), world.subject(row));
            let shown = format!("{} {} by {} as {caller:?}: {text}", row.method, row.path, who.name);
            assert_eq!(answer, row.answer(caller), "{shown}");
            if caller == Caller::GameServer {
                continue;
            }
            assert!(!text.contains(&world.character) && !text.contains(&world.ada.user), "{shown}");
            if !answer.starts_with('2') {
                let (_, nobodys) = world.ask(row, caller, Some(&who.token), NOBODY);
                assert_eq!(text, nobodys, "the same words as about a character that nobody has: {shown}");
            }
        }
        world.assert_unchanged(row.path);
    }
    world.assert_no_row_changed();
}

#[test]
fn whoever_may_use_a_route_can() {
    let world = World::new(&[]);
    let ada = Http::new(world.server.address()).with_token(&world.ada.token);
    for row in ROUTES {
        for (caller, who) in world.live() {
            if row.changes_nothing(caller) {
                if matches!(caller, Caller::Owner | Caller::GameServer) {
                    let (answer, text) = world.ask(row, caller, Some(&who.token), world.subject(row));
                    assert_eq!(answer, row.answer(caller), "{} {} by {}: {text}", row.method, row.path, who.name);
                }
                continue;
            }
            let made = ada.post("/characters", &crate::play::paladin("Another"));
            assert_eq!(made.status, 201, "{made:?}");
            let path = format!("/characters/{}", id(&made.json));
            for (route, body) in [
                ("equip", json!({"version": 0, "item": "chain-mail"})),
                ("add", json!({"version": 0, "item": "dagger", "quantity": 2})),
            ] {
                let prepared = ada.post(&format!("{path}/equipment/{route}"), &body);
                assert_eq!(prepared.status, 200, "{prepared:?}");
            }
            // A token of its own, because the route may end its session.
            let own = Login::new(&world.server, who.name);
            let made = id(&made.json);
            let subject = if row.path.starts_with("/characters") { &made } else { world.subject(row) };
            let (answer, text) = world.ask(row, caller, Some(&own.token), subject);
            assert_eq!(answer, row.answer(caller), "{} {} by {}: {text}", row.method, row.path, who.name);
            ada.call("DELETE", &path, &[("If-Match", "*")], None);
            for made in ada.get("/characters").json["characters"].as_array().expect("a list") {
                if made["name"] == "Yet another" {
                    ada.call("DELETE", &format!("/characters/{}", id(made)), &[("If-Match", "*")], None);
                }
            }
        }
    }
}

/// The kind of an answer, and its code if it has one.
fn told((kind, fields): &(String, Value)) -> String {
    format!("{kind} {}", fields["code"].as_str().unwrap_or_default()).trim_end().to_owned()
}

#[test]
fn every_frame_is_answered_by_who_sends_it() {
    let world = World::new(&[]);
    for codec in [Codec::Json, Codec::MessagePack] {
        for (caller, who) in world.live() {
            let mut socket = Socket::open_as(world.server.address(), &who.token, codec, "");
            let knows = socket.welcome.to_string().contains(&world.character);
            assert_eq!(knows, caller == Caller::Owner, "a welcome lists the user's own characters");
            for row in FRAMES {
                let fields = |character: &str| {
                    let text = row.fields.replace("TOKEN", &world.ada.token);
                    let mut fields: Value = serde_json::from_str(&text).expect("JSON");
                    fields["character"] = json!(character);
                    if matches!(caller, Caller::Pretender | Caller::GameServer) {
                        fields["user"] = json!(world.ada.user);
                    }
                    fields
                };
                let answer = socket.call(row.kind, fields(&world.character));
                let shown = format!("{} by {} as {caller:?} in {codec:?}: {answer:?}", row.kind, who.name);
                assert_eq!(told(&answer), row.answer(caller), "{shown}");
                if row.answer(caller).starts_with("rejected") {
                    let without_id = |(kind, mut fields): (String, Value)| {
                        fields["id"] = Value::Null;
                        (kind, fields)
                    };
                    let nobodys = socket.call(row.kind, fields(NOBODY));
                    assert_eq!(without_id(answer), without_id(nobodys), "{shown}");
                }
            }
            if matches!(caller, Caller::Stranger | Caller::Pretender) {
                // The refused watch is none: of the next change this connection hears nothing.
                let mut owner = Socket::open(world.server.address(), &world.ada.token);
                let action = json!({"modify_currency": {"cp": 1}});
                let change = json!({"character": world.character, "expect": 0, "ack": "durable", "action": action});
                assert_eq!(owner.call("intent", change).0, "applied");
                socket.ask("ping", json!({}));
                assert_eq!(socket.next().0, "pong");
            }
        }
    }
}

#[test]
fn a_socket_opens_only_with_a_token_of_this_server() {
    let world = World::new(&[]);
    let open = |authorization: &str, subprotocol: &str| match Socket::bare(
        world.server.address(),
        authorization,
        subprotocol,
        "",
    ) {
        Ok(socket) => Ok(socket),
        Err(Error::Http(response)) => Err(response.status().as_u16()),
        Err(error) => panic!("an answer was to come, not {error}"),
    };
    assert_eq!(open("", JSON).err(), Some(401), "no token");
    for (why, token) in world.forgeries() {
        assert_eq!(open(&format!("Bearer {token}"), JSON).err(), Some(401), "{why}");
        if token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte)) {
            assert_eq!(open("", &format!("{JSON}, bearer.{token}")).err(), Some(401), "{why}, as a browser");
        }
    }
    let hurt = json!({"character": world.character, "expect": 0, "action": {"modify_hitpoints": {"delta": -1}}});
    for (why, token, code) in &world.dead {
        let mut socket = open(&format!("Bearer {token}"), JSON).expect("let in to be told");
        socket.ask("intent", hurt.clone());
        assert_eq!(socket.closed().1, *code, "{why}");
        world.assert_unchanged(why);
    }
    let mut socket = Socket::open(world.server.address(), &world.ada.token);
    for (why, token) in world.forgeries() {
        let answer = socket.call("refresh", json!({"token": token}));
        assert_eq!(told(&answer), "rejected unauthenticated", "{why}");
    }
    let expired = socket.call("refresh", json!({"token": world.dead[0].1}));
    assert_eq!(told(&expired), "rejected unauthenticated");
    assert_eq!(socket.call("ping", json!({})).0, "pong", "the old token runs on");
    drop(socket);
    world.assert_no_row_changed();
}

#[test]
fn a_strict_server_takes_what_makes_something_from_nothing_only_from_game_servers() {
    let world = World::new(&["--policy", "strict"]);
    let [player, operator, game] = &world.others;
    let http = Http::new(world.server.address());
    for (who, is_game) in [(player, false), (operator, false), (game, true)] {
        let http = http.with_token(&who.token);
        let made = http.post("/characters", &crate::play::paladin("Own"));
        assert_eq!(made.status, 201, "{made:?}");
        let own = id(&made.json);
        let mut sockets = [Codec::Json, Codec::MessagePack]
            .map(|codec| Socket::open_as(world.server.address(), &who.token, codec, ""));
        for (action, makes_something) in ACTIONS {
            let action: Value = serde_json::from_str(action).expect("JSON");
            let refused = *makes_something && !is_game;
            let before = http.get(&format!("/characters/{own}")).text;
            let body = json!({"version": 0, "action": action});
            let answer = http.post(&format!("/characters/{own}/intents"), &body);
            assert_eq!(answer.code() == "not_permitted", refused, "{action} by {}: {answer:?}", who.name);
            assert_eq!(answer.status == 403, refused, "{action} by {}: {answer:?}", who.name);
            for socket in &mut sockets {
                let answer = socket.act(&own, action.clone());
                assert_eq!(told(&answer) == "rejected not_permitted", refused, "{action} by {}: {answer:?}", who.name);
            }
            if refused {
                assert_eq!(http.get(&format!("/characters/{own}")).text, before, "{action} by {}", who.name);
            }
        }
        for (route, body) in [
            ("PATCH stats/hitpoints", json!({"version": 0, "delta": 1})),
            ("PATCH currency/modify", json!({"version": 0, "gp": 1})),
            ("POST equipment/add", json!({"version": 0, "item": "club", "quantity": 1})),
        ] {
            let (method, path) = route.split_once(' ').expect("two words");
            let headers = [("Content-Type", "application/json")];
            let answer = http.call(method, &format!("/characters/{own}/{path}"), &headers, Some(&body.to_string()));
            assert_eq!(answer.code() == "not_permitted", !is_game, "{route} by {}: {answer:?}", who.name);
        }
    }
}
