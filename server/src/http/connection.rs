//! A client's connection, plain or under TLS, that gives up on a peer that stops reading, or stops in the middle of a
//! request's head.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

use super::places::{Busy, Place};
use crate::socket::{Line, TlsStream};

/// A byte stream from a client.
pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream>),
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

/// The time limits of a connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    /// For the head of a request to arrive, from its first byte on; for the first one from the beginning. A head that begins
    /// before the answer to the request before it has the time of an idle connection instead.
    pub(super) head: Duration,
    /// How long the peer may read nothing of what waits to be written.
    pub(super) write: Duration,
}

/// The head of a request that has begun to arrive.
enum Head {
    /// Since then, after so many requests.
    Begun(Instant, u32),
    /// It was not complete when more was wanted.
    Late(Pin<Box<Sleep>>, u32),
    /// No byte of the next one is there.
    Idle,
}

/// A connection whose reads and writes fail when the peer takes too long.
pub(super) struct Connection {
    stream: Stream,
    times: Times,
    place: Arc<Place>,
    /// How many requests have arrived.
    requests: Arc<AtomicU32>,
    head: Head,
    /// The timer of a waiting write, during which the connection is not idle.
    stalled: Option<(Pin<Box<Sleep>>, Busy)>,
}

impl Connection {
    /// `requests` counts the requests whose heads have arrived.
    pub(super) fn new(stream: Stream, times: Times, place: Arc<Place>, requests: Arc<AtomicU32>) -> Self {
        let head = Head::Begun(Instant::now(), 0);
        Self { stream, times, place, requests, head, stalled: None }
    }

    /// The connection, no longer tied to this runtime.
    pub(super) fn into_line(self) -> io::Result<Line> {
        match self.stream {
            Stream::Plain(stream) => stream.into_std().map(Line::Plain),
            Stream::Tls(stream) => Line::of_tls(stream),
        }
    }

    /// Stops the timer when a write has finished and starts it when a write must wait.
    fn watch<T>(&mut self, context: &mut Context<'_>, write: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if write.is_ready() {
            self.stalled = None;
            return write;
        }
        let until = Instant::now() + self.times.write;
        let begin = || (Box::pin(tokio::time::sleep_until(until)), self.place.busy());
        let (stalled, _) = self.stalled.get_or_insert_with(begin);
        ready!(stalled.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the peer has stopped reading")))
    }
}

impl Connection {
    /// Called when there is nothing to read. Fails if a head has begun and is not complete in time.
    fn watch_head(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let requests = self.requests.load(Ordering::Relaxed);
        let is_over = match self.head {
            Head::Begun(_, before) | Head::Late(_, before) => before != requests,
            Head::Idle => return Poll::Pending,
        };
        // Within a request only its body arrives, and that has a time limit of its own.
        if is_over || self.place.is_busy() {
            self.head = Head::Idle;
            return Poll::Pending;
        }
        if let Head::Begun(began, before) = self.head {
            self.head = Head::Late(Box::pin(tokio::time::sleep_until(began + self.times.head)), before);
        }
        let Head::Late(late, _) = &mut self.head else { return Poll::Pending };
        ready!(late.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the head of a request did not arrive in time")))
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if read.is_pending() {
            return self.watch_head(context);
        }
        if matches!(self.head, Head::Idle) && !self.place.is_busy() {
            self.head = Head::Begun(Instant::now(), self.requests.load(Ordering::Relaxed));
        }
        read
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let write = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watch(context, write)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let write = Pin::new(&mut self.stream).poll_write_vectored(context, buffers);
        self.watch(context, write)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flush = Pin::new(&mut self.stream).poll_flush(context);
        self.watch(context, flush)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
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

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        either!(self.get_mut(), inner => Pin::new(inner).poll_write_vectored(cx, buffers))
    }

    fn is_write_vectored(&self) -> bool {
        either!(self, inner => inner.is_write_vectored())
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self.get_mut(), inner => Pin::new(inner).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self.get_mut(), inner => Pin::new(inner).poll_shutdown(cx))
    }
}
