//! Tokens of outside issuers on a running server: good ones log in, all others are refused.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use castellan_client::{Client, HttpClient, Options, Proof, Session, Trust};
use castellan_srd::Srd;
use hmac::{Hmac, KeyInit, Mac};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey};
use p256::pkcs8::EncodePrivateKey;
use rustix::process::Signal;
use serde_json::{Map, Value, json};
use sha2::Sha256;

use crate::harness::{Http, Kind, Server};
use crate::play::{House, paladin};

const ISSUER: &str = "https://id.example";
const OTHER: &str = "https://other.example";

/// A private key of an issuer. The RSA key was never used for anything else.
struct Key {
    id: &'static str,
    algorithm: Algorithm,
    private: EncodingKey,
}

impl Key {
    fn rsa(id: &'static str) -> Self {
        let pem = include_bytes!("samples/issuer-rsa.pem");
        Self { id, algorithm: Algorithm::RS256, private: EncodingKey::from_rsa_pem(pem).expect("a key") }
    }

    fn ec(id: &'static str, byte: u8) -> Self {
        let secret = p256::SecretKey::from_slice(&[byte; 32]).expect("a key");
        let der = secret.to_pkcs8_der().expect("a key");
        Self { id, algorithm: Algorithm::ES256, private: EncodingKey::from_ec_der(der.as_bytes()) }
    }

    fn ed(id: &'static str, byte: u8) -> Self {
        // What precedes the seed in PKCS #8 (RFC 8410).
        let mut der = vec![0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
        der.extend([byte; 32]);
        Self { id, algorithm: Algorithm::EdDSA, private: EncodingKey::from_ed_der(&der) }
    }

    fn public(&self) -> Value {
        let mut jwk = Jwk::from_encoding_key(&self.private, self.algorithm).expect("a public key");
        jwk.common.key_id = Some(self.id.to_owned());
        serde_json::to_value(jwk).expect("JSON")
    }

    /// Signs claims. `header` replaces entries; null removes one.
    fn sign(&self, header: Value, claims: &Value) -> String {
        let name = serde_json::to_value(self.algorithm).expect("a name");
        let head = head(json!({"typ": "JWT", "alg": name, "kid": self.id}), header, claims);
        let signature = jsonwebtoken::crypto::sign(head.as_bytes(), &self.private, self.algorithm);
        format!("{head}.{}", signature.expect("a signature"))
    }

    fn token(&self, claims: &Value) -> String {
        self.sign(json!({}), claims)
    }
}

/// The part of a token that is signed.
fn head(header: Value, changes: Value, claims: &Value) -> String {
    let header = merged(header, changes);
    format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(claims.to_string()))
}

/// An object with some entries replaced; null removes one.
fn merged(object: Value, changes: Value) -> Value {
    let (Value::Object(mut object), Value::Object(changes)) = (object, changes) else { panic!("objects") };
    object.extend(changes);
    Value::Object(object.into_iter().filter(|(_, value)| !value.is_null()).collect::<Map<_, _>>())
}

fn key_set(keys: &[&Key]) -> String {
    json!({"keys": keys.iter().map(|key| key.public()).collect::<Vec<_>>()}).to_string()
}

#[expect(clippy::disallowed_methods, reason = "the tokens of an issuer have real times")]
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a time after 1970").as_secs()
}

/// The claims of a good token.
fn claims(subject: &str) -> Value {
    json!({"iss": ISSUER, "aud": "game", "sub": subject, "exp": now() + 600, "iat": now()})
}

fn settings(house: &House, text: &str) {
    std::fs::write(house.folder().join("castellan.toml"), text).expect("written");
}

/// A house whose server accepts tokens of two issuers with keys in files.
fn house(kind: Kind, keys: &[&Key], others: &[&Key]) -> House {
    let house = House::new(kind);
    std::fs::write(house.folder().join("keys.json"), key_set(keys)).expect("written");
    std::fs::write(house.folder().join("other.json"), key_set(others)).expect("written");
    settings(
        &house,
        &format!(
            "[[auth.issuers]]\nissuer = \"{ISSUER}\"\naudience = \"game\"\njwks_file = \"keys.json\"\n\
             name_claim = \"preferred_username\"\n\
             [[auth.issuers]]\nissuer = \"{OTHER}\"\naudience = \"game\"\njwks_file = \"other.json\"\n\
             algorithms = [\"ES256\"]\n"
        ),
    );
    house
}

fn server(house: &House, more: &[&str]) -> Server {
    house.server(&[&["--config", "castellan.toml"], more].concat())
}

