//! A gateway that is replaced by another process, and the process that replaces it.
//!
//! The new process asks once it is ready. It listens before the old one stops accepting, so no connection is refused.
//! The connections follow as soon as each thread has parted from its nodes.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use castellan_protocol::CloseCode;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::sync::oneshot;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::timeout;

use super::start::Bound;
use crate::auth::Auth;
use crate::gateway::{Arrival, Carried, Door, Listeners, Offer, Owners, PARCEL_MAX, Received};
use crate::shard::CloseOrder;
use crate::socket::{Accepted, Opener, Registry, Seat, Workers};
use crate::storage::ShardId;

/// How long HTTP requests may take to end before connections are given away.
const REQUESTS: Duration = Duration::from_secs(2);

/// How long a gateway may need to part from its nodes: they store what its sockets were told. Sockets that depend on a
/// node then must close.
const PART: Duration = Duration::from_secs(2);

/// How long a new gateway waits until it knows an owner for every shard, before it takes over anyway.
const KNOWS_OWNERS: Duration = Duration::from_secs(5);

/// Work for a socket thread of a gateway.
pub(super) enum Work {
    /// A client's connection.
    Socket(Box<Accepted>),
    /// A connection of another process.
    Carried(Box<(Carried, Seat)>),
    /// A request for a node.
    Request(ShardId, Vec<u8>, oneshot::Sender<Vec<u8>>),
    /// Give all connections away, once the hub has parted or this time is over. The last field is dropped at the end.
    Leave(Sender<Carried>, Duration, mpsc::Sender<()>),
    /// Give nothing away any more.
    Stay,
}

/// Everything that is needed to go on with connections of another process.
#[derive(Clone)]
pub(super) struct Hosts {
    pub(super) auth: Arc<Auth>,
    pub(super) registry: Arc<Registry>,
    pub(super) workers: Arc<Workers<Work>>,
    /// Most connections.
    pub(super) sockets_max: usize,
}

/// The listeners of a server, for whichever process serves them.
pub(super) fn listeners_of(bound: Bound) -> io::Result<Listeners> {
    let operators = bound.operators.map(|(listener, _)| listener.into_std()).transpose()?;
    Ok(Listeners { players: bound.players.into_std()?, operators })
}

/// Asks the gateway that waits at a Unix socket, if one does, to hand itself over.
pub(super) async fn ask(socket: PathBuf, owners: &Owners) -> anyhow::Result<Option<(Arrival, Listeners)>> {
    let mut snapshots = owners.snapshots();
    if timeout(KNOWS_OWNERS, snapshots.wait_for(|snapshot| snapshot.is_whole())).await.is_err() {
        tracing::warn!("not every shard has an owner that can be reached");
    }
    let place = socket.display().to_string();
    let asked = spawn_blocking(move || Arrival::ask(&socket)).await?;
    asked.with_context(|| format!("cannot replace the gateway that waits at {place} (--replace)"))
}

/// Goes on with the connections of the process that is replaced, if there is one. Then waits to be replaced, and sends
/// each process that may do so into the channel.
pub(super) async fn wait_for_successor(
    arrival: Option<Arrival>,
    socket: PathBuf,
    hosts: Hosts,
    successors: mpsc::Sender<Offer>,
) {
    if let Some(arrival) = arrival
        && let Err(error) = take_over(Arc::new(arrival), &hosts).await
    {
        tracing::warn!(%error, "the gateway before this one has not handed everything over, and may go on, too");
    }
    let door = match Door::open(&socket) {
        Ok(door) => door,
        Err(error) => {
            return tracing::error!(%error, socket = %socket.display(), "cannot wait to be replaced (--replace)");
        }
    };
    while successors.send(door.knock().await).await.is_ok() {}
}

async fn take_over(arrival: Arc<Arrival>, hosts: &Hosts) -> io::Result<()> {
    let mut sockets = 0;
    loop {
        let next = Arc::clone(&arrival);
        let received = spawn_blocking(move || next.next()).await.map_err(io::Error::other)??;
        let is_end = matches!(received, Received::End);
        if let Received::Connections(carried) = received {
            sockets += carried.len();
            for carried in carried {
                hosts.go_on(carried).await;
            }
        }
        arrival.got_it()?;
        if is_end {
            tracing::info!(sockets, "replaced the gateway before this one");
            return Ok(());
        }
    }
}

impl Hosts {
    /// Goes on with a connection.
    async fn go_on(&self, carried: Carried) {
        const REVOKED: CloseOrder = CloseOrder::new(CloseCode::SessionRevoked, "the session was ended");
        let session = carried.state.session();
        let opener = Opener::of(&session, carried.state.address());
        let seat = self.registry.keep_seat(&opener, carried.state.client(), true);
        // Since it was given away: nobody told this process.
        if self.auth.is_revoked(session.id) {
            seat.mailbox().order_close(REVOKED);
        }
        self.workers.hand_over_patiently(Work::Carried(Box::new((carried, seat)))).await;
    }

    /// Gives all connections to another process. If it dies, or does not answer, goes on with those that were not sent.
    ///
    /// # Errors
    ///
    /// Why this process goes on.
    pub(super) async fn give_away(&self, offer: Arc<Offer>) -> io::Result<()> {
        let (given, mut carried) = mpsc::channel(self.sockets_max);
        let (leaving, mut has_left) = mpsc::channel::<()>(1);
        self.workers.hand_to_each(|| Work::Leave(given.clone(), PART, leaving.clone())).await;
        drop((given, leaving));
        let result = send_all(&offer, &mut carried, &mut has_left).await;
        let Err((unsent, error)) = result else { return Ok(()) };
        self.workers.hand_to_each(|| Work::Stay).await;
        for carried in unsent {
            self.go_on(carried).await;
        }
        // The hubs have dropped their ends once they stay.
        while let Some(carried) = carried.recv().await {
            self.go_on(carried).await;
        }
        Err(error)
    }
}

/// Sends connections until all threads have left. Returns those that were not sent, if the other process is gone.
async fn send_all(
    offer: &Arc<Offer>,
    carried: &mut Receiver<Carried>,
    has_left: &mut Receiver<()>,
) -> Result<(), (Vec<Carried>, io::Error)> {
    let lost = |error| (Vec::new(), io::Error::other(error));
    let mut is_last = false;
    loop {
        let mut parcel = Vec::new();
        tokio::select! {
            biased;
            _ = carried.recv_many(&mut parcel, PARCEL_MAX) => {}
            _ = has_left.recv(), if !is_last => {
                is_last = true;
                continue;
            }
            () = std::future::ready(()), if is_last => {}
        }
        let (offer, is_end) = (Arc::clone(offer), parcel.is_empty());
        let sent = spawn_blocking(move || {
            if is_end { offer.end().map_err(|error| (Vec::new(), error)) } else { offer.connections(parcel) }
        });
        sent.await.map_err(lost)??;
        if is_end {
            return Ok(());
        }
    }
}

/// Waits for the HTTP requests of listeners that accept no more.
pub(super) async fn finish_requests(listeners: &mut JoinSet<()>) {
    let requests = async { while listeners.join_next().await.is_some() {} };
    if timeout(REQUESTS, requests).await.is_err() {
        tracing::warn!("the gateway is replaced although some HTTP requests have not ended");
    }
}
