//! Links, opened on a node's internal address.

use tokio::time::{Instant, timeout};
use uuid::Uuid;

use super::*;
use crate::link::{self, HANDSHAKE_TIMEOUT, NONCE_BYTES, Secret, Trust, Wire, dial};
use crate::socket::{Line, settle};

const PROCESS: Uuid = Uuid::from_u128(1);
const GATEWAY: Uuid = Uuid::from_u128(2);
const PROOF_BYTES: usize = 32;

/// Longer than any test needs; reaching it is a failure.
const LONG: Duration = Duration::from_secs(10);

/// A node's internal address, and the links that it has accepted.
struct Node {
    house: House,
    links: mpsc::Receiver<(Line, Vec<u8>)>,
}

fn secret(byte: u8) -> Secret {
    Secret::new(&[byte; 32]).expect("long enough")
}

async fn node() -> Node {
    node_under(None).await
}

async fn node_under(tls: Option<Arc<Tls>>) -> Node {
    let mut house = house(&[]).await;
    let (sender, links) = mpsc::channel(4);
    let accept = move |stream, leftover| sender.try_send((stream, leftover)).is_ok();
    let routes = for_nodes(&house.context, Linking::new(PROCESS, secret(5), system_entropy(), accept));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    house.address = listener.local_addr().expect("its number");
    let limits = Limits::from(&house.context.settings);
    tokio::spawn(serve(listener, tls, routes, limits, house.stop.subscribe()));
    Node { house, links }
}

impl Node {
    async fn dial(&self, process: Uuid, secret: &Secret) -> std::io::Result<(Box<dyn Wire>, Vec<u8>)> {
        dial(&self.house.address.to_string(), process, GATEWAY, secret, None, &system_entropy()).await
    }

    /// Sends a request for a link and reads the head of the answer.
    async fn ask(&self) -> (TcpStream, String) {
        self.ask_for("1-1").await
    }

    /// The same, for a gateway that speaks these versions.
    async fn ask_for(&self, versions: &str) -> (TcpStream, String) {
        let mut stream = TcpStream::connect(self.house.address).await.expect("a connection");
        let mut fields = fields();
        fields[2] = format!("Castellan-Link-Versions: {versions}");
        let fields = fields.map(|field| format!("{field}\r\n")).concat();
        let request = format!("GET /link HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        stream.write_all(request.as_bytes()).await.expect("to send");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.expect("an answer"));
        }
        (stream, String::from_utf8(head).expect("ASCII"))
    }

    fn assert_no_link(&mut self) {
        assert!(self.links.try_recv().is_err(), "a link was accepted");
    }
}

/// Good header fields of a request.
fn fields() -> [String; 6] {
    let nonce = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, [9; NONCE_BYTES]);
    [
        "Connection: Upgrade".to_owned(),
        "Upgrade: castellan-link".to_owned(),
        "Castellan-Link-Versions: 1-1".to_owned(),
        format!("Castellan-Process: {PROCESS}"),
        format!("Castellan-Gateway: {GATEWAY}"),
        format!("Castellan-Nonce: {nonce}"),
    ]
}

#[tokio::test]
async fn a_gateway_that_knows_the_secret_gets_a_link() {
    let mut node = node().await;
    let (mut gateway, read) = node.dial(PROCESS, &secret(5)).await.expect("a link");
    assert!(read.is_empty());
    gateway.write_all(b"hello").await.expect("to send");
    let (stream, mut heard) = timeout(LONG, node.links.recv()).await.expect("in time").expect("a link");
    let Line::Plain(stream) = stream else { panic!("TLS") };
    assert!(stream.nodelay().expect("an option"));
    let mut stream = TcpStream::from_std(stream).expect("a connection that does not block");
    while heard.len() < 5 {
        assert!(stream.read_buf(&mut heard).await.expect("a message") > 0);
    }
    assert_eq!(heard, b"hello");
    stream.write_all(b"welcome").await.expect("to send");
    let mut heard = [0; 7];
    gateway.read_exact(&mut heard).await.expect("a message");
    assert_eq!(&heard, b"welcome");
}

#[tokio::test]
async fn a_link_is_refused_to_whoever_means_another_process_or_does_not_know_the_secret() {
    let mut node = node().await;
    let error = node.dial(Uuid::from_u128(3), &secret(5)).await.map(|_| ()).expect_err("another process");
    assert!(error.to_string().contains("another process"), "{error}");
    let error = node.dial(PROCESS, &secret(6)).await.map(|_| ()).expect_err("another secret");
    assert!(error.to_string().contains("proof is wrong"), "{error}");
    node.assert_no_link();
}

/// Certificates for 127.0.0.1, and a file of authorities that has them all.
struct Certificates {
    folder: tempfile::TempDir,
}

impl Certificates {
    fn new(names: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut authorities = String::new();
        for name in names {
            let signed = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
            authorities += &signed.cert.pem();
            std::fs::write(folder.path().join(name), signed.cert.pem()).expect("written");
            std::fs::write(folder.path().join(format!("{name}.key")), signed.signing_key.serialize_pem())
                .expect("written");
        }
        std::fs::write(folder.path().join("all"), authorities).expect("written");
        Self { folder }
    }

