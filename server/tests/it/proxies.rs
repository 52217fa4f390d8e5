//! The samples for proxies in front of a server: a client plays through each, also after a minute in which nobody said
//! anything.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use castellan_client::{Client, Credentials, Notice, Options, Outcome, Trust};
use castellan_srd::Srd;
use castellan_srd::wire::{Ack, Action, NewCharacter};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use xtask::proxies::{caddy, haproxy, nginx};
use xtask::run::workspace;

use crate::harness::{Kind, Server};
use crate::play::{House, paladin};
use crate::starting::free_address;
use crate::storage::tls::Authority;

/// Longer than the minute after which the proxies give up on a silent connection, as delivered. So what lasts is the socket.
const IDLE: Duration = Duration::from_secs(63);

/// A server, and a proxy with one of the samples.
struct Front {
    house: House,
    server: Server,
    address: SocketAddr,
    proxy: Child,
}

impl Drop for Front {
    fn drop(&mut self) {
        // An error means that it has already ended. nginx ends its workers when it is told to stop.
        let _ = kill_process(Pid::from_child(&self.proxy), Signal::TERM);
        let _ = self.proxy.wait();
    }
}

impl Front {
    /// `adapt` puts a sample into a folder that has the certificate, and returns the command that runs it.
    fn start(sample: &str, adapt: impl FnOnce(&Path, String) -> Command) -> Self {
        let (house, address) = (House::new(Kind::Sqlite), free_address());
        let authority = Authority::new("house");
        let (certificate, key) = authority.sign("localhost");
        let files = [("ca.pem", &authority.certificate), ("cert.pem", &certificate), ("key.pem", &key)];
        for (name, text) in files.into_iter().chain([("play.pem", &(certificate.clone() + &key))]) {
            fs::write(house.folder().join(name), text).expect("written");
        }
        let url = format!("https://localhost:{}", address.port());
        let open = ["--registration", "open", "--policy", "permissive"];
        let behind = ["--public-url", &url, "--trusted-proxies", "127.0.0.1"];
        let server = house.server(&[open, behind].concat());
        let text = fs::read_to_string(workspace().join("deploy/proxies").join(sample)).expect("the sample");
        let text = replaced(&text, "127.0.0.1:8080", &server.address().to_string());
        let text = replaced(&text, "/etc/castellan", &house.folder().display().to_string());
        let mut command = adapt(house.folder(), replaced_port(&text, address));
        let log = File::create(house.folder().join("proxy.log")).expect("a log");
        command.current_dir(house.folder()).env("HOME", house.folder()).env_remove("XDG_DATA_HOME");
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a file")).stderr(log);
        let mut front = Self { server, address, proxy: command.spawn().expect("it starts"), house };
        while TcpStream::connect(address).is_err() {
            let ended = front.proxy.try_wait().expect("it is ours");
            assert!(ended.is_none(), "{sample}: {}", front.log());
            std::thread::yield_now();
        }
        front
    }

    fn log(&self) -> String {
        fs::read_to_string(self.house.folder().join("proxy.log")).expect("a log")
    }

    /// Plays, is silent for more than a minute, and plays on.
    async fn play(&self, name: &str) {
        let trust = Trust::in_file(&self.house.folder().join("ca.pem")).expect("certificates");
        let url = format!("https://localhost:{}", self.address.port()).parse().expect("a URL");
        let credentials = Credentials { username: name.to_owned(), password: "open sesame".to_owned(), create: true };
        let client = Client::<Srd>::start(Options { trust, ..Options::new(url, credentials) }).await.expect("a login");
        let sheet: NewCharacter = serde_json::from_value(paladin("Ada")).expect("a sheet");
        let character = client.create_character(&sheet).await.expect("a character");
        let earn = || serde_json::from_value::<Action>(json!({"modify_currency": {"gp": 1}})).expect("an action");
        let mut intent = client.send_with(character.id, earn(), Ack::Durable).expect("room");
        assert!(matches!(intent.settled().await, Outcome::Durable(_)), "{name}");
        let cut = async {
            loop {
                if let Notice::Offline { reason, .. } = client.notice().await {
                    return reason;
                }
            }
        };
        if let Ok(reason) = timeout(IDLE, cut).await {
            panic!("{name} has cut a silent socket: {reason}\n{}", self.log());
        }
        assert_eq!(
            client.characters().await.expect("an answer, also if the proxy has closed its connections").len(),
            1,
            "{name}"
        );
        let mut intent = client.send_with(character.id, earn(), Ack::Durable).expect("room");
        assert!(matches!(intent.settled().await, Outcome::Durable(_)), "{name}");
        client.close();
    }

