//! The byte stream to a server: plain TCP, or TLS.

use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::base_url::BaseUrl;

/// The certificates that a server's certificate must come from. The default: those of this machine.
#[derive(Debug, Clone, Default)]
pub struct Trust(Option<Arc<ClientConfig>>);

impl Trust {
    /// Trusts only the certificates in a PEM file.
    ///
    /// # Errors
    ///
    /// Fails if the file cannot be read or has none. The text names the file.
    pub fn in_file(path: &Path) -> io::Result<Self> {
        let bad = |error: &dyn std::fmt::Display| io::Error::other(format!("{}: {error}", path.display()));
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(path).map_err(|error| bad(&error))? {
            roots.add(certificate.map_err(|error| bad(&error))?).map_err(|error| bad(&error))?;
        }
        if roots.is_empty() {
            return Err(bad(&"has no certificate"));
        }
        Ok(Self(Some(trusting(roots))))
    }

    fn config(&self) -> io::Result<Arc<ClientConfig>> {
        static MACHINE: OnceLock<Arc<ClientConfig>> = OnceLock::new();
        if let Some(config) = self.0.as_ref().or_else(|| MACHINE.get()) {
            return Ok(Arc::clone(config));
        }
        let found = rustls_native_certs::load_native_certs();
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(found.certs);
        if roots.is_empty() {
            let why = found.errors.first().map_or_else(String::new, |error| format!(": {error}"));
            return Err(io::Error::other(format!("this machine has no certificates to trust{why}")));
        }
        Ok(Arc::clone(MACHINE.get_or_init(|| trusting(roots))))
    }
}

fn trusting(roots: RootCertStore) -> Arc<ClientConfig> {
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring has the ciphers of the default versions");
    Arc::new(builder.with_root_certificates(roots).with_no_client_auth())
}

/// A connection to a server.
#[derive(Debug)]
pub enum Stream {
    /// Plain TCP.
    Plain(TcpStream),
    /// TLS over it.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// Connects to the server at a URL, and checks its certificate if the URL asks for TLS.
    pub(crate) async fn connect(url: &BaseUrl, trust: &Trust) -> io::Result<Self> {
        let stream = TcpStream::connect(url.authority()).await?;
        stream.set_nodelay(true)?;
        if !url.is_secure() {
            return Ok(Self::Plain(stream));
        }
        let name = server_name(url.host())?;
        let stream = TlsConnector::from(trust.config()?).connect(name, stream).await?;
        Ok(Self::Tls(Box::new(stream)))
    }
}

fn server_name(host: &str) -> io::Result<ServerName<'static>> {
    match host.trim_matches(['[', ']']).parse::<IpAddr>() {
        Ok(address) => Ok(ServerName::from(address)),
        Err(_) => ServerName::try_from(host.to_owned()).map_err(io::Error::other),
    }
}

/// Calls a method of whichever stream there is.
macro_rules! either {
    ($stream:expr, $inner:ident => $call:expr) => {
        match $stream {
            Stream::Plain($inner) => $call,
            Stream::Tls($inner) => $call,
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        either!(self.get_mut(), inner => Pin::new(inner).poll_read(cx, buffer))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        either!(self.get_mut(), inner => Pin::new(inner).poll_write(cx, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self.get_mut(), inner => Pin::new(inner).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self.get_mut(), inner => Pin::new(inner).poll_shutdown(cx))
    }
}
