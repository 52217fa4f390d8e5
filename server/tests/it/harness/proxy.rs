//! A TCP proxy on loopback that can go silent or be cut, as a network does.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// What the proxy does with what comes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Passing,
    /// Takes everything and hands nothing on, in both directions; not even that a side has hung up.
    Silent,
    /// Ends all connections there are.
    Cut,
}

/// The proxy; gone with all its connections when it is dropped.
pub(crate) struct Proxy {
    address: SocketAddr,
    mode: Arc<watch::Sender<Mode>>,
    _tasks: JoinSet<()>,
}

impl Proxy {
    /// Starts one before `target`.
    pub(crate) async fn start(target: SocketAddr) -> Self {
        Self::start_at("127.0.0.1:0".parse().expect("an address"), target).await
    }

    /// Starts one at an address.
    pub(crate) async fn start_at(address: SocketAddr, target: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let mode = Arc::new(watch::Sender::new(Mode::Passing));
        let mut tasks = JoinSet::new();
        let seen = Arc::clone(&mode);
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let mode = seen.subscribe();
                connections.spawn(async move {
                    if let Ok(server) = TcpStream::connect(target).await {
                        serve(client, server, mode).await;
                    }
                });
            }
        });
        Self { address, mode, _tasks: tasks }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on nothing comes through, and nobody is told.
    pub(crate) fn silence(&self) {
        self.mode.send_replace(Mode::Silent);
    }

    /// From now on all comes through again. What was lost stays lost.
    pub(crate) fn restore(&self) {
        self.mode.send_replace(Mode::Passing);
    }

    /// Ends all connections; later ones pass.
    pub(crate) fn cut(&self) {
        self.mode.send_replace(Mode::Cut);
        self.mode.send_replace(Mode::Passing);
    }
}

async fn serve(client: TcpStream, server: TcpStream, mut mode: watch::Receiver<Mode>) {
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let modes = mode.clone();
    let mut cut = async move || while mode.changed().await.is_ok() && *mode.borrow_and_update() == Mode::Silent {};
    tokio::select! {
        () = pump(from_client, to_server, modes.clone()) => {}
        () = pump(from_server, to_client, modes) => {}
        () = cut() => {}
    }
}

async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut mode: watch::Receiver<Mode>) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        if *mode.borrow() == Mode::Passing && to.write_all(&buffer[..read]).await.is_err() {
            break;
        }
    }
    // An error means that the proxy itself is gone.
    let _ = mode.wait_for(|mode| *mode != Mode::Silent).await;
}