    /// Logs in from another address of this machine. The server must know it.
    async fn is_seen_from(&self, name: &str, from: Ipv4Addr) {
        let mut roots = RootCertStore::empty();
        let ca = CertificateDer::from_pem_file(self.house.folder().join("ca.pem")).expect("a certificate");
        roots.add(ca).expect("a root");
        let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind((from, 0).into()).expect("an address of this machine");
        let stream = socket.connect(self.address).await.expect("a connection");
        let localhost = ServerName::try_from("localhost").expect("a name");
        let mut stream = TlsConnector::from(Arc::new(config)).connect(localhost, stream).await.expect("a handshake");
        let body = json!({"username": "bob", "password": "open sesame", "create": true}).to_string();
        // A client may claim to be somebody else.
        let request = format!(
            "POST /session/login HTTP/1.1\r\nHost: localhost:{}\r\nConnection: close\r\nForwarded: for=192.0.2.9\r\n\
             X-Forwarded-For: 192.0.2.9\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.address.port(),
            body.len()
        );
        stream.write_all(request.as_bytes()).await.expect("to send");
        let mut answer = Vec::new();
        // Some proxies end without TLS' own goodbye.
        let _ = stream.read_to_end(&mut answer).await;
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.starts_with("HTTP/1.1 200"), "{name}: {answer}");
        self.server.logged(&format!("address=\"{from}\""));
    }
}

/// A text in which a part that must be there is replaced.
fn replaced(text: &str, part: &str, by: &str) -> String {
    assert!(text.contains(part), "the sample has no {part}");
    text.replace(part, by)
}

/// The sample at a port of the test in place of 443, or of the name whose port that is.
fn replaced_port(text: &str, address: SocketAddr) -> String {
    let port = address.port();
    let lines = text.lines().map(|line| match line {
        line if line.trim_start().starts_with('#') => line.to_owned(),
        line => line
            .replace("listen 443", &format!("listen 127.0.0.1:{port}"))
            .replace("bind :443", &format!("bind 127.0.0.1:{port}"))
            .replace("play.example.com {", &format!("https://localhost:{port} {{\n\tbind 127.0.0.1")),
    });
    lines.map(|line| line + "\n").collect()
}

fn in_front(name: &str) -> Front {
    match name {
        "nginx" => Front::start("nginx.conf", |folder, text| {
            let kinds = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
            let paths: String = kinds.iter().map(|kind| format!("{kind}_temp_path {kind};\n")).collect();
            let own = replaced(&text, "http {", &format!("http {{\naccess_log off;\n{paths}"));
            fs::write(folder.join("nginx.conf"), own).expect("written");
            let mut command = nginx().expect("nginx");
            command.arg("-p").arg(folder).args(["-c", "nginx.conf", "-e", "stderr"]);
            command.args(["-g", "daemon off; user root; pid nginx.pid;"]);
            command
        }),
        "haproxy" => Front::start("haproxy.cfg", |folder, text| {
            // Otherwise it wants more open files than some machines allow.
            fs::write(folder.join("haproxy.cfg"), replaced(&text, "maxconn 20000", "maxconn 500")).expect("written");
            let mut command = haproxy().expect("HAProxy");
            command.args(["-f", "haproxy.cfg"]);
            command
        }),
        _ => Front::start("Caddyfile", |folder, text| {
            let quiet = "admin off\n\tauto_https disable_redirects";
            fs::write(folder.join("Caddyfile"), replaced(&text, "admin off", quiet)).expect("written");
            let mut command = caddy().expect("Caddy");
            command.args(["run", "--config", "Caddyfile", "--adapter", "caddyfile"]);
            command
        }),
    }
}

/// All at the same time, because each takes a minute.
#[tokio::test]
async fn clients_play_through_the_proxies_of_the_samples_also_after_a_silent_minute() {
    let names = ["nginx", "haproxy", "caddy"];
    let fronts = names.map(in_front);
    let visits = names.iter().zip(&fronts).zip(2..).map(async |((name, front), last)| {
        front.is_seen_from(name, Ipv4Addr::new(127, 0, 0, last)).await;
        front.play(name).await;
    });
    futures_util::future::join_all(visits).await;
}
