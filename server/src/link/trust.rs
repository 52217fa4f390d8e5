//! TLS on links: the authorities that sign the certificates of nodes, and how a link is tied to its TLS connection.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::RwLock;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{self, ClientConfig, ConnectionCommon, RootCertStore};

/// A value that only the two ends of one TLS connection know. The proofs of a link are about it too, so that nobody can
/// stand between the two and pass their proofs on, even with a certificate that the gateway accepts.
///
/// Source: RFC 9266, `tls-exporter`.
pub type Binding = [u8; 32];

/// The label of the value. Source: RFC 9266, section 4.
const LABEL: &[u8] = b"EXPORTER-Channel-Binding";

/// The binding of a TLS connection.
///
/// # Errors
///
/// Its handshake is not finished.
pub fn binding<Data>(connection: &ConnectionCommon<Data>) -> io::Result<Binding> {
    connection.export_keying_material(Binding::default(), LABEL, None).map_err(io::Error::other)
}

/// The authorities that sign the certificates of nodes, and their file.
pub struct Trust {
    file: PathBuf,
    current: RwLock<TlsConnector>,
}

/// Why the file of the authorities cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// It cannot be read, or is no PEM file.
    #[error("{0}: {1}")]
    File(PathBuf, #[source] rustls::pki_types::pem::Error),
    /// A certificate in it cannot be used.
    #[error("{0}: {1}")]
    Unusable(PathBuf, #[source] rustls::Error),
    /// It has no certificate.
    #[error("{0}: no certificate in it")]
    Empty(PathBuf),
}

impl Trust {
    /// Reads the authorities' certificates from a PEM file.
    ///
    /// # Errors
    ///
    /// [`TrustError`] if they cannot be used.
    pub fn open(file: &Path) -> Result<Self, TrustError> {
        Ok(Self { file: file.to_owned(), current: RwLock::new(read(file)?) })
    }

    /// Reads the file again, for new links.
    ///
    /// # Errors
    ///
    /// [`TrustError`]. Then the old authorities stay in use.
    pub fn reload(&self) -> Result<(), TrustError> {
        *self.current.write() = read(&self.file)?;
        Ok(())
    }

    /// Performs the TLS handshake with the node at this address.
    ///
    /// # Errors
    ///
    /// The node does not speak TLS 1.3, or its certificate is not accepted.
    pub async fn connect(&self, address: &str, stream: TcpStream) -> io::Result<(TlsStream<TcpStream>, Binding)> {
        let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
        let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned()).map_err(io::Error::other)?;
        let connector = self.current.read().clone();
        let stream = connector.connect(name, stream).await.map_err(|error| self.explain(&error))?;
        let binding = binding(stream.get_ref().1)?;
        Ok((stream, binding))
    }

    fn explain(&self, error: &io::Error) -> io::Error {
        let file = self.file.display();
        let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        io::Error::other(match tls {
            Some(rustls::Error::InvalidCertificate(_)) => {
                format!("the node's certificate is not accepted (--link-ca {file}): {error}")
            }
            Some(_) => format!("no TLS with the node, and --link-ca allows nothing else: {error}"),
            None => format!("the TLS handshake with the node failed: {error}"),
        })
    }
}

fn read(file: &Path) -> Result<TlsConnector, TrustError> {
    let unreadable = |error| TrustError::File(file.to_owned(), error);
    let unusable = |error| TrustError::Unusable(file.to_owned(), error);
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(file).map_err(unreadable)? {
        roots.add(certificate.map_err(unreadable)?).map_err(unusable)?;
    }
    if roots.is_empty() {
        return Err(TrustError::Empty(file.to_owned()));
    }
    // Before 1.3 the exported value would not always be that of one connection alone.
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(unusable)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}
