//! The byte stream of an upgraded connection, on its way from the threads for HTTP to a socket thread.
//!
//! Tokio ties an open TCP connection to the runtime that opened it. So a connection is taken off its runtime, handed
//! over, and put on the other one. Under TLS the state of the encryption stays as it is, and only the TCP connection
//! below it is taken out and put back.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// A TLS connection whose TCP connection can be taken out.
pub type TlsStream = tokio_rustls::server::TlsStream<Movable>;

/// A connection that belongs to no runtime.
pub enum Line {
    /// TCP alone.
    Plain(std::net::TcpStream),
    /// TLS, and the TCP connection that was taken out.
    Tls(Box<TlsStream>, std::net::TcpStream),
}

impl Line {
    /// Takes a TLS connection off its runtime.
    ///
    /// # Errors
    ///
    /// Any error of the operating system.
    pub fn of_tls(mut stream: Box<TlsStream>) -> io::Result<Self> {
        let tcp = stream.get_mut().0.0.take().expect(PRESENT).into_std()?;
        Ok(Self::Tls(stream, tcp))
    }
}

/// Puts a TLS connection on this runtime.
pub(crate) fn settle(mut stream: Box<TlsStream>, tcp: std::net::TcpStream) -> io::Result<Box<TlsStream>> {
    *stream.get_mut().0 = TcpStream::from_std(tcp)?.into();
    Ok(stream)
}

/// A TCP connection that can be taken out.
pub struct Movable(Option<TcpStream>);

const PRESENT: &str = "nobody reads or writes while the connection is being moved";

impl Movable {
    fn stream(self: Pin<&mut Self>) -> Pin<&mut TcpStream> {
        Pin::new(self.get_mut().0.as_mut().expect(PRESENT))
    }
}

impl From<TcpStream> for Movable {
    fn from(stream: TcpStream) -> Self {
        Self(Some(stream))
    }
}

impl AsyncRead for Movable {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_read(cx, buffer)
    }
}

impl AsyncWrite for Movable {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.stream().poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.stream().poll_write_vectored(cx, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_shutdown(cx)
    }
}
