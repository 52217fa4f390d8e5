//! The gateway's side of the handshake.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use uuid::Uuid;

use super::handshake::{
    End, HANDSHAKE_TIMEOUT, NONCE_BYTES, Request, Secret, Terms, UPGRADE, decode, encode, header, range,
};
use super::{Binding, Trust, VERSIONS};
use crate::clock::Entropy;

/// Longest head of an answer, in bytes.
const HEAD_BYTES_MAX: usize = 8 * 1_024;

/// Most header fields of an answer.
const FIELDS_MAX: usize = 32;

/// A byte stream to a node: TCP, TLS, or what a simulation has in its place.
pub trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

/// Opens a link to a node's process, under TLS if `trust` says whose certificates count. Returns the connection, and what
/// the node has sent on it already.
///
/// # Errors
///
/// Nobody answers in time, another process answers, its certificate is not accepted, or it does not know the secret.
pub async fn dial(
    address: &str,
    process: Uuid,
    gateway: Uuid,
    secret: &Secret,
    trust: Option<&Trust>,
    entropy: &Entropy,
) -> io::Result<(Box<dyn Wire>, Vec<u8>)> {
    let mut nonce = [0; NONCE_BYTES];
    entropy(&mut nonce);
    let request = Request { versions: VERSIONS, process, gateway, nonce };
    let late = |_| io::Error::new(io::ErrorKind::TimedOut, format!("no link within {HANDSHAKE_TIMEOUT:?}"));
    let opening = async {
        let stream = connect(address).await?;
        let (mut stream, binding): (Box<dyn Wire>, _) = match trust {
            None => (Box::new(stream), None),
            Some(trust) => {
                let (stream, binding) = trust.connect(address, stream).await?;
                (Box::new(stream), Some(binding))
            }
        };
        let leftover = shake_hands(&mut stream, address, &request, binding, secret).await?;
        Ok((stream, leftover))
    };
    timeout(HANDSHAKE_TIMEOUT, opening).await.map_err(late)?
}

async fn connect(address: &str) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Returns the bytes that were read after the handshake.
async fn shake_hands(
    stream: &mut impl Wire,
    address: &str,
    request: &Request,
    binding: Option<Binding>,
    secret: &Secret,
) -> io::Result<Vec<u8>> {
    stream.write_all(head(address, request).as_bytes()).await?;
    stream.flush().await?;
    let mut read = Vec::new();
    let (terms, length) = loop {
        if stream.read_buf(&mut read).await? == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the node hung up during the handshake"));
        }
        if let Some(found) = answer(&read, request, binding, secret)? {
            break found;
        }
        if read.len() > HEAD_BYTES_MAX {
            return Err(io::Error::other("the node's answer is too long"));
        }
    };
    stream.write_all(&terms.prove(End::Gateway, secret)).await?;
    stream.flush().await?;
    Ok(read.split_off(length))
}

fn head(address: &str, request: &Request) -> String {
    let Request { versions, process, gateway, nonce } = request;
    let fields = [
        ("host", address.to_owned()),
        ("connection", "Upgrade".to_owned()),
        ("upgrade", UPGRADE.to_owned()),
        (header::VERSIONS, range(*versions)),
        (header::PROCESS, process.to_string()),
        (header::GATEWAY, gateway.to_string()),
        (header::NONCE, encode(nonce)),
    ];
    let fields: String = fields.into_iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!("GET /link HTTP/1.1\r\n{fields}\r\n")
}

