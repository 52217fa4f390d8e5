//! TLS on the players' address: the certificate, and the handshake.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::RwLock;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{self, ServerConfig};

use crate::socket::{Movable, TlsStream};

/// First byte of a TLS connection: a record with a handshake message. Source: RFC 8446, section 5.1.
const HANDSHAKE: u8 = 22;

/// The answer to a request in plain text.
const PLAIN: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nConnection: close\r\n\
Content-Length: 69\r\n\r\n{\"error\":\"this port speaks only TLS; use https\",\"code\":\"malformed\"}\r\n";

/// Most bytes of a plain request that are read before its connection closes.
const REQUEST_BYTES_MAX: u64 = 64 * 1_024;

/// The certificate in use, and its files.
pub struct Tls {
    certificate: PathBuf,
    key: PathBuf,
    current: RwLock<Arc<ServerConfig>>,
}

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read, or has nothing of the wanted kind.
    #[error("{path}: {error}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        error: rustls::pki_types::pem::Error,
    },
    /// The certificate cannot be read, or the key is not its key.
    #[error("{certificate} and {key} cannot be used: {error}")]
    Unusable {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// Why.
        error: rustls::Error,
    },
}

impl Tls {
    /// Reads a certificate and its key.
    ///
    /// # Errors
    ///
    /// [`TlsError`] if they cannot be used.
    pub fn open(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let current = RwLock::new(read(certificate, key)?);
        Ok(Self { certificate: certificate.to_owned(), key: key.to_owned(), current })
    }

    /// Reads the files again. New connections get the new certificate; open ones keep theirs.
    ///
    /// # Errors
    ///
    /// [`TlsError`]. Then the old certificate stays in use.
    pub fn reload(&self) -> Result<(), TlsError> {
        *self.current.write() = read(&self.certificate, &self.key)?;
        Ok(())
    }

    /// Performs the handshake. Tells a client that speaks plain HTTP.
    pub(super) async fn accept(&self, mut stream: TcpStream) -> io::Result<TlsStream> {
        let mut first = [0];
        if stream.peek(&mut first).await? == 1 && first[0] != HANDSHAKE {
            stream.write_all(PLAIN).await?;
            stream.shutdown().await?;
            // Unread bytes at the end would reset the connection, and the client might lose the answer.
            tokio::io::copy(&mut stream.take(REQUEST_BYTES_MAX), &mut tokio::io::sink()).await?;
            return Err(io::Error::other("the client does not speak TLS"));
        }
        let acceptor = TlsAcceptor::from(Arc::clone(&self.current.read()));
        acceptor.accept(Movable::from(stream)).await
    }
}

fn read(certificate: &Path, key: &Path) -> Result<Arc<ServerConfig>, TlsError> {
    let file = |path: &Path| {
        let path = path.to_owned();
        move |error| TlsError::File { path, error }
    };
    let chain: Vec<_> =
        CertificateDer::pem_file_iter(certificate).and_then(Iterator::collect).map_err(file(certificate))?;
    let secret = PrivateKeyDer::from_pem_file(key).map_err(file(key))?;
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, secret));
    let mut config = config.map_err(|error| TlsError::Unusable {
        certificate: certificate.to_owned(),
        key: key.to_owned(),
        error,
    })?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