fn exchange(address: SocketAddr, token: &str) -> crate::harness::Answer {
    Http::new(address).post("/session/exchange", &json!({"token": token}))
}

fn account(house: &House, kind: Kind, words: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_castellan"));
    command.current_dir(house.folder()).arg("account").args(words).stdin(Stdio::null());
    if kind == Kind::Postgres {
        command.args(["--database-url", house.url()]);
    }
    let done = command.output().expect("it starts");
    assert!(done.status.success(), "{words:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).expect("text")
}

fn a_user_of_an_issuer_has_one_account(kind: Kind) {
    let keys = [Key::rsa("rsa"), Key::ec("ec", 7), Key::ed("ed", 8)];
    let other = Key::ec("ec", 9);
    let house = house(kind, &[&keys[0], &keys[1], &keys[2]], &[&other]);
    let running = server(&house, &[]);
    let line = running.said("only this machine reaches this server: ");
    assert!(line.contains(&format!("accounts by {ISSUER}, accounts by {OTHER}, policy")), "{line}");
    Http::new(running.address()).login("ada", "open sesame");
    let named = |subject: &str, name: &str| merged(claims(subject), json!({"preferred_username": name}));
    let first = exchange(running.address(), &keys[0].token(&named("1", "Bea")));
    assert_eq!(first.status, 200, "{first:?}");
    let http = Http::new(running.address()).with_token(first.json["token"].as_str().expect("a token"));
    assert_eq!(http.get("/session").json["username"], "Bea");
    assert_eq!(http.post("/characters", &paladin("Bea")).status, 201);
    // Every algorithm, and a token that is used twice.
    for key in [&keys[0], &keys[1], &keys[2], &keys[2]] {
        let again = exchange(running.address(), &key.token(&named("1", "another")));
        assert_eq!((again.status, &again.json["user_id"]), (200, &first.json["user_id"]), "{again:?}");
        assert_ne!(again.json["session_id"], first.json["session_id"]);
    }
    assert_eq!(http.get("/session").json["username"], "Bea", "a name is given once");
    // A taken name, one that no account may have, none, and the same subject of another issuer.
    let other_claims = merged(claims("1"), json!({"iss": OTHER}));
    let tokens = [
        keys[0].token(&named("2", "ADA")),
        keys[0].token(&named("3", "two words")),
        keys[0].token(&claims("4")),
        other.token(&merged(other_claims.clone(), json!({"sub": "ada"}))),
    ];
    let mut users = vec![first.json["user_id"].clone()];
    for token in &tokens {
        let made = exchange(running.address(), token);
        assert_eq!(made.status, 200, "{made:?}");
        assert!(!users.contains(&made.json["user_id"]));
        users.push(made.json["user_id"].clone());
        let http = Http::new(running.address()).with_token(made.json["token"].as_str().expect("a token"));
        let name = http.get("/session").json["username"].as_str().expect("a name").to_owned();
        assert!(name.starts_with("player-"), "{name}");
    }
    let made = exchange(running.address(), &other.token(&other_claims));
    let http = Http::new(running.address()).with_token(made.json["token"].as_str().expect("a token"));
    assert_eq!(http.get("/session").json["username"], "1", "the subject is the name by default");
    assert!(!users.contains(&made.json["user_id"]));
    let shown = account(&house, kind, &["show", "Bea"]);
    assert!(shown.contains(&format!("issuer    {ISSUER}\nsubject   1\n")), "{shown}");
    running.logged("action=\"exchange\" outcome=\"done\"");
    assert!(running.terminate().success());

    let running = server(&house, &["--registration", "closed"]);
    let again = exchange(running.address(), &keys[1].token(&claims("1")));
    assert_eq!((again.status, &again.json["user_id"]), (200, &first.json["user_id"]));
    account(&house, kind, &["disable", "bea"]);
    let refused = exchange(running.address(), &keys[1].token(&claims("1")));
    assert_eq!((refused.status, refused.code()), (403, "account_disabled"));
    account(&house, kind, &["enable", "bea"]);
    assert_eq!(exchange(running.address(), &keys[1].token(&claims("1"))).status, 200);
    account(&house, kind, &["delete", "bea"]);
    let refused = exchange(running.address(), &keys[1].token(&claims("1")));
    assert_eq!((refused.status, refused.code()), (403, "account_disabled"), "no new account");
    assert!(running.terminate().success());
}

#[test]
fn a_user_of_an_issuer_has_one_account_on_sqlite() {
    a_user_of_an_issuer_has_one_account(Kind::Sqlite);
}

#[test]
fn a_user_of_an_issuer_has_one_account_on_postgresql() {
    a_user_of_an_issuer_has_one_account(Kind::Postgres);
}

/// Tokens that the first issuer has not made for this server, and why each could be taken for one.
fn forgeries(rsa: &Key, ec: &Key, ed: &Key, other: &Key) -> Vec<(&'static str, String)> {
    let good = claims("1");
    let with = |changes| merged(claims("1"), changes);
    let hs256 = |id: &str, secret: &[u8]| {
        let head = head(json!({"alg": "HS256", "kid": id}), json!({}), &good);
        let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes keys of any length");
        mac.update(head.as_bytes());
        format!("{head}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
    };
    let none = |name: &str| format!("{}.", head(json!({"alg": name, "kid": "ec"}), json!({}), &good));
    let modulus = URL_SAFE_NO_PAD.decode(rsa.public()["n"].as_str().expect("a modulus")).expect("Base64");
    let point =
        [0x04].into_iter().chain(["x", "y"].into_iter().flat_map(|name| {
            URL_SAFE_NO_PAD.decode(ec.public()[name].as_str().expect("a coordinate")).expect("Base64")
        }));
    let point: Vec<u8> = point.collect();
    let stranger = Key::ec("ec", 42);
    let unnamed = Key { id: "", ..Key::ec("", 7) };
    let unknown = Key { id: "another", ..Key::ec("another", 7) };
    let genuine = ec.token(&good);
    let [header, _, signature] = <[&str; 3]>::try_from(genuine.split('.').collect::<Vec<_>>()).expect("three parts");
    let admin = URL_SAFE_NO_PAD.encode(with(json!({"sub": "2"})).to_string());
    vec![
        ("nothing", String::new()),
        ("no token", "x".to_owned()),
        ("two parts", genuine.rsplit_once('.').expect("three").0.to_owned()),
        ("four parts", format!("{genuine}.x")),
        ("a cut signature", genuine[..genuine.len() - 2].to_owned()),
        ("no signature", format!("{}.", genuine.rsplit_once('.').expect("three").0)),
        ("other claims under the same signature", format!("{header}.{admin}.{signature}")),
        ("alg none", none("none")),
        ("alg None", none("None")),
        ("alg empty", none("")),
        ("HS256 with the point of the key", hs256("ec", &point)),
        ("HS256 with the modulus of the key", hs256("rsa", &modulus)),
        ("HS256 with the key as JSON", hs256("ec", ec.public().to_string().as_bytes())),
        ("HS256 with the kid", hs256("ec", b"ec")),
        ("HS256 with nothing", hs256("ec", b"")),
        ("the kid of an RSA key on ES256", ec.sign(json!({"kid": "rsa"}), &good)),
        ("the kid of an EC key on RS256", rsa.sign(json!({"kid": "ec"}), &good)),
        ("the kid of an EC key on EdDSA", ed.sign(json!({"kid": "ec"}), &good)),
        ("an alg that the key is not for", rsa.sign(json!({"alg": "RS512"}), &good)),
        ("PS256", rsa.sign(json!({"alg": "PS256"}), &good)),
        ("ES256 over an RSA signature", rsa.sign(json!({"alg": "ES256", "kid": "ec"}), &good)),
        ("no kid", ec.sign(json!({"kid": null}), &good)),
        ("an empty kid", unnamed.token(&good)),
        ("an unknown kid", unknown.token(&good)),
        ("a kid that is a path", ec.sign(json!({"kid": "../../keys.json"}), &good)),
        ("a huge kid", ec.sign(json!({"kid": "x".repeat(4_096)}), &good)),
        ("another key", stranger.token(&good)),
        ("another key, brought along", stranger.sign(json!({"jwk": stranger.public()}), &good)),
        ("another key, at an address", stranger.sign(json!({"jku": "http://127.0.0.1:1/keys"}), &good)),
        ("a key of the other issuer", other.token(&good)),
        ("a key of this issuer for the other one", ec.token(&with(json!({"iss": OTHER})))),
        ("an algorithm that the other issuer may not use", ed.token(&with(json!({"iss": OTHER})))),
        ("an unknown issuer", ec.token(&with(json!({"iss": "https://elsewhere.example"})))),
        ("two issuers", ec.token(&with(json!({"iss": [ISSUER, OTHER]})))),
        ("no issuer", ec.token(&with(json!({"iss": null})))),
        ("a wrong audience", ec.token(&with(json!({"aud": "shop"})))),
        ("no audience", ec.token(&with(json!({"aud": null})))),
        ("no subject", ec.token(&with(json!({"sub": null})))),
        ("an empty subject", ec.token(&with(json!({"sub": ""})))),
        ("a subject that is no text", ec.token(&with(json!({"sub": 1})))),
        ("a subject with a zero byte", ec.token(&with(json!({"sub": "1\0"})))),
        ("a long subject", ec.token(&with(json!({"sub": "x".repeat(256)})))),
        ("expired", ec.token(&with(json!({"exp": now() - 60})))),
        ("no end", ec.token(&with(json!({"exp": null})))),
        ("an end that is no number", ec.token(&with(json!({"exp": "never"})))),
        ("not valid yet", ec.token(&with(json!({"nbf": now() + 120})))),
        ("a demand", ec.sign(json!({"crit": ["exp"]}), &good)),
        ("a huge token", ec.token(&with(json!({"groups": "x".repeat(10_000)})))),
    ]
}

#[test]
fn a_forged_token_is_refused_and_changes_nothing() {
    let [rsa, ec, ed, other] = [Key::rsa("rsa"), Key::ec("ec", 7), Key::ed("ed", 8), Key::ec("ec", 9)];
    let house = house(Kind::Sqlite, &[&rsa, &ec, &ed], &[&other, &ed]);
    let running = server(&house, &["--auth-failures-per-address", "1000"]);
    let address = running.address();
    let believed = forgeries(&rsa, &ec, &ed, &other).into_iter().filter(|(_, token)| {
        let answer = exchange(address, token);
        (answer.status, answer.code()) != (401, "unauthenticated")
            || !answer.text.contains("this token is not accepted: ")
    });
    let believed: Vec<_> = believed.map(|(why, _)| why).collect();
    assert!(believed.is_empty(), "{believed:?}");
    assert!(account(&house, Kind::Sqlite, &["list"]).contains("0 in total"), "no account was made");
    // What is forged would otherwise be good; so are several audiences, and a clock that is a little off.
    for good in [
        json!({}),
        json!({"aud": ["shop", "game"]}),
        json!({"exp": now() - 5, "nbf": now() + 5}),
        json!({"exp": now() as f64 + 600.5}),
        json!({"groups": "x".repeat(4_000)}),
    ] {
        assert_eq!(exchange(address, &ec.token(&merged(claims("1"), good.clone()))).status, 200, "{good}");
    }
    // An access token of this server is none of an issuer's.
    let (_, login) = Http::new(address).login("ada", "open sesame");
    assert_eq!(exchange(address, login["token"].as_str().expect("a token")).code(), "unauthenticated");
    for body in [json!({}), json!({"token": 5}), json!({"token": "x", "user": "y"})] {
        assert_eq!(Http::new(address).post("/session/exchange", &body).code(), "malformed", "{body}");
    }
    running.logged("action=\"exchange\" outcome=\"refused\"");
    assert!(!running.log().contains(&ec.token(&claims("1"))[..20]));
}

#[test]
fn refused_tokens_count_as_failed_logins_of_the_address() {
    let ec = Key::ec("ec", 7);
    let house = house(Kind::Sqlite, &[&ec], &[&ec]);
    let running = server(&house, &["--auth-failures-per-address", "3"]);
    let address = running.address();
    for _ in 0..3 {
        assert_eq!(exchange(address, "forged").code(), "unauthenticated");
    }
    let refused = exchange(address, "forged");
    assert_eq!((refused.status, refused.code()), (429, "too_many_attempts"));
    let wanted = json!({"username": "ada", "password": "open sesame"});
    assert_eq!(Http::new(address).post("/session/login", &wanted).code(), "too_many_attempts");
    assert_eq!(exchange(address, &ec.token(&claims("1"))).status, 200, "a good token does not wait because of others");
}

#[test]
fn keys_in_a_file_are_read_again_at_a_signal() {
    let (old, new) = (Key::ec("old", 7), Key::ec("new", 8));
    let house = house(Kind::Sqlite, &[&old], &[&old]);
    let running = server(&house, &[]);
    let status = |key: &Key| exchange(running.address(), &key.token(&claims("1"))).status;
    assert_eq!((status(&old), status(&new)), (200, 401));
    std::fs::write(house.folder().join("keys.json"), "{}").expect("written");
    running.signal(Signal::HUP);
    running.logged("cannot read the keys of outside issuers again");
    assert_eq!((status(&old), status(&new)), (200, 401), "a bad file changes nothing");
    std::fs::write(house.folder().join("keys.json"), key_set(&[&new])).expect("written");
    running.signal(Signal::HUP);
    let began = Instant::now();
    while status(&new) != 200 {
        assert!(began.elapsed() < Duration::from_secs(20), "the new key is not known");
        std::thread::yield_now();
    }
    assert_eq!(status(&old), 401);
}

#[test]
fn a_server_does_not_start_without_the_keys_of_its_issuers() {
    let ec = Key::ec("ec", 7);
    let house = house(Kind::Sqlite, &[&ec], &[&ec]);
    std::fs::remove_file(house.folder().join("other.json")).expect("removed");
    let mut command = Command::new(env!("CARGO_BIN_EXE_castellan"));
    let done = command
        .current_dir(house.folder())
        .args(["--config", "castellan.toml", "--listen", "127.0.0.1:0"])
        .output()
        .expect("it starts");
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(!done.status.success());
    assert!(said.contains(&format!("auth.issuers, {OTHER}: jwks_file other.json: ")), "{said}");
}

/// An issuer on loopback that answers with a text, or not at all.
struct Remote {
    address: SocketAddr,
    answer: Arc<Mutex<Option<String>>>,
}

impl Remote {
    fn start(answer: Option<String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let answer = Arc::new(Mutex::new(answer));
        let said = Arc::clone(&answer);
        std::thread::spawn(move || {
            // Those that get no answer stay open.
            let mut ignored = Vec::new();
            for stream in listener.incoming() {
                let mut stream = stream.expect("a client");
                let mut lines = BufReader::new(stream.try_clone().expect("a stream")).lines();
                while lines.next().is_some_and(|line| !line.expect("a line").is_empty()) {}
                match said.lock().expect("nobody panics with it").clone() {
                    Some(body) => {
                        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
                        // A client that has gone needs no answer.
                        let _ = stream.write_all((head + &body).as_bytes());
                    }
                    None => ignored.push(stream),
                }
            }
        });
        Self { address, answer }
    }

    fn settings(&self) -> String {
        let address = self.address;
        format!("[[auth.issuers]]\nissuer = \"{ISSUER}\"\naudience = \"game\"\njwks_url = \"http://{address}/keys\"\n")
    }
}

#[test]
fn an_issuer_that_is_away_holds_up_nobody() {
    let ec = Key::ec("ec", 7);
    let remote = Remote::start(None);
    let house = House::new(Kind::Sqlite);
    settings(&house, &remote.settings());
    let running = server(&house, &[]);
    let address = running.address();
    let began = Instant::now();
    let waiting: Vec<_> = (0..8)
        .map(|_| {
            let token = ec.token(&claims("1"));
            std::thread::spawn(move || exchange(address, &token))
        })
        .collect();
    Http::new(address).login("ada", "open sesame");
    for refused in waiting {
        let refused = refused.join().expect("an answer");
        assert_eq!((refused.status, refused.code()), (503, "unavailable"), "{refused:?}");
        assert!(refused.json["retry_after_ms"].as_u64().expect("a time") <= 10_000, "{refused:?}");
        assert!(refused.headers.contains_key("retry-after"));
    }
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    let soon = Instant::now();
    assert_eq!(exchange(address, &ec.token(&claims("1"))).status, 503);
    assert!(soon.elapsed() < Duration::from_secs(2), "nobody waits a second time");
    *remote.answer.lock().expect("nobody panics with it") = Some(key_set(&[&ec]));
    while exchange(address, &ec.token(&claims("1"))).status != 200 {
        assert!(began.elapsed() < Duration::from_secs(60), "the issuer is back");
        std::thread::yield_now();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rust_client_plays_by_a_token() {
    let ed = Key::ed("ed", 8);
    let remote = Remote::start(Some(key_set(&[&ed])));
    let house = House::new(Kind::Sqlite);
    settings(&house, &remote.settings());
    let running = server(&house, &[]);
    let base = format!("http://{}", running.address()).parse::<castellan_client::BaseUrl>().expect("an address");
    let http = HttpClient::new(base.clone(), Trust::default());
    let token = ed.token(&claims("Ada"));
    let session = Session::exchange(&http, &token).await.expect("a session");
    let proof = Proof::Token(token);
    assert!(!format!("{proof:?}").contains("ey"));
    let client = Client::<Srd>::start(Options::new(base.clone(), proof)).await.expect("a login");
    assert_eq!(client.user(), session.user());
    let sheet = serde_json::from_value(paladin("Ada")).expect("a sheet");
    client.create_character(&sheet).await.expect("a character");
    client.close();
    let forged = Proof::Token("forged".to_owned());
    assert!(Client::<Srd>::start(Options::new(base, forged)).await.is_err());
}