/// Reads the node's answer and checks its proof. Returns the terms and the length of the answer, or `None` if the rest
/// of it has not arrived.
fn answer(
    bytes: &[u8],
    request: &Request,
    binding: Option<Binding>,
    secret: &Secret,
) -> io::Result<Option<(Terms, usize)>> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut response = httparse::Response::new(&mut fields);
    let httparse::Status::Complete(length) = response.parse(bytes).map_err(io::Error::other)? else { return Ok(None) };
    let field = |name| {
        let found = response.headers.iter().find(|field| field.name.eq_ignore_ascii_case(name));
        let value = found.and_then(|field| std::str::from_utf8(field.value).ok());
        value.ok_or_else(|| io::Error::other(format!("{name} is missing in the node's answer")))
    };
    match (response.code.unwrap_or_default(), field(header::VERSIONS)) {
        (101, _) => {}
        (421, _) => return Err(io::Error::other("another process answers at the node's address")),
        (426, Ok(spoken)) => {
            let ours = range(request.versions);
            let error = format!(
                "no common version of the link: the node speaks {spoken}, this process {ours}; update the older one"
            );
            return Err(io::Error::other(error));
        }
        // A listener for TLS answers so to everything else.
        (400, _) if binding.is_none() => {
            return Err(io::Error::other("the node refuses the link with status 400; if it uses TLS, set --link-ca"));
        }
        (status, _) => return Err(io::Error::other(format!("the node refuses the link with status {status}"))),
    }
    let bad = |name| io::Error::other(format!("{name} in the node's answer cannot be read"));
    let node_nonce = decode(field(header::NONCE)?).ok_or_else(|| bad(header::NONCE))?;
    let proof = decode::<32>(field(header::PROOF)?).ok_or_else(|| bad(header::PROOF))?;
    let version: u16 = field(header::VERSION)?.parse().map_err(|_| bad(header::VERSION))?;
    let Request { process, gateway, nonce: gateway_nonce, .. } = *request;
    let terms = Terms { version, process, gateway, gateway_nonce, node_nonce, binding };
    if !(request.versions.0..=request.versions.1).contains(&version) || !field("upgrade")?.eq_ignore_ascii_case(UPGRADE)
    {
        return Err(io::Error::other("the node has chosen a protocol that it was not offered"));
    }
    if !terms.is_proof(End::Node, secret, &proof) {
        return Err(io::Error::other(match binding {
            None => "the node's proof is wrong: it does not know the secret of the process",
            Some(_) => {
                "the node's proof is wrong: it does not know the secret of the process, or the TLS connection ends at \
                 something in front of it"
            }
        }));
    }
    Ok(Some((terms, length)))
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::super::handshake::confirm;
    use super::*;
    use crate::clock::system_entropy;

    const PROCESS: Uuid = Uuid::from_u128(1);
    const GATEWAY: Uuid = Uuid::from_u128(2);

    fn secret(byte: u8) -> Secret {
        Secret::new(&[byte; 32]).expect("long enough")
    }

    async fn listen() -> (TcpListener, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its number").to_string();
        (listener, address)
    }

    async fn dial(address: &str) -> io::Result<(Box<dyn Wire>, Vec<u8>)> {
        super::dial(address, PROCESS, GATEWAY, &secret(5), None, &system_entropy()).await
    }

    /// The request of the next gateway.
    async fn request(listener: &TcpListener) -> (TcpStream, Request) {
        let (mut stream, _) = listener.accept().await.expect("a gateway");
        let mut read = Vec::new();
        while !read.ends_with(b"\r\n\r\n") {
            assert!(stream.read_buf(&mut read).await.expect("a request") > 0);
        }
        let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
        let mut request = httparse::Request::new(&mut fields);
        assert!(request.parse(&read).expect("a request").is_complete());
        assert_eq!((request.method, request.path), (Some("GET"), Some("/link")));
        let request = Request::read(|name| {
            let field = request.headers.iter().find(|field| field.name == name)?;
            std::str::from_utf8(field.value).ok()
        });
        (stream, request.expect("a request for a link"))
    }

    fn switching(terms: &Terms, secret: &Secret) -> String {
        let fields: String = terms.answer(secret).iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        format!("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: {UPGRADE}\r\n{fields}\r\n")
    }

    /// Answers the next gateway with this text and returns what it found.
    async fn refused(answer: impl FnOnce(&Request) -> String) -> String {
        let (listener, address) = listen().await;
        let node = async {
            let (mut stream, request) = request(&listener).await;
            stream.write_all(answer(&request).as_bytes()).await.expect("to send");
            stream.shutdown().await.expect("to hang up");
            let mut sent = Vec::new();
            // A gateway that hangs up early may do so with a reset.
            let _ = stream.read_to_end(&mut sent).await;
            assert!(sent.is_empty(), "a gateway proves nothing to somebody who has proved nothing");
        };
        let (dialled, ()) = tokio::join!(dial(&address), node);
        dialled.map(|_| ()).expect_err("no link").to_string()
    }

    #[tokio::test]
    async fn both_ends_find_each_other_and_no_byte_behind_the_handshake_is_lost() {
        let (listener, address) = listen().await;
        let node = async {
            let (mut stream, request) = request(&listener).await;
            let terms = request.accept(VERSIONS, PROCESS, [7; NONCE_BYTES], None).expect("terms");
            assert_eq!((terms.gateway, terms.version), (GATEWAY, VERSIONS.1));
            stream.write_all((switching(&terms, &secret(5)) + "early").as_bytes()).await.expect("to send");
            let mut heard = confirm(&mut stream, Vec::new(), &terms, &secret(5)).await.expect("a proof");
            while heard.len() < 5 {
                assert!(stream.read_buf(&mut heard).await.expect("a message") > 0);
            }
            assert_eq!(heard, b"hello");
        };
        let gateway = async {
            let (mut stream, mut heard) = dial(&address).await.expect("a link");
            stream.write_all(b"hello").await.expect("to send");
            while heard.len() < 5 {
                assert!(stream.read_buf(&mut heard).await.expect("a message") > 0);
            }
            assert_eq!(heard, b"early");
        };
        tokio::join!(node, gateway);
        assert!(connect(&address).await.expect("a connection").nodelay().expect("an option"));
    }

    #[tokio::test]
    async fn a_gateway_believes_only_the_process_that_it_means() {
        let accept = |request: &Request| request.accept(VERSIONS, PROCESS, [7; NONCE_BYTES], None).expect("terms");
        let error = refused(|request| switching(&accept(request), &secret(6))).await;
        assert!(error.contains("proof is wrong"), "{error}");
        // Recorded from an earlier handshake, whose gateway had another random number.
        let error =
            refused(|request| switching(&Terms { gateway_nonce: [1; NONCE_BYTES], ..accept(request) }, &secret(5)));
        assert!(error.await.contains("proof is wrong"));
        let says = |version: u16| format!("{}: {version}\r\n", header::VERSION);
        let error = refused(|request| {
            switching(&accept(request), &secret(5)).replace(&says(VERSIONS.1), &says(VERSIONS.1 + 1))
        })
        .await;
        assert!(error.contains("not offered"), "{error}");
        let error = refused(|_| "HTTP/1.1 421 Misdirected Request\r\n\r\n".to_owned()).await;
        assert!(error.contains("another process"), "{error}");
        let error = refused(|_| "HTTP/1.1 400 Bad Request\r\n\r\n".to_owned()).await;
        assert!(error.contains("--link-ca"), "{error}");
        let error = refused(|_| "HTTP/1.1 503 Service Unavailable\r\n\r\n".to_owned()).await;
        assert!(error.contains("503"), "{error}");
        let error = refused(|request| switching(&accept(request), &secret(5)).replace("castellan-proof", "x")).await;
        assert!(error.contains("castellan-proof is missing"), "{error}");
        let error = refused(|request| switching(&accept(request), &secret(5))[..99].to_owned()).await;
        assert!(error.contains("hung up"), "{error}");
        let error = refused(|_| format!("HTTP/1.1 101 Fine\r\nx: {}", "y".repeat(HEAD_BYTES_MAX))).await;
        assert!(error.contains("too long"), "{error}");
    }

    /// A gateway that speaks some versions dials a node that speaks others. Returns what each of the two has found.
    async fn negotiate(asked: (u16, u16), spoken: (u16, u16)) -> (Result<u16, String>, Result<u16, String>) {
        let (listener, address) = listen().await;
        let node = async {
            let (mut stream, request) = request(&listener).await;
            match request.accept(spoken, PROCESS, [7; NONCE_BYTES], None) {
                Ok(terms) => {
                    stream.write_all(switching(&terms, &secret(5)).as_bytes()).await.expect("to send");
                    confirm(&mut stream, Vec::new(), &terms, &secret(5)).await.expect("a proof");
                    Ok(terms.version)
                }
                Err(error) => {
                    let answer =
                        format!("HTTP/1.1 426 Upgrade Required\r\n{}: {}\r\n\r\n", header::VERSIONS, range(spoken));
                    stream.write_all(answer.as_bytes()).await.expect("to send");
                    Err(error.to_string())
                }
            }
        };
        let request = Request { versions: asked, process: PROCESS, gateway: GATEWAY, nonce: [3; NONCE_BYTES] };
        let secret = secret(5);
        let gateway = async { shake_hands(&mut connect(&address).await?, &address, &request, None, &secret).await };
        let (dialled, accepted) = tokio::join!(gateway, node);
        let version = |accepted: &Result<u16, String>| *accepted.as_ref().expect("a link has a version");
        (dialled.map(|_| version(&accepted)).map_err(|error| error.to_string()), accepted)
    }

    #[tokio::test]
    async fn processes_of_two_releases_speak_the_older_ones_version() {
        for (asked, spoken) in [((1, 2), (1, 1)), ((1, 1), (1, 2))] {
            assert_eq!(negotiate(asked, spoken).await, (Ok(1), Ok(1)), "{asked:?} and {spoken:?}");
        }
        assert_eq!(negotiate((1, 2), (2, 3)).await, (Ok(2), Ok(2)));
    }

    #[tokio::test]
    async fn without_a_common_version_both_ends_say_what_each_of_them_speaks() {
        for (asked, spoken) in [((1, 1), (2, 3)), ((2, 3), (1, 1))] {
            let (Err(dialled), Err(accepted)) = negotiate(asked, spoken).await else { panic!("they spoke") };
            for said in [&dialled, &accepted] {
                let names_both = said.contains(&range(asked)) && said.contains(&range(spoken));
                assert!(names_both && said.contains("update the older one"), "{said}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_that_does_not_answer_is_given_up() {
        let (_listener, address) = listen().await;
        let began = tokio::time::Instant::now();
        let error = dial(&address).await.map(|_| ()).expect_err("nobody answers");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(began.elapsed() >= HANDSHAKE_TIMEOUT && began.elapsed() < HANDSHAKE_TIMEOUT * 2);
    }
}
