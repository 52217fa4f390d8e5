//! Accepting connections, as many as there is room for, until the server stops.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::connection::Connection;
use super::routes::Routes;
use super::session::Peer;
use crate::config;

/// Largest request head, in bytes, and how much of a body is buffered at a time.
const BUFFER_BYTES_MAX: usize = 32 * 1024;

/// Most header fields in a request.
const HEADER_FIELDS_MAX: usize = 64;

/// How long accepting rests after the operating system has refused a connection, for want of file descriptors, say.
const REST: Duration = Duration::from_millis(50);

/// What connections of one listener may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Time for a request's head, and for an idle connection's next one.
    pub header_timeout: Duration,
    /// Time for which a peer may take nothing of an answer.
    pub write_timeout: Duration,
    /// Connections at a time; upgraded ones do not count.
    pub connections_max: usize,
}

impl From<&config::Listen> for Limits {
    fn from(settings: &config::Listen) -> Self {
        Self {
            header_timeout: settings.header_timeout,
            write_timeout: settings.write_timeout,
            connections_max: settings.connections_max,
        }
    }
}

/// Serves connections until `stop` says true (or its sender is gone), then lets those that are open finish their
/// request and returns when the last one has ended.
pub async fn serve(listener: TcpListener, routes: Routes, limits: Limits, mut stop: watch::Receiver<bool>) {
    let room = Arc::new(Semaphore::new(limits.connections_max));
    loop {
        let permit = tokio::select! {
            permit = Arc::clone(&room).acquire_owned() => permit.expect("the room is never closed"),
            () = stopped(&mut stop) => break,
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stopped(&mut stop) => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                tokio::spawn(connection(stream, peer, routes.clone(), limits, stop.clone(), permit));
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(REST).await;
            }
        }
    }
    drop(listener);
    let all = u32::try_from(limits.connections_max).unwrap_or(u32::MAX);
    // Each open connection holds a permit: having all means that none is open.
    let _ = room.acquire_many(all).await;
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    // Fails where the sender is gone, which is an end as well.
    let _ = stop.wait_for(|stop| *stop).await;
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    routes: Routes,
    limits: Limits,
    mut stop: watch::Receiver<bool>,
    permit: OwnedSemaphorePermit,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection ended before it began");
        return;
    }
    let service = TowerToHyperService::new(routes.0);
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(Peer(peer));
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
        tracing::debug!(%error, "a connection ended badly");
    }
    drop(permit);
}
