//! The proxy between the servers and PostgreSQL. It can lose a write or its answer, block everything, or lead to another
//! database.

mod conversation;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use conversation::{Conversation, Kind};

/// A plan to lose the next write, or the next commit of a transfer.
struct Plan {
    kind: Kind,
    /// True if the database gets the write, so that only its answer is lost.
    delivered: bool,
    /// Told when it is lost.
    done: oneshot::Sender<()>,
}

struct State {
    target: Mutex<SocketAddr>,
    plan: Mutex<Option<Plan>>,
    /// The number of cuts.
    cuts: watch::Sender<u64>,
    /// True if everything is blocked.
    closed: Mutex<bool>,
}

/// The proxy; it ends when dropped.
pub struct DatabaseProxy {
    address: SocketAddr,
    state: Arc<State>,
    task: JoinHandle<()>,
}

impl DatabaseProxy {
    /// Listens on a free port of loopback and forwards to the database at `target`.
    ///
    /// # Errors
    ///
    /// An error of the operating system.
    pub async fn start(target: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let state = Arc::new(State {
            target: Mutex::new(target),
            plan: Mutex::new(None),
            cuts: watch::channel(0).0,
            closed: Mutex::new(false),
        });
        let task = tokio::spawn(accept(listener, Arc::clone(&state)));
        Ok(Self { address, state, task })
    }

    /// The address for servers.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Leads to another database from now on: the one address of a primary and its standby. Cuts all connections.
    pub fn lead_to(&self, target: SocketAddr) {
        // In this order: a connection that still goes to the old target is cut.
        *self.state.target.lock() = target;
        self.state.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Cuts and blocks all connections, or allows them again.
    pub fn close(&self, closed: bool) {
        *self.state.closed.lock() = closed;
        if closed {
            self.state.cuts.send_modify(|cuts| *cuts += 1);
        }
    }

    /// Cuts a connection at its next write, which commits by itself: after the database has executed it if `delivered`.
    ///
    /// Returns true if there was one in time.
    pub async fn lose_commit(&self, delivered: bool, within: Duration) -> bool {
        self.lose(Kind::Write, delivered, within).await
    }

    /// The same for the next commit that hands a shard over.
    pub async fn lose_transfer(&self, delivered: bool, within: Duration) -> bool {
        self.lose(Kind::Transfer, delivered, within).await
    }

    async fn lose(&self, kind: Kind, delivered: bool, within: Duration) -> bool {
        let (done, happened) = oneshot::channel();
        *self.state.plan.lock() = Some(Plan { kind, delivered, done });
        let happened = matches!(tokio::time::timeout(within, happened).await, Ok(Ok(())));
        *self.state.plan.lock() = None;
        happened
    }
}

impl Drop for DatabaseProxy {
    fn drop(&mut self) {
        self.task.abort();
        self.close(true);
    }
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    loop {
        let Ok((server, _)) = listener.accept().await else { continue };
        if *state.closed.lock() {
            continue;
        }
        let mut cuts = state.cuts.subscribe();
        let before = *cuts.borrow();
        let state = Arc::clone(&state);
        tokio::spawn(async move {
            tokio::select! {
                _ = carry(server, &state) => {}
                _ = cuts.wait_for(|cuts| *cuts != before) => {}
            }
        });
    }
}

async fn carry(server: TcpStream, state: &State) -> std::io::Result<()> {
    let target = *state.target.lock();
    let database = TcpStream::connect(target).await?;
    server.set_nodelay(true)?;
    database.set_nodelay(true)?;
    let (server_read, server_write) = server.into_split();
    let (database_read, database_write) = database.into_split();
    // Once this is set, the database's answers are dropped, and the first one ends the connection.
    let (mute, muted) = watch::channel(None);
    tokio::select! {
        ended = requests(server_read, database_write, state, &mute) => ended,
        ended = answers(database_read, server_write, muted) => ended,
    }
}

/// Told when the database has answered a write whose answer must be lost.
type Muted = Option<Arc<Mutex<Option<oneshot::Sender<()>>>>>;

async fn requests(
    mut server: OwnedReadHalf,
    mut database: OwnedWriteHalf,
    state: &State,
    mute: &watch::Sender<Muted>,
) -> std::io::Result<()> {
    let mut conversation = Conversation::default();
    let mut chunk = vec![0; 16 * 1024];
    loop {
        let count = server.read(&mut chunk).await?;
        if count == 0 {
            return Ok(());
        }
        conversation.take_in(&chunk[..count]);
        while let Some((kind, message)) = conversation.next_message() {
            let plan = state.plan.lock().take_if(|plan| plan.kind == kind);
            if let Some(Plan { delivered, done, .. }) = plan {
                if !delivered {
                    let _ = done.send(());
                    return Ok(());
                }
                mute.send_replace(Some(Arc::new(Mutex::new(Some(done)))));
            }
            database.write_all(&message).await?;
        }
    }
}

async fn answers(
    mut database: OwnedReadHalf,
    mut server: OwnedWriteHalf,
    muted: watch::Receiver<Muted>,
) -> std::io::Result<()> {
    let mut chunk = vec![0; 16 * 1024];
    loop {
        let count = database.read(&mut chunk).await?;
        if let Some(done) = &*muted.borrow() {
            // The database has answered the write, or ended. The answer is lost.
            if let Some(done) = done.lock().take() {
                let _ = done.send(());
            }
            return Ok(());
        }
        if count == 0 {
            return server.shutdown().await;
        }
        server.write_all(&chunk[..count]).await?;
    }
}
