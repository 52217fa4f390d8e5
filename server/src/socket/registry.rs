//! The open connections: limits the sockets of a session, replaces older ones, and finds those to close.

use std::collections::HashMap;
use std::sync::Arc;

use castellan_protocol::limits::SOCKETS_PER_SESSION_MAX;
use castellan_protocol::{CloseCode, SessionId};
use parking_lot::Mutex;
use tokio::sync::watch;
use uuid::Uuid;

use crate::shard::{CloseOrder, Mailbox};

/// The session already has the most sockets it may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this session already has {SOCKETS_PER_SESSION_MAX} sockets")]
pub struct TooManySockets;

#[derive(Debug)]
struct Registered {
    mailbox: Mailbox,
    /// The client id, and a channel that closes when the connection serves no more frames.
    client: Option<(Uuid, watch::Receiver<()>)>,
}

/// All open connections, by session.
#[derive(Debug, Default)]
pub struct Registry {
    sessions: Mutex<HashMap<SessionId, Vec<Registered>>>,
}

/// A connection's place in the registry; given back when dropped.
#[derive(Debug)]
pub struct Seat {
    registry: Arc<Registry>,
    session: SessionId,
    mailbox: Mailbox,
    /// Closes when the connection serves no more frames.
    serving: Option<watch::Sender<()>>,
    predecessors: Vec<watch::Receiver<()>>,
}

impl Registry {
    /// Registers a connection that is about to be upgraded, and closes an older one of the same session and client.
    ///
    /// # Errors
    ///
    /// [`TooManySockets`] if the session may not have another one.
    pub fn take_seat(self: &Arc<Self>, session: SessionId, client: Option<Uuid>) -> Result<Seat, TooManySockets> {
        const REPLACED: CloseOrder =
            CloseOrder { code: CloseCode::Normal, reason: "a newer connection of this client took over" };
        let mut sessions = self.sessions.lock();
        let sockets = sessions.entry(session).or_default();
        let (older, others): (Vec<_>, Vec<_>) =
            sockets.iter().partition(|socket| client.is_some() && socket.client.as_ref().map(|(id, _)| *id) == client);
        if others.iter().filter(|socket| !socket.mailbox.is_closing()).count() >= SOCKETS_PER_SESSION_MAX {
            return Err(TooManySockets);
        }
        let predecessors = older.iter().filter_map(|socket| Some(socket.client.as_ref()?.1.clone())).collect();
        for socket in older {
            socket.mailbox.order_close(REPLACED);
        }
        let mailbox = Mailbox::default();
        let named = client.map(|client| (client, watch::channel(())));
        let (serving, client) = named.map(|(client, (serving, ended))| (serving, (client, ended))).unzip();
        sockets.reserve_exact(1);
        sockets.push(Registered { mailbox: mailbox.clone(), client });
        Ok(Seat { registry: Arc::clone(self), session, mailbox, serving, predecessors })
    }

    /// Closes all sockets of a session.
    pub fn close_session(&self, session: SessionId, order: &CloseOrder) {
        for socket in self.sessions.lock().get(&session).into_iter().flatten() {
            socket.mailbox.order_close(order.clone());
        }
    }

    /// Closes the sockets of all sessions for which `ended` returns true.
    pub fn close_sessions_where(&self, ended: impl Fn(SessionId) -> bool, order: &CloseOrder) {
        for (session, sockets) in self.sessions.lock().iter() {
            if ended(*session) {
                sockets.iter().for_each(|socket| socket.mailbox.order_close(order.clone()));
            }
        }
    }

    /// Closes all sockets.
    pub fn close_all(&self, order: &CloseOrder) {
        for socket in self.sessions.lock().values().flatten() {
            socket.mailbox.order_close(order.clone());
        }
    }

    /// The number of open sockets.
    pub fn len(&self) -> usize {
        self.sessions.lock().values().map(Vec::len).sum()
    }

    /// Returns true if no socket is open.
    pub fn is_empty(&self) -> bool {
        self.sessions.lock().is_empty()
    }
}

impl Seat {
    /// The connection's mailbox.
    pub fn mailbox(&self) -> &Mailbox {
        &self.mailbox
    }

    /// Notes that no more frames are served, so that a successor may start before this connection is closed.
    pub(super) fn serve_no_more(&mut self) {
        self.serving = None;
    }

    /// Waits until the connections that this one replaces serve no more frames.
    pub(super) async fn predecessors_ended(&mut self) {
        for mut ended in self.predecessors.drain(..) {
            while ended.changed().await.is_ok() {}
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        const ENDED: CloseOrder = CloseOrder { code: CloseCode::Normal, reason: "the connection has ended" };
        self.mailbox.order_close(ENDED);
        let mut sessions = self.registry.sessions.lock();
        if let Some(sockets) = sessions.get_mut(&self.session) {
            sockets.retain(|socket| socket.mailbox != self.mailbox);
            if sockets.is_empty() {
                sessions.remove(&self.session);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn session(number: u128) -> SessionId {
        SessionId::from_uuid(Uuid::from_u128(number))
    }

    #[test]
    fn a_session_may_have_four_sockets_and_another_session_its_own() {
        let registry = Arc::new(Registry::default());
        let mut seats: Vec<_> = (0..4).map(|_| registry.take_seat(session(1), None).expect("room for four")).collect();
        assert_eq!(registry.take_seat(session(1), None).err(), Some(TooManySockets));
        assert!(registry.take_seat(session(2), None).is_ok());
        seats.pop();
        assert!(registry.take_seat(session(1), None).is_ok(), "an ended socket makes room");
        seats.clear();
        assert!(registry.is_empty(), "nothing is kept of ended sockets");
    }

    #[tokio::test]
    async fn a_newer_connection_of_a_client_ends_the_older_one_and_waits_for_its_end() {
        let registry = Arc::new(Registry::default());
        let client = Some(Uuid::from_u128(9));
        let older = registry.take_seat(session(1), client).expect("the first");
        let other = registry.take_seat(session(1), Some(Uuid::from_u128(8))).expect("another client");
        let mut newer = registry.take_seat(session(1), client).expect("the second");
        older.mailbox().arrived().await;
        assert_eq!(older.mailbox().order().map(|order| order.code), Some(CloseCode::Normal));
        assert!(!other.mailbox().is_closing() && !newer.mailbox().is_closing());
        let mut wait = Box::pin(newer.predecessors_ended());
        assert!((&mut wait).now_or_never().is_none());
        drop(older);
        wait.await;
    }
}
