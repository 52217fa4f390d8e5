//! Accepts connections, and decides at once which of them may stay.

use std::io::{self, Write};
use std::net::IpAddr;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use ipnet::IpNet;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::client_address::{ClientAddress, is_trusted};
use super::connection::{Connection, Stream, Times};
use super::places::{Place, Places};
use super::proxied;
use super::reached::Reached;
use super::routes::Routes;
use super::tls::Tls;
use crate::config;
use crate::link::{self, Binding};
use crate::network::Network;
use crate::telemetry::{self, Who};

/// Largest request head and largest buffered part of a body, in bytes.
const BUFFER_BYTES_MAX: usize = 32 * 1024;

/// Most header fields in a request.
const HEADER_FIELDS_MAX: usize = 64;

/// Pause after a connection that cannot be had, for example because too many files are open.
const REST: Duration = Duration::from_millis(50);

/// How long after a stop a client that has just connected may take to say its first word.
const FIRST_WORD: Duration = Duration::from_millis(250);

/// The answer to a connection for which there is no place.
const REFUSAL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nRetry-After: 1\r\n\
Content-Length: 112\r\nConnection: close\r\n\r\n\
{\"error\":\"too many connections to this server, or from this address\",\"code\":\"overloaded\",\"retry_after_ms\":1000}\n";

/// Limits for the connections of one listener.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Time limit for a request's head to arrive.
    pub header_timeout: Duration,
    /// How long an idle connection waits for its next request.
    pub idle_timeout: Duration,
    /// How long a peer may read nothing of a waiting answer.
    pub write_timeout: Duration,
    /// Most open connections; upgraded ones do not count.
    pub connections_max: usize,
    /// Most open connections from one address.
    pub connections_per_address: usize,
    /// Proxies that may name the client.
    pub trusted_proxies: Arc<[IpNet]>,
    /// A connection whose file has this number or a higher one is closed at once: only the reserve of open files is
    /// left. The system always gives the lowest free number.
    pub numbers_below: u64,
}

impl From<&config::Listen> for Limits {
    fn from(settings: &config::Listen) -> Self {
        Self {
            header_timeout: settings.header_timeout,
            idle_timeout: settings.idle_timeout,
            write_timeout: settings.write_timeout,
            connections_max: settings.connections_max,
            connections_per_address: settings.connections_per_address,
            trusted_proxies: settings.trusted_proxies.as_slice().into(),
            numbers_below: u64::MAX,
        }
    }
}

/// Shared by all connections of a listener.
struct House {
    tls: Option<Arc<Tls>>,
    routes: Routes,
    limits: Limits,
    places: Arc<Places>,
    /// Each open connection holds a receiver.
    open: watch::Sender<()>,
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
    let places = Arc::new(Places::new(limits.connections_max, limits.connections_per_address));
    let house = Arc::new(House { tls, routes, limits, places, open: watch::Sender::new(()) });
    // Logged only once until a connection is accepted again.
    let mut is_refusing = false;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stopped(&mut stop) => break,
        };
        let accepted = accepted.and_then(|(stream, peer)| Ok((leave_the_reserve(stream, &house.limits)?, peer)));
        match accepted {
            Ok((stream, peer)) => {
                is_refusing = false;
                house.receive(stream, peer.ip().to_canonical(), &stop);
            }
            Err(error) => {
                if !std::mem::replace(&mut is_refusing, true) {
                    tracing::warn!(%error, "cannot accept connections; trying again until it works");
                }
                sleep(REST).await;
            }
        }
    }
    drop(listener);
    house.open.closed().await;
}