    fn tls(&self, name: &str) -> Arc<Tls> {
        let file = |name: &str| self.folder.path().join(name);
        Arc::new(Tls::open(&file(name), &file(&format!("{name}.key"))).expect("a certificate"))
    }

    fn trust(&self, name: &str) -> Trust {
        Trust::open(&self.folder.path().join(name)).expect("certificates")
    }
}

/// Tries to open a link under TLS.
async fn dial_tls(address: SocketAddr, trust: &Trust) -> Result<Box<dyn Wire>, String> {
    let dialled = dial(&address.to_string(), PROCESS, GATEWAY, &secret(5), Some(trust), &system_entropy()).await;
    dialled.map(|(stream, _)| stream).map_err(|error| error.to_string())
}

#[tokio::test]
async fn a_link_under_tls_carries_bytes_both_ways() {
    let certificates = Certificates::new(&["node", "other"]);
    let mut node = node_under(Some(certificates.tls("node"))).await;
    let mut gateway = dial_tls(node.house.address, &certificates.trust("node")).await.expect("a link");
    let (line, _) = timeout(LONG, node.links.recv()).await.expect("in time").expect("a link");
    let Line::Tls(stream, tcp) = line else { panic!("no TLS") };
    let mut stream = settle(stream, tcp).expect("on this runtime");
    let (mut here, mut there) = (vec![1; 300_000], vec![2; 300_000]);
    let (hello, welcome) = (here.clone(), there.clone());
    let (mut node_reads, mut node_writes) = tokio::io::split(&mut stream);
    let (mut gateway_reads, mut gateway_writes) = tokio::io::split(&mut gateway);
    let (sent, answered, heard, read) = tokio::join!(
        async {
            gateway_writes.write_all(&hello).await?;
            gateway_writes.flush().await
        },
        async {
            node_writes.write_all(&welcome).await?;
            node_writes.flush().await
        },
        node_reads.read_exact(&mut there),
        gateway_reads.read_exact(&mut here),
    );
    for result in [sent, answered, heard.map(|_| ()), read.map(|_| ())] {
        result.expect("all bytes travel");
    }
    assert!(there == hello && here == welcome);

    let error = dial_tls(node.house.address, &certificates.trust("other")).await.map(|_| ()).expect_err("no link");
    assert!(error.contains("--link-ca") && error.contains("invalid peer certificate"), "{error}");
    let error = node.dial(PROCESS, &secret(5)).await.map(|_| ()).expect_err("no link");
    assert!(error.to_string().contains("set --link-ca"), "{error}");
    node.assert_no_link();
    let plain = self::node().await;
    let error = dial_tls(plain.house.address, &certificates.trust("node")).await.map(|_| ()).expect_err("no link");
    assert!(error.contains("--link-ca allows nothing else"), "{error}");
}

#[tokio::test]
async fn nobody_with_another_good_certificate_can_pass_the_proofs_on() {
    let certificates = Certificates::new(&["node", "thief"]);
    let mut node = node_under(Some(certificates.tls("node"))).await;
    let wire = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let (address, tls) = (wire.local_addr().expect("its number"), certificates.tls("thief"));
    let (trust, there) = (certificates.trust("all"), node.house.address);
    let between = tokio::spawn(async move {
        let (gateway, _) = wire.accept().await.expect("a gateway");
        let mut gateway = tls.accept(gateway).await.expect("the gateway accepts the certificate");
        let tcp = TcpStream::connect(there).await.expect("a node");
        let (mut node, _) = trust.connect(&there.to_string(), tcp).await.expect("the node's certificate is good");
        // It ends when one of the two hangs up.
        let _ = tokio::io::copy_bidirectional(&mut gateway, &mut node).await;
    });
    let error = dial_tls(address, &certificates.trust("all")).await.map(|_| ()).expect_err("no link");
    assert!(error.contains("proof is wrong") && error.contains("in front of it"), "{error}");
    between.await.expect("it ran");
    node.assert_no_link();
    dial_tls(there, &certificates.trust("all")).await.expect("a link, if nobody is between");
    timeout(LONG, node.links.recv()).await.expect("in time").expect("a link");
}

#[tokio::test]
async fn a_request_that_asks_for_no_link_is_refused_with_the_reason() {
    let mut node = node().await;
    for (at, field, status, named) in [
        (0, "Connection: close", 426, "Upgrade"),
        (1, "Upgrade: websocket", 426, "castellan-link"),
        (2, "Castellan-Link-Versions: 7-9", 426, "castellan-link-versions"),
        (2, "Castellan-Link-Versions: new", 400, "castellan-link-versions"),
        (3, "Castellan-Process: 00000000-0000-0000-0000-000000000003", 421, "process"),
        (3, "Castellan-Process: me", 400, "castellan-process"),
        (4, "X: y", 400, "castellan-gateway"),
        (5, "Castellan-Nonce: AAAA", 400, "castellan-nonce"),
    ] {
        let mut all = fields();
        // So that the node closes the connection after its answer.
        "Connection: Upgrade, close".clone_into(&mut all[0]);
        field.clone_into(&mut all[at]);
        let all: Vec<_> = all.iter().map(String::as_str).collect();
        let request = format!("GET /link HTTP/1.1\r\nHost: a\r\n{}\r\n\r\n", all.join("\r\n"));
        let mut stream = TcpStream::connect(node.house.address).await.expect("a connection");
        stream.write_all(request.as_bytes()).await.expect("to send");
        let answer = read(&mut stream).await;
        assert_eq!(answer.problem(), (status, "malformed".to_owned()), "{field}: {answer:?}");
        assert!(answer.text.contains(named), "{field}: {answer:?}");
        assert_eq!(answer.header("upgrade"), (status == 426).then_some("castellan-link"), "{field}");
    }
    node.assert_no_link();
}

