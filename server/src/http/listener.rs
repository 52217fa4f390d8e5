//! Accepts connections up to a limit, until the server stops.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::connection::{Connection, Stream};
use super::reached::{Peer, Reached};
use super::routes::Routes;
use super::tls::Tls;

use crate::config;

/// Largest request head and largest buffered part of a body, in bytes.
const BUFFER_BYTES_MAX: usize = 32 * 1024;

/// Most header fields in a request.
const HEADER_FIELDS_MAX: usize = 64;

/// Pause after a connection that cannot be had, for example because too many files are open.
const REST: Duration = Duration::from_millis(50);

/// Limits for the connections of one listener.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Time limit for a request's head to arrive, and for an idle connection to send its next request.
    pub header_timeout: Duration,
    /// How long a peer may read nothing of a waiting answer.
    pub write_timeout: Duration,
    /// Most open connections; upgraded ones do not count.
    pub connections_max: usize,
    /// A connection whose file has this number or a higher one is closed at once: only the reserve of open files is
    /// left. The system always gives the lowest free number.
    pub numbers_below: u64,
}

impl From<&config::Listen> for Limits {
    fn from(settings: &config::Listen) -> Self {
        Self {
            header_timeout: settings.header_timeout,
            write_timeout: settings.write_timeout,
            connections_max: settings.connections_max,
            numbers_below: u64::MAX,
        }
    }
}

/// Serves connections until `stop` is true or its sender is dropped. Then lets open connections finish their request,
/// and returns when the last one has ended.
pub async fn serve(
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
    routes: Routes,
    limits: Limits,
    mut stop: watch::Receiver<bool>,
) {
    let room = Arc::new(Semaphore::new(limits.connections_max));
    // Logged only once until a connection is accepted again.
    let mut is_refusing = false;
    loop {
        let permit = tokio::select! {
            permit = Arc::clone(&room).acquire_owned() => permit.expect("the semaphore is never closed"),
            () = stopped(&mut stop) => break,
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stopped(&mut stop) => break,
        };
        match accepted.and_then(|(stream, peer)| leave_the_reserve(stream, limits).map(|stream| (stream, peer))) {
            Ok((stream, peer)) => {
                is_refusing = false;
                tokio::spawn(connection(stream, peer, tls.clone(), routes.clone(), limits, stop.clone(), permit));
            }
            Err(error) => {
                if !std::mem::replace(&mut is_refusing, true) {
                    tracing::warn!(%error, "cannot accept connections; trying again until it works");
                }
                tokio::time::sleep(REST).await;
            }
        }
    }
    drop(listener);
    let all = u32::try_from(limits.connections_max).unwrap_or(u32::MAX);
    // Each open connection holds a permit: once we hold all of them, none is open.
    let _ = room.acquire_many(all).await;
}

/// Closes a connection that would take a file from the reserve.
fn leave_the_reserve(stream: TcpStream, limits: Limits) -> io::Result<TcpStream> {
    let number = u64::try_from(stream.as_raw_fd()).unwrap_or_default();
    if number < limits.numbers_below { Ok(stream) } else { Err(io::Error::other("too many open files")) }
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error means that the sender was dropped: also a stop.
    let _ = stop.wait_for(|stop| *stop).await;
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    tls: Option<Arc<Tls>>,
    routes: Routes,
    limits: Limits,
    mut stop: watch::Receiver<bool>,
    permit: OwnedSemaphorePermit,
) {
    let local = match stream.set_nodelay(true).and_then(|()| stream.local_addr()) {
        Ok(local) => local,
        Err(error) => {
            tracing::debug!(%error, "a connection was closed before its first request");
            return;
        }
    };
    let accepted = tokio::select! {
        accepted = accept(stream, tls, limits.header_timeout) => accepted,
        () = stopped(&mut stop) => return,
    };
    let (stream, server_name) = match accepted {
        Ok(accepted) => accepted,
        Err(error) => {
            tracing::debug!(%error, "a TLS handshake failed");
            return;
        }
    };
    let reached = Reached { local, is_tls: matches!(stream, Stream::Tls(_)), server_name };
    let service = TowerToHyperService::new(routes.0);
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(Peer(peer));
        request.extensions_mut().insert(reached.clone());
        service.call(request)
    });
    let io = TokioIo::new(Connection::new(stream, limits.write_timeout));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_buf_size(BUFFER_BYTES_MAX)
        .max_headers(HEADER_FIELDS_MAX)
        .serve_connection(io, service)
        .with_upgrades();
    tokio::pin!(connection);
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = stopped(&mut stop) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "a connection ended with an error");
    }
    drop(permit);
}

/// Performs the TLS handshake, if there is one. Returns the stream, and the name by which the client calls this server.
async fn accept(stream: TcpStream, tls: Option<Arc<Tls>>, time: Duration) -> io::Result<(Stream, Option<Arc<str>>)> {
    let Some(tls) = tls else { return Ok((Stream::Plain(stream), None)) };
    // Boxed, so that plain connections do not pay for its memory.
    let stream = tokio::time::timeout(time, Box::pin(tls.accept(stream))).await??;
    let server_name = stream.get_ref().1.server_name().map(Arc::from);
    Ok((Stream::Tls(Box::new(stream)), server_name))
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    #[tokio::test]
    async fn a_connection_whose_file_belongs_to_the_reserve_is_closed_at_once() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its number");
        let mut peer = TcpStream::connect(address).await.expect("the kernel's queue");
        let (_stop, stopped) = watch::channel(false);
        let second = Duration::from_secs(1);
        let limits =
            Limits { header_timeout: second * 60, write_timeout: second, connections_max: 9, numbers_below: 1 };
        tokio::spawn(serve(listener, None, Routes(axum::Router::new()), limits, stopped));
        let end = tokio::time::timeout(second * 10, peer.read(&mut [0])).await.expect("long before the header's time");
        assert_eq!(end.expect("an end"), 0);
    }
}
