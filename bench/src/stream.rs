//! A TCP connection of the load to a system, plain or under TLS.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use socket2::{Domain, Socket, Type};
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

/// The name in the certificate.
pub const SERVER_NAME: &str = "localhost";

/// How a client under TLS knows the server.
pub type Trust = Arc<ClientConfig>;

/// A certificate for [`SERVER_NAME`], its key, and the authority that signed it, all in PEM.
#[derive(Debug)]
pub struct Certificate {
    /// The certificate.
    pub certificate: String,
    /// Its key.
    pub key: String,
    /// The authority's certificate.
    pub authority: String,
}

impl Certificate {
    /// Makes an authority and a certificate, both ECDSA P-256.
    ///
    /// # Errors
    ///
    /// Fails without random numbers.
    pub fn make() -> Result<Self> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name.push(DnType::CommonName, "castellan-bench");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate()?;
        let authority = params.self_signed(&key)?.pem();
        let issuer = Issuer::new(params, key);
        let mut params = CertificateParams::new(vec![SERVER_NAME.to_owned()])?;
        params.distinguished_name.push(DnType::CommonName, SERVER_NAME);
        let key = KeyPair::generate()?;
        Ok(Self { certificate: params.signed_by(&key, &issuer)?.pem(), key: key.serialize_pem(), authority })
    }
}

/// Trusts certificates of this authority, in PEM. Sessions are not resumed, so that each connection costs the same.
///
/// # Errors
///
/// Fails if it contains no certificate.
pub fn trust(authority: &str) -> Result<Trust> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.as_bytes()).context("the authority is not PEM")?)?;
    trusting(roots)
}

pub(crate) fn trusting(roots: RootCertStore) -> Result<Trust> {
    let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.resumption = tokio_rustls::rustls::client::Resumption::disabled();
    Ok(Arc::new(config))
}

/// A connection.
#[derive(Debug)]
pub enum Stream {
    /// Without TLS.
    Plain(TcpStream),
    /// Under TLS.
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Stream {
    /// Connects from a loopback address; with `trust` under TLS, whose handshake runs with the first write.
    ///
    /// # Errors
    ///
    /// A refused connection.
    pub fn open(source: Ipv4Addr, address: SocketAddr, trust: Option<&Trust>, patience: Duration) -> Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.bind(&SocketAddr::from((source, 0)).into()).context("cannot bind to another loopback address")?;
        socket.connect_timeout(&address.into(), patience)?;
        socket.set_tcp_nodelay(true)?;
        socket.set_read_timeout(Some(patience))?;
        // Closed connections must not keep their ports.
        socket.set_linger(Some(Duration::ZERO))?;
        let stream = TcpStream::from(socket);
        let Some(trust) = trust else { return Ok(Self::Plain(stream)) };
        let connection = ClientConnection::new(Arc::clone(trust), ServerName::try_from(SERVER_NAME)?)?;
        Ok(Self::Tls(Box::new(StreamOwned::new(connection, stream))))
    }

    /// The socket below.
    pub fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => &stream.sock,
        }
    }

    /// Returns true if a read that does not fill its buffer has taken everything that had arrived.
    pub fn reads_all_at_once(&self) -> bool {
        matches!(self, Self::Plain(_))
    }

    /// Sends what waits inside TLS; returns true if some must still wait.
    pub(crate) fn has_unsent(&mut self) -> io::Result<bool> {
        let Self::Tls(stream) = self else { return Ok(false) };
        while stream.conn.wants_write() {
            match stream.conn.write_tls(&mut stream.sock) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use tokio_rustls::rustls::pki_types::PrivateKeyDer;
    use tokio_rustls::rustls::{ServerConfig, ServerConnection};

    use super::*;

    #[test]
    fn both_kinds_of_connection_carry_bytes_and_say_when_none_wait() {
        let made = Certificate::make().expect("a certificate");
        let chain = vec![CertificateDer::from_pem_slice(made.certificate.as_bytes()).expect("PEM")];
        let key = PrivateKeyDer::from_pem_slice(made.key.as_bytes()).expect("PEM");
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
            .map(Arc::new)
            .expect("a usable certificate");
        let trust = trust(&made.authority).expect("an authority");
        for trust in [None, Some(&trust)] {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
            let address = listener.local_addr().expect("an address");
            let config = trust.map(|_| Arc::clone(&config));
            let echo = thread::spawn(move || {
                let (stream, peer) = listener.accept().expect("a connection");
                let mut bytes = [0; 5];
                match config {
                    None => (&stream).read_exact(&mut bytes).and_then(|()| (&stream).write_all(&bytes)),
                    Some(config) => {
                        let mut tls = StreamOwned::new(ServerConnection::new(config).expect("a config"), stream);
                        tls.read_exact(&mut bytes).and_then(|()| tls.write_all(&bytes))
                    }
                }
                .expect("an echo");
                peer
            });
            let source = Ipv4Addr::new(127, 4, 5, 6);
            let mut stream = Stream::open(source, address, trust, Duration::from_secs(20)).expect("a connection");
            stream.write_all(b"hello").expect("sent");
            let mut bytes = [0; 5];
            stream.read_exact(&mut bytes).expect("an answer");
            assert_eq!(&bytes, b"hello");
            assert!(!stream.has_unsent().expect("no fault"));
            assert_eq!(echo.join().expect("no panic").ip(), source);
        }
    }
}
