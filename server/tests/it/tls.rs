//! TLS on the players' address, with the real client.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use castellan_client::{Client, Credentials, HttpError, Options, Outcome, StartError, Trust};
use castellan_srd::Srd;
use castellan_srd::wire::{Ack, Action, NewCharacter};
use rustix::process::Signal;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::harness::{Http, Kind, Server};
use crate::play::{House, paladin};
use crate::storage::tls::Authority;

/// A house with a certificate for `localhost`.
struct Secured {
    house: House,
    authority: Authority,
}

impl Secured {
    fn new() -> Self {
        let secured = Self { house: House::new(Kind::Sqlite), authority: Authority::new("house") };
        secured.put(&secured.authority.sign("localhost"));
        secured.write("ca.pem", &secured.authority.certificate);
        secured
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.house.folder().join(name), text).expect("written");
    }

    /// Puts a certificate and its key where the server looks for them.
    fn put(&self, (certificate, key): &(String, String)) {
        self.write("cert.pem", certificate);
        self.write("key.pem", key);
    }

    fn server(&self, more: &[&str]) -> Server {
        self.house.server(&[&["--tls-cert", "cert.pem", "--tls-key", "key.pem"], more].concat())
    }

    fn trust(&self, file: &str) -> Trust {
        Trust::in_file(&self.house.folder().join(file)).expect("certificates")
    }

    /// Starts a client that calls the server by this name.
    async fn client(&self, server: &Server, name: &str, trust: Trust) -> Result<Client<Srd>, StartError> {
        let url = format!("https://{name}:{}", server.address().port()).parse().expect("a URL");
        let credentials = Credentials { username: "ada".to_owned(), password: "sesame seeds".to_owned(), create: true };
        Client::start(Options { trust, ..Options::new(url, credentials) }).await
    }
}

fn paladin_sheet() -> NewCharacter {
    serde_json::from_value(paladin("Ada")).expect("a sheet")
}

fn gold(gp: i64) -> Action {
    serde_json::from_value(json!({"modify_currency": {"gp": gp}})).expect("an action")
}

fn why(started: Result<Client<Srd>, StartError>) -> String {
    match started.map(|_| ()) {
        Err(StartError::Login(HttpError::Unreachable(why))) => why,
        other => panic!("the handshake fails: {other:?}"),
    }
}

/// Sends a request under TLS and reads the answer to its end.
async fn ask(server: &Server, ca: &Path, request: &str) -> String {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(ca).expect("a certificate")).expect("a root");
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = tokio::net::TcpStream::connect(server.address()).await.expect("a connection");
    let name = ServerName::try_from("localhost").expect("a name");
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.expect("a handshake");
    stream.write_all(request.as_bytes()).await.expect("to send");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("an answer and an orderly end");
    String::from_utf8(answer).expect("text")
}

#[tokio::test]
async fn a_client_plays_over_https_and_wss() {
    let secured = Secured::new();
    let server = secured.server(&[]);
    assert!(server.said("only this machine reaches this server").ends_with(", TLS"));
    server.said("castellan is listening on https://");
    let client = secured.client(&server, "localhost", secured.trust("ca.pem")).await.expect("a login");
    let character = client.create_character(&paladin_sheet()).await.expect("a character");
    // Many answers at once: more than the kernel takes at a time.
    let intents = (0..1_000).map(|_| client.send(character.id, gold(1)).expect("room"));
    let mut intents: Vec<_> = intents.collect();
    for intent in &mut intents {
        assert!(matches!(intent.settled().await, Outcome::Durable(_)));
    }
    let kept = client.characters().await.expect("a list");
    assert_eq!(serde_json::to_value(&kept[0]).expect("JSON")["currency"]["gp"], json!(1_000));
    assert!(server.terminate().success(), "open connections are no reason to wait");
}

