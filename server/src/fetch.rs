//! Fetches a small document: one request, bounded in time and size. Redirects are not followed.

use std::io;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::task::Poll;
use std::time::Duration;

use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::header::{ACCEPT, HOST};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::config::KeyUrl;

/// Time limit for the whole request. Logins wait for it.
const FETCH_TIMEOUT: Duration = Duration::from_secs(3);

/// Largest document, in bytes: a hundred long RSA keys with their certificates.
const DOCUMENT_BYTES_MAX: usize = 512 * 1024;

/// Fetches what is at an address. Trusts the machine's certificates.
///
/// # Errors
///
/// Says why there is none.
pub async fn fetch(url: &KeyUrl) -> io::Result<Bytes> {
    fetch_trusting(url, machine).await
}

async fn fetch_trusting(url: &KeyUrl, trust: impl FnOnce() -> io::Result<Arc<ClientConfig>>) -> io::Result<Bytes> {
    let exchange = async {
        let stream = TcpStream::connect((url.host(), url.port())).await?;
        if !url.is_tls() {
            return get(url, stream).await;
        }
        let name = match url.host().parse::<IpAddr>() {
            Ok(address) => ServerName::from(address),
            Err(_) => ServerName::try_from(url.host().to_owned()).map_err(io::Error::other)?,
        };
        get(url, TlsConnector::from(trust()?).connect(name, stream).await?).await
    };
    let late = |_| io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {FETCH_TIMEOUT:?}"));
    tokio::time::timeout(FETCH_TIMEOUT, exchange).await.map_err(late)?
}

async fn get<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(url: &KeyUrl, stream: S) -> io::Result<Bytes> {
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    let request = Request::get(url.target())
        .header(HOST, url.authority())
        .header(ACCEPT, "application/json")
        .body(Empty::<Bytes>::new())
        .map_err(io::Error::other)?;
    let answer = async {
        let response = sender.send_request(request).await.map_err(io::Error::other)?;
        if response.status() != StatusCode::OK {
            return Err(io::Error::other(format!("answered with status {}", response.status().as_u16())));
        }
        let body = Limited::new(response.into_body(), DOCUMENT_BYTES_MAX).collect().await;
        Ok(body.map_err(|error| io::Error::other(error.to_string()))?.to_bytes())
    };
    tokio::pin!(answer);
    tokio::select! {
        answer = &mut answer => answer,
        // The connection may end before the answer was taken, even badly: some servers just hang up.
        ended = connection => match (futures_util::poll!(&mut answer), ended) {
            (Poll::Ready(answer), _) => answer,
            (Poll::Pending, Ok(())) => answer.await,
            (Poll::Pending, Err(error)) => Err(io::Error::other(error)),
        },
    }
}

/// Trusts the certificates of this machine.
fn machine() -> io::Result<Arc<ClientConfig>> {
    static MACHINE: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    if let Some(config) = MACHINE.get() {
        return Ok(Arc::clone(config));
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err(io::Error::other("this machine has no certificates to trust"));
    }
    Ok(Arc::clone(MACHINE.get_or_init(|| trusting(roots))))
}

fn trusting(roots: RootCertStore) -> Arc<ClientConfig> {
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring has the ciphers of the default versions");
    Arc::new(builder.with_root_certificates(roots).with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;
    use tokio_rustls::rustls::ServerConfig;
    use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;

    use super::*;

    /// Reads a request and answers it.
    async fn answer<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, status: &str, body: &[u8]) -> String {
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            assert!(stream.read_buf(&mut request).await.expect("a request") > 0);
        }
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n", body.len());
        // A client that has seen enough hangs up.
        let _ = stream.write_all(&[head.as_bytes(), body].concat()).await;
        String::from_utf8(request).expect("text")
    }

    async fn plain(status: &'static str, body: Vec<u8>) -> io::Result<Bytes> {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://127.0.0.1:{}/keys?v=1", listener.local_addr().expect("an address").port());
        let served = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a client");
            answer(&mut stream, status, &body).await
        });
        let fetched = fetch(&KeyUrl::new(&url).expect("a URL")).await;
        let request = served.await.expect("served");
        assert!(request.starts_with("GET /keys?v=1 HTTP/1.1\r\nhost: 127.0.0.1:"), "{request}");
        fetched
    }

    #[tokio::test]
    async fn only_a_whole_small_good_answer_counts() {
        assert_eq!(plain("200 OK", b"{}".to_vec()).await.expect("an answer"), "{}");
        assert!(plain("302 Found", b"{}".to_vec()).await.is_err());
        assert!(plain("500 Oh", b"{}".to_vec()).await.is_err());
        assert_eq!(plain("200 OK", vec![b' '; DOCUMENT_BYTES_MAX]).await.expect("an answer").len(), DOCUMENT_BYTES_MAX);
        assert!(plain("200 OK", vec![b' '; DOCUMENT_BYTES_MAX + 1]).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_does_not_answer_is_given_up() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/", listener.local_addr().expect("an address"));
        let began = tokio::time::Instant::now();
        let error = fetch(&KeyUrl::new(&url).expect("a URL")).await.expect_err("nobody answers");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(began.elapsed() >= FETCH_TIMEOUT && began.elapsed() < FETCH_TIMEOUT * 2);
    }

    #[tokio::test]
    async fn the_certificate_is_checked() {
        let signed = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        let mut roots = RootCertStore::empty();
        roots.add(signed.cert.der().clone()).expect("a root");
        let secret = PrivatePkcs8KeyDer::from(signed.signing_key.serialize_der());
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![signed.cert.der().clone()], secret.into())
            .expect("a certificate and its key");
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.expect("a client");
                if let Ok(mut stream) = acceptor.accept(stream).await {
                    answer(&mut stream, "200 OK", b"{}").await;
                }
            }
        });
        let url = |host: &str| KeyUrl::new(&format!("https://{host}:{port}/")).expect("a URL");
        let known = trusting(roots);
        let fetched = fetch_trusting(&url("localhost"), || Ok(Arc::clone(&known))).await;
        assert_eq!(fetched.expect("an answer"), "{}");
        assert!(fetch_trusting(&url("127.0.0.1"), || Ok(known)).await.is_err(), "another name");
        let stranger = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        let mut roots = RootCertStore::empty();
        roots.add(stranger.cert.der().clone()).expect("a root");
        assert!(fetch_trusting(&url("localhost"), || Ok(trusting(roots))).await.is_err(), "another certificate");
    }
}