#[tokio::test]
async fn a_gateway_of_the_next_release_gets_a_link_of_this_version_and_a_later_one_hears_what_is_spoken() {
    let mut node = node().await;
    let (_, newest) = link::VERSIONS;
    let (_, head) = node.ask_for(&link::range((newest, newest + 1))).await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert!(head.contains(&format!("castellan-link-version: {newest}\r\n")), "{head}");
    let (_, head) = node.ask_for(&link::range((newest + 1, newest + 2))).await;
    let spoken = format!("castellan-link-versions: {}\r\n", link::range(link::VERSIONS));
    assert!(head.starts_with("HTTP/1.1 426 ") && head.contains(&spoken), "{head}");
    node.assert_no_link();
}

#[tokio::test]
async fn a_gateway_without_a_proof_is_dropped() {
    let mut node = node().await;
    let (mut stream, head) = node.ask().await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    let proof = head.lines().find_map(|line| line.strip_prefix("castellan-proof: ")).expect("the node's proof");
    let proof = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, proof).expect("Base64");
    // The node's own proof, sent back to it.
    stream.write_all(&proof).await.expect("to send");
    assert_eq!(stream.read(&mut [0]).await.expect("an end"), 0);
    let (mut stream, _) = node.ask().await;
    stream.write_all(&[0; PROOF_BYTES - 1]).await.expect("to send");
    stream.shutdown().await.expect("to hang up");
    assert_eq!(stream.read(&mut [0]).await.expect("an end"), 0, "cut off");
    node.assert_no_link();
}

#[tokio::test]
async fn a_recorded_handshake_opens_no_second_link() {
    let mut node = node().await;
    // Passes a gateway's handshake on to the node and records what the gateway says.
    let wire = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = wire.local_addr().expect("its number").to_string();
    let (secret, entropy) = (secret(5), system_entropy());
    let listening = async {
        let (mut gateway, _) = wire.accept().await.expect("a gateway");
        let mut there = TcpStream::connect(node.house.address).await.expect("a node");
        let (mut request, mut answer, mut proof) = (Vec::new(), Vec::new(), [0; PROOF_BYTES]);
        while !request.ends_with(b"\r\n\r\n") {
            assert!(gateway.read_buf(&mut request).await.expect("a request") > 0);
        }
        there.write_all(&request).await.expect("to send");
        while !answer.ends_with(b"\r\n\r\n") {
            assert!(there.read_buf(&mut answer).await.expect("an answer") > 0);
        }
        gateway.write_all(&answer).await.expect("to send");
        gateway.read_exact(&mut proof).await.expect("a proof");
        there.write_all(&proof).await.expect("to send");
        [request, proof.to_vec()]
    };
    let (dialled, recorded) = tokio::join!(dial(&address, PROCESS, GATEWAY, &secret, None, &entropy), listening);
    dialled.expect("a link");
    timeout(LONG, node.links.recv()).await.expect("in time").expect("the first link");

    let mut again = TcpStream::connect(node.house.address).await.expect("a node");
    again.write_all(&recorded.concat()).await.expect("to send");
    let mut heard = Vec::new();
    // The node may close with a reset, because it has not read everything.
    let _ = again.read_to_end(&mut heard).await;
    assert!(heard.starts_with(b"HTTP/1.1 101 "), "{}", heard.escape_ascii());
    node.assert_no_link();
}

#[tokio::test]
async fn a_slow_gateway_is_dropped_after_the_time_of_a_handshake() {
    let mut node = node().await;
    let (mut stream, _) = node.ask().await;
    tokio::time::pause();
    let began = Instant::now();
    assert_eq!(stream.read(&mut [0]).await.expect("an end"), 0);
    assert!(began.elapsed() < HANDSHAKE_TIMEOUT * 2, "{:?}", began.elapsed());
    assert!(began.elapsed() >= HANDSHAKE_TIMEOUT / 2, "{:?}", began.elapsed());
    node.assert_no_link();
}

#[tokio::test]
async fn the_internal_address_serves_operators_and_no_players() {
    let node = node().await;
    for (path, status) in [("/health/live", 200), ("/health/ready", 200), ("/metrics", 200), ("/characters", 404)] {
        assert_eq!(node.house.get(path, "", &[]).await.status, status, "{path}");
    }
    let at_players = super::house(&[]).await;
    assert_eq!(at_players.get("/link", "", &[]).await.status, 404);
}