#[tokio::test]
async fn answers_under_tls_say_so() {
    let secured = Secured::new();
    let server = secured.server(&[]);
    let ca = secured.house.folder().join("ca.pem");
    let body = json!({"username": "ada", "password": "sesame seeds", "create": true}).to_string();
    let port = server.address().port();
    for (host, expected) in [
        (format!("localhost:{port}"), format!("wss://localhost:{port}/socket")),
        (format!("evil:{port}"), format!("wss://127.0.0.1:{port}/socket")),
    ] {
        let request = format!(
            "POST /session/login HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let answer = ask(&server, &ca, &request).await;
        assert!(answer.contains("\r\nstrict-transport-security: max-age=31536000\r\n"), "{answer}");
        assert!(answer.contains(&format!(r#""socket_url":"{expected}""#)), "{answer}");
    }
}

#[tokio::test]
async fn a_certificate_that_the_client_does_not_trust_is_refused() {
    let secured = Secured::new();
    secured.write("other.pem", &Authority::new("other").certificate);
    let server = secured.server(&[]);
    let other = why(secured.client(&server, "localhost", secured.trust("other.pem")).await);
    assert!(other.contains("UnknownIssuer"), "{other}");
    let machine = secured.client(&server, "localhost", Trust::default()).await;
    assert!(!why(machine).is_empty(), "this machine knows no such authority");
    let name = why(secured.client(&server, "127.0.0.1", secured.trust("ca.pem")).await);
    assert!(name.contains("NotValidForName") || name.contains("not valid for name"), "{name}");
}

#[tokio::test]
async fn a_new_certificate_is_used_after_sighup_and_a_bad_one_is_not() {
    let secured = Secured::new();
    let server = secured.server(&[]);
    let early = secured.client(&server, "localhost", secured.trust("ca.pem")).await.expect("a login");
    let character = early.create_character(&paladin_sheet()).await.expect("a character");

    let newer = Authority::new("newer");
    secured.write("newer.pem", &newer.certificate);
    secured.put(&newer.sign("localhost"));
    server.signal(Signal::HUP);
    server.logged("the certificate was read again");
    secured.client(&server, "localhost", secured.trust("newer.pem")).await.expect("a login");
    assert!(why(secured.client(&server, "localhost", secured.trust("ca.pem")).await).contains("UnknownIssuer"));
    let mut intent = early.send_with(character.id, gold(1), Ack::Durable).expect("room");
    assert!(matches!(intent.settled().await, Outcome::Durable(_)), "open connections go on");

    // The key of another certificate.
    secured.write("key.pem", &newer.sign("localhost").1);
    server.signal(Signal::HUP);
    server.logged("cannot read the certificate again; the old one stays in use");
    secured.client(&server, "localhost", secured.trust("newer.pem")).await.expect("a login");
}

#[tokio::test]
async fn a_plain_request_is_told_to_use_tls() {
    let secured = Secured::new();
    let server = secured.server(&[]);
    let answer = Http::new(server.address()).get("/health/live");
    assert_eq!((answer.status, answer.code()), (400, "malformed"), "{answer:?}");
    assert!(answer.text.contains("https"), "{answer:?}");
    let metrics = async || {
        let request = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        ask(&server, &secured.house.folder().join("ca.pem"), request).await
    };
    let (began, failed) = (Instant::now(), r#"castellan_tls_handshakes_total{outcome="failed"} 1"#);
    while !metrics().await.contains(failed) {
        assert!(began.elapsed() < Duration::from_secs(20), "{}", metrics().await);
    }
    assert!(metrics().await.contains(r#"castellan_tls_handshakes_total{outcome="done"}"#));
}

#[test]
fn a_handshake_has_a_time_limit() {
    let secured = Secured::new();
    let server = secured.server(&["--http-header-timeout", "500ms"]);
    for begun in [&b""[..], &[22, 3, 1]] {
        let mut silent = TcpStream::connect(server.address()).expect("a connection");
        silent.set_read_timeout(Some(Duration::from_secs(20))).expect("an option");
        silent.write_all(begun).expect("to send");
        let mut rest = Vec::new();
        // A reset is an end, too.
        let end = silent.read_to_end(&mut rest).map_err(|error| error.kind());
        assert!(matches!(end, Ok(_) | Err(std::io::ErrorKind::ConnectionReset)), "{end:?}");
    }
}

#[test]
fn a_start_names_the_file_that_cannot_be_used() {
    let secured = Secured::new();
    secured.write("key.pem", "no key");
    let mut command = Command::new(env!("CARGO_BIN_EXE_castellan"));
    command.current_dir(secured.house.folder()).args(["--listen", "127.0.0.1:0"]);
    let output = command.args(["--tls-cert", "cert.pem", "--tls-key", "key.pem"]).output().expect("it starts");
    assert_eq!(output.status.code(), Some(2));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("cannot use the certificate (--tls-cert, --tls-key): key.pem: "), "{errors}");
}
