//! The proxy that the players connect to: it leads to the present server or gateways, can cut its connections at any
//! byte, and can let what clients send arrive twice.

mod doubling;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use anyhow::Result;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use doubling::Doubling;

/// Bytes moved at a time. Small, so that a cut falls into the middle of frames.
const CHUNK_BYTES: usize = 2 * 1024;

/// Whom a cut concerns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// Every connection.
    All,
    /// Every second one.
    Half,
}

struct State {
    targets: Mutex<Vec<SocketAddr>>,
    twice: AtomicBool,
    accepted: AtomicU64,
    /// Counts cuts of all, and of half.
    cuts: watch::Sender<(u64, u64)>,
}

/// The proxy; it ends when this is dropped.
pub struct Front {
    address: SocketAddr,
    state: Arc<State>,
    task: JoinHandle<()>,
}

impl Front {
    /// Listens on a free loopback port. Connections are not forwarded anywhere yet.
    ///
    /// # Errors
    ///
    /// What the operating system says.
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let state = Arc::new(State {
            targets: Mutex::default(),
            twice: AtomicBool::new(false),
            accepted: AtomicU64::new(0),
            cuts: watch::channel((0, 0)).0,
        });
        let task = tokio::spawn(accept(listener, Arc::clone(&state)));
        Ok(Self { address, state, task })
    }

    /// Where players connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Leads new connections to these in turn from now on; if there are none, connections are closed at once.
    pub fn lead_to(&self, targets: impl IntoIterator<Item = SocketAddr>) {
        *self.state.targets.lock() = targets.into_iter().collect();
    }

    /// Cuts connections where they are.
    pub fn cut(&self, whom: Cut) {
        self.state.cuts.send_modify(|(all, half)| match whom {
            Cut::All => *all += 1,
            Cut::Half => *half += 1,
        });
    }

    /// Whether the first frames of clients on new connections arrive twice.
    pub fn send_twice(&self, twice: bool) {
        self.state.twice.store(twice, Ordering::SeqCst);
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.task.abort();
        self.cut(Cut::All);
    }
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    loop {
        let Ok((client, _)) = listener.accept().await else { continue };
        let accepted = state.accepted.fetch_add(1, Ordering::SeqCst);
        let odd = accepted % 2 == 1;
        let target = {
            let targets = state.targets.lock();
            // Two in a row to the same, so that a cut of half concerns all.
            let turn = usize::try_from(accepted / 2).unwrap_or_default().checked_rem(targets.len());
            turn.map(|turn| targets[turn])
        };
        let Some(target) = target else { continue };
        let cuts = state.cuts.subscribe();
        let doubling = state.twice.load(Ordering::SeqCst).then(Doubling::default);
        tokio::spawn(async move {
            tokio::select! {
                _ = carry(client, target, doubling) => {}
                () = cut_off(cuts, odd) => {}
            }
        });
    }
}

/// Waits for a cut that concerns this connection.
async fn cut_off(mut cuts: watch::Receiver<(u64, u64)>, odd: bool) {
    let before = *cuts.borrow();
    // An error says that the proxy is gone: then its connections end as well.
    let _ = cuts.wait_for(|cuts| cuts.0 != before.0 || (odd && cuts.1 != before.1)).await;
}

async fn carry(client: TcpStream, target: SocketAddr, mut doubling: Option<Doubling>) -> std::io::Result<()> {
    let server = TcpStream::connect(target).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (mut client_read, mut client_write) = client.into_split();
    let (mut server_read, mut server_write) = server.into_split();
    let up = async move {
        let mut chunk = vec![0; CHUNK_BYTES];
        let mut doubled = Vec::new();
        loop {
            let count = client_read.read(&mut chunk).await?;
            if count == 0 {
                return server_write.shutdown().await;
            }
            match &mut doubling {
                None => server_write.write_all(&chunk[..count]).await?,
                Some(doubling) => {
                    doubled.clear();
                    doubling.pass(&chunk[..count], &mut doubled);
                    server_write.write_all(&doubled).await?;
                }
            }
        }
    };
    let down = async move {
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            let count = server_read.read(&mut chunk).await?;
            if count == 0 {
                return client_write.shutdown().await;
            }
            client_write.write_all(&chunk[..count]).await?;
        }
    };
    tokio::try_join!(up, down).map(drop)
}
