//! Accepts connections up to a limit, until the server stops.

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

/// Largest request head and largest buffered part of a body, in bytes.
const BUFFER_BYTES_MAX: usize = 32 * 1024;

/// Most header fields in a request.
const HEADER_FIELDS_MAX: usize = 64;

/// Pause after the operating system refuses a connection, for example because file descriptors have run out.
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

/// Serves connections until `stop` is true or its sender is dropped. Then lets open connections finish their request,
/// and returns when the last one has ended.
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
                tracing::warn!(%error, "cannot accept a connection; trying again shortly");
                tokio::time::sleep(REST).await;
            }
        }
    }
    drop(listener);
    let all = u32::try_from(limits.connections_max).unwrap_or(u32::MAX);
    // Each open connection holds a permit: once we hold all of them, none is open.
    let _ = room.acquire_many(all).await;
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error means that the sender was dropped: also a stop.
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
        tracing::debug!(%error, "a connection was closed before its first request");
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
        tracing::debug!(%error, "a connection ended with an error");
    }
    drop(permit);
}