/// Closes a connection that would take a file from the reserve.
fn leave_the_reserve(stream: TcpStream, limits: &Limits) -> io::Result<TcpStream> {
    let number = u64::try_from(stream.as_raw_fd()).unwrap_or_default();
    if number < limits.numbers_below { Ok(stream) } else { Err(io::Error::other("too many open files")) }
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error means that the sender was dropped: also a stop.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// The same, for a connection on which nothing was heard: one that was accepted just before a stop gets its answer, too,
/// if its client speaks soon.
async fn stopped_before_a_word(stop: &mut watch::Receiver<bool>) {
    stopped(stop).await;
    sleep(FIRST_WORD).await;
}

impl House {
    /// Serves a connection if there is a place for it.
    fn receive(self: &Arc<Self>, stream: TcpStream, peer: IpAddr, stop: &watch::Receiver<bool>) {
        let is_proxy = is_trusted(peer, &self.limits.trusted_proxies);
        let Some(place) = self.place(peer, is_proxy) else { return self.refuse(stream) };
        let (house, open, mut stop) = (Arc::clone(self), self.open.subscribe(), stop.clone());
        tokio::spawn(async move {
            let _counted = telemetry::HttpConnection::open();
            let result = if is_proxy {
                house.serve_proxied(stream, peer, place, &mut stop).await
            } else {
                house.serve(stream, peer, place, &mut stop).await
            };
            if let Err(error) = result {
                tracing::debug!(%error, "a connection ended with an error");
            }
            drop(open);
        });
    }

    fn place(&self, client: IpAddr, is_proxy: bool) -> Option<Arc<Place>> {
        let network = Network::of(client);
        self.places.enter(network, is_proxy).map_err(|limit| telemetry::refused(limit, Who::Network(network))).ok()
    }

    /// Serves a connection of a trusted proxy, which may name the client first.
    async fn serve_proxied(
        &self,
        mut stream: TcpStream,
        peer: IpAddr,
        place: Arc<Place>,
        stop: &mut watch::Receiver<bool>,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let client = tokio::select! {
            client = timeout(self.limits.header_timeout, proxied::client(&mut stream)) => client??,
            () = place.evicted() => return Ok(()),
            () = stopped_before_a_word(stop) => return Ok(()),
        };
        let Some(client) = client.map(|client| client.to_canonical()) else {
            return self.serve(stream, peer, place, stop).await;
        };
        drop(place);
        match self.place(client, is_trusted(client, &self.limits.trusted_proxies)) {
            Some(place) => self.serve(stream, client, place, stop).await,
            None => {
                self.refuse(stream);
                Ok(())
            }
        }
    }

    /// Serves the requests of a connection.
    async fn serve(
        &self,
        stream: TcpStream,
        peer: IpAddr,
        place: Arc<Place>,
        stop: &mut watch::Receiver<bool>,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let limits = &self.limits;
        stream.set_nodelay(true)?;
        let local = stream.local_addr()?;
        let (stream, tls, server_name) = tokio::select! {
            accepted = accept(stream, self.tls.as_deref(), limits.header_timeout) => accepted?,
            () = place.evicted() => return Ok(()),
            () = stopped_before_a_word(stop) => return Ok(()),
        };
        let reached = Reached { local, tls, server_name };
        let requests = Arc::new(AtomicU32::new(0));
        let service = TowerToHyperService::new(self.routes.0.clone());
        let service = service_fn(|mut request: hyper::Request<Incoming>| {
            requests.fetch_add(1, Ordering::Relaxed);
            let client = ClientAddress::of(peer, request.headers(), &limits.trusted_proxies);
            request.extensions_mut().insert(client);
            request.extensions_mut().insert(reached.clone());
            let (answer, busy) = (service.call(request), place.busy());
            async move {
                // Many requests fit into what is read at a time. It is everybody's turn after each of them.
                tokio::task::yield_now().await;
                let answer = answer.await;
                drop(busy);
                answer
            }
        });
        let times = Times { head: limits.header_timeout, write: limits.write_timeout };
        let io = TokioIo::new(Connection::new(stream, times, Arc::clone(&place), Arc::clone(&requests)));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            // From the end of a request to the end of the next one's head. `Connection` has the time of the head alone.
            .header_read_timeout(limits.idle_timeout.max(limits.header_timeout))
            .max_buf_size(BUFFER_BYTES_MAX)
            .max_headers(HEADER_FIELDS_MAX)
            .serve_connection(io, service)
            .with_upgrades();
        tokio::pin!(connection);
        tokio::select! {
            result = connection.as_mut() => return Ok(result?),
            () = async {
                stopped(stop).await;
                if requests.load(Ordering::Relaxed) == 0 {
                    sleep(FIRST_WORD).await;
                }
            } => {}
            // It may have begun a request since.
            () = place.evicted() => if !place.is_busy() { return Ok(()) },
        }
        connection.as_mut().graceful_shutdown();
        Ok(connection.await?)
    }

    /// Tells a client that there is no place for it, if its socket takes that at once. Under TLS it would take a
    /// handshake, which costs more than the place.
    fn refuse(&self, stream: TcpStream) {
        if self.tls.is_none() {
            // An error means that the client has gone.
            let _ = stream.into_std().and_then(|mut stream| stream.write_all(REFUSAL));
        }
    }
}

/// Performs the TLS handshake, if there is one. Returns the stream, what names the TLS connection, and the name by which
/// the client calls this server.
async fn accept(
    stream: TcpStream,
    tls: Option<&Tls>,
    time: Duration,
) -> io::Result<(Stream, Option<Binding>, Option<Arc<str>>)> {
    let Some(tls) = tls else { return Ok((Stream::Plain(stream), None, None)) };
    // Boxed, so that plain connections do not pay for its memory.
    let stream = timeout(time, Box::pin(tls.accept(stream))).await.unwrap_or_else(|elapsed| Err(elapsed.into()));
    telemetry::tls_handshake(stream.is_ok());
    let stream = stream?;
    let connection = stream.get_ref().1;
    let (binding, server_name) = (link::binding(connection)?, connection.server_name().map(Arc::from));
    Ok((Stream::Tls(Box::new(stream)), Some(binding), server_name))
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[test]
    fn the_refusal_has_the_length_that_it_says() {
        let text = std::str::from_utf8(REFUSAL).expect("ASCII");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{head}");
        serde_json::from_str::<castellan_protocol::http::ErrorBody<()>>(body).expect("an error as the protocol has it");
    }

    /// A listener without routes, and the sender that stops it.
    async fn listening(numbers_below: u64) -> (SocketAddr, watch::Sender<bool>) {
        listening_with(numbers_below, Duration::from_secs(60)).await
    }

    async fn listening_with(numbers_below: u64, header_timeout: Duration) -> (SocketAddr, watch::Sender<bool>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its number");
        let (stop, stopped) = watch::channel(false);
        let limits = Limits {
            header_timeout,
            idle_timeout: Duration::from_secs(60),
            write_timeout: Duration::from_secs(1),
            connections_max: 9,
            connections_per_address: 9,
            trusted_proxies: Arc::default(),
            numbers_below,
        };
        tokio::spawn(serve(listener, None, Routes(axum::Router::new()), limits, stopped));
        (address, stop)
    }

    async fn answer(stream: &mut TcpStream) -> String {
        stream.write_all(b"GET / HTTP/1.1\r\nHost: castellan\r\nConnection: close\r\n\r\n").await.expect("sent");
        let mut text = String::new();
        stream.read_to_string(&mut text).await.expect("an answer");
        text
    }

    #[tokio::test]
    async fn a_connection_whose_file_belongs_to_the_reserve_is_closed_at_once() {
        let (address, _stop) = listening(1).await;
        let mut peer = TcpStream::connect(address).await.expect("the kernel's queue");
        let end = timeout(Duration::from_secs(10), peer.read(&mut [0])).await.expect("long before the header's time");
        assert_eq!(end.expect("an end"), 0);
    }

    #[tokio::test]
    async fn an_idle_connection_waits_longer_for_a_request_than_the_server_for_its_head() {
        let (address, _stop) = listening_with(u64::MAX, Duration::from_millis(100)).await;
        let request = b"GET / HTTP/1.1\r\nHost: castellan\r\n\r\n";
        let connect = || async { TcpStream::connect(address).await.expect("a connection") };
        let mut idle = connect().await;
        idle.write_all(request).await.expect("sent");
        let mut text = [0; 4_096];
        assert!(idle.read(&mut text).await.expect("an answer") > 0);
        let (mut silent, mut slow, mut second_is_slow) = (connect().await, connect().await, connect().await);
        slow.write_all(&request[..9]).await.expect("sent");
        second_is_slow.write_all(request).await.expect("sent");
        assert!(second_is_slow.read(&mut text).await.expect("an answer") > 0);
        second_is_slow.write_all(&request[..9]).await.expect("sent");
        for (what, late) in [("silent", &mut silent), ("slow", &mut slow), ("second is slow", &mut second_is_slow)] {
            let end = timeout(Duration::from_secs(30), late.read(&mut text)).await.expect("it is closed");
            assert!(matches!(end, Ok(0) | Err(_)), "{what}: {end:?}");
        }
        idle.write_all(request).await.expect("sent");
        assert!(idle.read(&mut text).await.expect("an answer") > 0, "it was idle for longer than a head may take");
    }

    #[tokio::test]
    async fn a_client_that_connected_just_before_a_stop_gets_its_answer() {
        let (address, stop) = listening(u64::MAX).await;
        let mut first = TcpStream::connect(address).await.expect("a connection");
        let mut second = TcpStream::connect(address).await.expect("a connection");
        // Connections are accepted in their order, so the first one was, too.
        assert!(answer(&mut second).await.starts_with("HTTP/1.1 404"));
        stop.send_replace(true);
        // The stop was noticed once nobody can connect any more.
        while TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
        assert!(answer(&mut first).await.starts_with("HTTP/1.1 404"));
    }
}
