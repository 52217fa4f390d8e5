//! The open connections: limits the sockets of a session, a user and an address, replaces older ones, and finds those to
//! close.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::Arc;

use castellan_protocol::limits::SOCKETS_PER_SESSION_MAX;
use castellan_protocol::{CloseCode, SessionId, UserId};
use parking_lot::Mutex;
use tokio::sync::watch;
use uuid::Uuid;

use crate::auth::Session;
use crate::network::Network;
use crate::shard::{CloseOrder, Mailbox};
use crate::telemetry::{self, Limit, Who};

/// Most sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SocketLimits {
    /// Of all users together.
    pub all_max: usize,
    /// Of one user.
    pub per_user_max: u32,
    /// From one address.
    pub per_address_max: u32,
}

/// Who opens a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opener {
    /// The session.
    pub session: SessionId,
    /// Its user.
    pub user: UserId,
    /// The client's network; `None` if neither its sockets nor the user's are limited.
    pub limited_by: Option<Network>,
}

impl Opener {
    /// A session that opens a socket from this address. Many game servers may share an account and an address.
    pub fn of(session: &Session, address: IpAddr) -> Self {
        let limited_by = (!session.is_game_server()).then(|| Network::of(address));
        Self { session: session.id, user: session.user, limited_by }
    }
}

/// Why there is no seat for a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoSeat {
    /// The session already has the most sockets it may have.
    #[error("this session already has {SOCKETS_PER_SESSION_MAX} sockets")]
    Session,
    /// So has the user.
    #[error("your sessions together already have {0} sockets; close one first")]
    User(u32),
    /// So has the address.
    #[error("there are already {0} sockets from your address")]
    Address(u32),
    /// The server is full, and no user has more than this one would have.
    #[error("this server is full: all sockets are in use; try again later")]
    Full,
}

#[derive(Debug)]
struct Registered {
    session: SessionId,
    mailbox: Mailbox,
    /// The client id, and a channel that closes when the connection serves no more frames. Boxed, because most clients
    /// have none.
    client: Option<Box<(Uuid, watch::Receiver<()>)>>,
    /// The network by which it is counted, if it is.
    network: Option<Network>,
    /// It takes a place. One that was told to make room does not, nor do a socket's connections in other shards.
    is_counted: bool,
}

/// All open connections, by user.
#[derive(Debug)]
pub struct Registry {
    limits: SocketLimits,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    /// The sockets of each user who has some, the oldest ones first. Most users have one, so this holds no spare room.
    of_user: HashMap<UserId, Box<[Registered]>>,
    counts: Counts,
}

/// The sockets that count.
#[derive(Debug, Default)]
struct Counts {
    all: usize,
    from: HashMap<Network, u32>,
    /// How many users have this many sockets, by that number; ends at the greatest one.
    users_with: Vec<usize>,
}

/// A connection's place in the registry; given back when dropped.
#[derive(Debug)]
pub struct Seat {
    registry: Arc<Registry>,
    user: UserId,
    mailbox: Mailbox,
    /// Closes when the connection serves no more frames.
    serving: Option<watch::Sender<()>>,
    predecessors: Box<[watch::Receiver<()>]>,
}

impl Registry {
    /// A registry without connections.
    pub fn new(limits: SocketLimits) -> Self {
        Self { limits, open: Mutex::default() }
    }

    /// Registers a connection that is about to be upgraded, and closes an older one of the same session and client. If
    /// the server is full, closes one of the user who has most.
    ///
    /// # Errors
    ///
    /// The limit that the connection would exceed.
    pub fn take_seat(self: &Arc<Self>, opener: &Opener, client: Option<Uuid>) -> Result<Seat, NoSeat> {
        const REPLACED: CloseOrder = CloseOrder::new(CloseCode::Normal, "a newer connection of this client took over");
        let Opener { session, user, .. } = *opener;
        let is_older = |socket: &Registered| {
            client.is_some() && socket.session == session && socket.client.as_ref().map(|client| client.0) == client
        };
        let stays = |socket: &&Registered| {
            socket.is_counted && socket.session == session && !is_older(socket) && !socket.mailbox.is_closing()
        };
        let mut open = self.open.lock();
        let sockets = open.of(user);
        if sockets.iter().filter(stays).count() >= SOCKETS_PER_SESSION_MAX {
            return Err(NoSeat::Session);
        }
        // One that replaces another one takes its place.
        if !sockets.iter().any(|socket| is_older(socket) && socket.is_counted) {
            self.check(&mut open, opener)?;
        }
        let Open { of_user, counts } = &mut *open;
        let mut predecessors = Vec::new();
        if let Some(sockets) = of_user.get_mut(&user) {
            for index in 0..sockets.len() {
                if is_older(&sockets[index]) {
                    predecessors.extend(sockets[index].client.as_ref().map(|client| client.1.clone()));
                    sockets[index].mailbox.order_close(REPLACED);
                    counts.forget(sockets, index);
                }
            }
        }
        let (mailbox, serving) = open.register(opener, client, true);
        let predecessors = predecessors.into_boxed_slice();
        Ok(Seat { registry: Arc::clone(self), user, mailbox, serving, predecessors })
    }

    /// Registers a connection that was open before it came here. No limit refuses it.
    ///
    /// Only one of the connections that a socket has in several shards counts.
    pub fn keep_seat(self: &Arc<Self>, opener: &Opener, client: Option<Uuid>, counts: bool) -> Seat {
        let (mailbox, serving) = self.open.lock().register(opener, client, counts);
        Seat { registry: Arc::clone(self), user: opener.user, mailbox, serving, predecessors: Box::default() }
    }

    /// Checks that there is room for one more socket, and makes it if somebody has more than his share.
    fn check(&self, open: &mut Open, opener: &Opener) -> Result<(), NoSeat> {
        let SocketLimits { all_max, per_user_max, per_address_max } = self.limits;
        let mut held = 0;
        if let Some(network) = opener.limited_by {
            held = limited(open.of(opener.user));
            if held >= per_user_max {
                telemetry::refused(Limit::SocketsPerUser, Who::User(opener.user));
                return Err(NoSeat::User(per_user_max));
            }
            if open.counts.from.get(&network).is_some_and(|sockets| *sockets >= per_address_max) {
                telemetry::refused(Limit::SocketsPerAddress, Who::Network(network));
                return Err(NoSeat::Address(per_address_max));
            }
        }
        if open.counts.all >= all_max && !open.close_one_of_more_than(held + 1) {
            telemetry::refused(Limit::Sockets, Who::User(opener.user));
            return Err(NoSeat::Full);
        }
        Ok(())
    }

    /// Closes all sockets of a user's session.
    pub fn close_session(&self, user: UserId, session: SessionId, order: &CloseOrder) {
        for socket in self.open.lock().of(user).iter().filter(|socket| socket.session == session) {
            socket.mailbox.order_close(order.clone());
        }
    }

    /// Closes the sockets of all sessions for which `ended` returns true.
    pub fn close_sessions_where(&self, ended: impl Fn(SessionId) -> bool, order: &CloseOrder) {
        for socket in self.open.lock().of_user.values().flatten().filter(|socket| ended(socket.session)) {
            socket.mailbox.order_close(order.clone());
        }
    }

    /// Closes all sockets.
    pub fn close_all(&self, order: &CloseOrder) {
        self.close_sessions_where(|_| true, order);
    }

    /// Returns true if no socket is open.
    pub fn is_empty(&self) -> bool {
        self.open.lock().of_user.is_empty()
    }

    /// The number of open sockets. One of the role `game` counts once, in however many shards it is.
    pub fn sockets(&self) -> usize {
        self.open.lock().counts.all
    }
}

impl Open {
    /// A user's sockets.
    fn of(&self, user: UserId) -> &[Registered] {
        self.of_user.get(&user).map_or(&[], |sockets| sockets)
    }

    /// Adds a connection. Returns its mailbox, and what it keeps as long as it serves frames.
    fn register(
        &mut self,
        opener: &Opener,
        client: Option<Uuid>,
        is_counted: bool,
    ) -> (Mailbox, Option<watch::Sender<()>>) {
        let Opener { session, user, limited_by: network } = *opener;
        let mailbox = Mailbox::default();
        let named = client.map(|client| (client, watch::channel(())));
        let (serving, client) = named.map(|(client, (serving, ended))| (serving, Box::new((client, ended)))).unzip();
        let sockets = self.of_user.entry(user).or_default();
        if is_counted {
            self.counts.add(sockets, network);
        }
        let mut longer = std::mem::take(sockets).into_vec();
        longer.reserve_exact(1);
        longer.push(Registered { session, mailbox: mailbox.clone(), client, network, is_counted });
        *sockets = longer.into_boxed_slice();
        (mailbox, serving)
    }

    /// Closes a socket of the user who has most, if those are more than `held`. Returns false if nobody has.
    fn close_one_of_more_than(&mut self, held: u32) -> bool {
        const CROWDED: CloseOrder =
            CloseOrder::new(CloseCode::GoingAway, "the server is full, and you have most of the sockets");
        let most = u32::try_from(self.counts.users_with.len().saturating_sub(1)).unwrap_or(u32::MAX);
        if most <= held {
            return false;
        }
        // The length is at hand and tells most users apart; the sockets themselves lie elsewhere in memory.
        let has_most = |sockets: &[Registered]| sockets.len() >= most as usize && limited(sockets) == most;
        let Some((user, sockets)) = self.of_user.iter_mut().find(|(_, sockets)| has_most(sockets)) else {
            return false;
        };
        let Some(index) = sockets.iter().position(Registered::is_limited) else { return false };
        sockets[index].mailbox.order_close(CROWDED);
        self.counts.forget(sockets, index);
        telemetry::refused(Limit::Sockets, Who::User(*user));
        true
    }
}

impl Counts {
    /// Counts one more socket of a user who has had these.
    fn add(&mut self, sockets: &[Registered], network: Option<Network>) {
        self.all += 1;
        if let Some(network) = network {
            *self.from.entry(network).or_default() += 1;
            let held = limited(sockets);
            self.moved(held, held + 1);
        }
    }

    /// Counts one of a user's sockets no more.
    fn forget(&mut self, sockets: &mut [Registered], index: usize) {
        let held = limited(sockets);
        let socket = &mut sockets[index];
        if std::mem::take(&mut socket.is_counted) {
            self.all -= 1;
            if let Some(network) = socket.network {
                self.take_one(network);
                self.moved(held, held - 1);
            }
        }
    }

    fn take_one(&mut self, network: Network) {
        if let Entry::Occupied(mut count) = self.from.entry(network) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }

    /// A user had one number of sockets and has another one now.
    fn moved(&mut self, from: u32, to: u32) {
        let (from, to) = (from as usize, to as usize);
        let users_with = &mut self.users_with;
        users_with.resize(users_with.len().max(to + 1), 0);
        // Those without a socket are not counted.
        if from > 0 {
            users_with[from] -= 1;
        }
        if to > 0 {
            users_with[to] += 1;
        }
        while users_with.last() == Some(&0) {
            users_with.pop();
        }
    }
}

impl Registered {
    /// Returns true if it counts for the limits of its user and its address.
    fn is_limited(&self) -> bool {
        self.is_counted && self.network.is_some()
    }
}

/// How many of a user's sockets count for the user's limit.
fn limited(sockets: &[Registered]) -> u32 {
    sockets.iter().map(|socket| u32::from(socket.is_limited())).sum()
}

impl Seat {
    /// The connection's mailbox.
    pub fn mailbox(&self) -> &Mailbox {
        &self.mailbox
    }

    /// The id of the client, if it gave one.
    pub(crate) fn client(&self) -> Option<Uuid> {
        let open = self.registry.open.lock();
        let socket = open.of_user.get(&self.user)?.iter().find(|socket| socket.mailbox == self.mailbox)?;
        socket.client.as_ref().map(|client| client.0)
    }

    /// Notes that no more frames are served, so that a successor may start before this connection is closed.
    pub(crate) fn serve_no_more(&mut self) {
        self.serving = None;
    }

    /// Waits until the connections that this one replaces serve no more frames.
    pub(crate) fn predecessors_ended(&mut self) -> impl Future<Output = ()> + use<> {
        let predecessors = std::mem::take(&mut self.predecessors);
        async move {
            for mut ended in predecessors {
                while ended.changed().await.is_ok() {}
            }
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        const ENDED: CloseOrder = CloseOrder::new(CloseCode::Normal, "the connection has ended");
        self.mailbox.order_close(ENDED);
        let mut open = self.registry.open.lock();
        let Open { of_user, counts } = &mut *open;
        let Some(sockets) = of_user.get_mut(&self.user) else { return };
        if let Some(index) = sockets.iter().position(|socket| socket.mailbox == self.mailbox) {
            counts.forget(sockets, index);
            let mut left = std::mem::take(sockets).into_vec();
            left.remove(index);
            *sockets = left.into_boxed_slice();
        }
        if sockets.is_empty() {
            of_user.remove(&self.user);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn id(number: u128) -> Uuid {
        Uuid::from_u128(number)
    }

    /// One user has one session.
    fn opener(number: u128) -> Opener {
        session_of(number, number)
    }

    fn session_of(user: u128, session: u128) -> Opener {
        let limited_by = Some(Network::of([192, 0, 2, 1].into()));
        Opener { session: SessionId::from_uuid(id(session)), user: UserId::from_uuid(id(user)), limited_by }
    }

    fn registry(all_max: usize, per_user_max: u32, per_address_max: u32) -> Arc<Registry> {
        Arc::new(Registry::new(SocketLimits { all_max, per_user_max, per_address_max }))
    }

    #[test]
    fn a_session_may_have_four_sockets_and_another_session_its_own() {
        let registry = registry(100, 100, 100);
        let mut seats: Vec<_> = (0..4).map(|_| registry.take_seat(&opener(1), None).expect("room for four")).collect();
        assert_eq!(registry.take_seat(&opener(1), None).err(), Some(NoSeat::Session));
        assert!(registry.take_seat(&opener(2), None).is_ok());
        seats.pop();
        assert!(registry.take_seat(&opener(1), None).is_ok(), "an ended socket makes room");
        seats.clear();
        assert!(registry.is_empty(), "nothing is kept of ended sockets");
        let counts = &registry.open.lock().counts;
        assert!(counts.all == 0 && counts.from.is_empty() && counts.users_with.is_empty());
    }

    #[test]
    fn the_end_of_a_session_closes_its_sockets_and_no_other_ones_of_its_user() {
        const ENDED: CloseOrder = CloseOrder::new(CloseCode::SessionRevoked, "the session was ended");
        let registry = registry(100, 100, 100);
        let [ended, other] = [session_of(1, 1), session_of(1, 2)];
        let take = |opener: &Opener| registry.take_seat(opener, None).expect("room");
        let [first, kept, second, foreign] = [&ended, &other, &ended, &opener(3)].map(take);
        registry.close_session(ended.user, ended.session, &ENDED);
        let code = |seat: &Seat| seat.mailbox().order().map(|order| order.code);
        assert_eq!([code(&first), code(&second)], [Some(CloseCode::SessionRevoked); 2]);
        assert_eq!([code(&kept), code(&foreign)], [None; 2]);
        registry.close_sessions_where(|session| session == other.session, &ENDED);
        assert_eq!([code(&kept), code(&foreign)], [Some(CloseCode::SessionRevoked), None]);
    }

    #[test]
    fn a_user_and_an_address_have_limits_and_the_role_game_has_none() {
        let registry = registry(100, 3, 5);
        let mut seats: Vec<_> =
            (0..3).map(|session| registry.take_seat(&session_of(1, session), None).expect("room for three")).collect();
        assert_eq!(registry.take_seat(&session_of(1, 9), None).err(), Some(NoSeat::User(3)));
        seats.extend((10..12).map(|user| registry.take_seat(&opener(user), None).expect("another user")));
        assert_eq!(registry.take_seat(&opener(12), None).err(), Some(NoSeat::Address(5)));
        let trusted = Opener { limited_by: None, ..session_of(1, 9) };
        seats.extend((0..4).map(|_| registry.take_seat(&trusted, None).expect("no limit")));
        seats.remove(0);
        assert!(registry.take_seat(&session_of(1, 8), None).is_ok());
    }

    #[test]
    fn a_full_server_closes_a_socket_of_the_user_who_has_most() {
        let registry = registry(6, 100, 100);
        let take = |opener| registry.take_seat(&opener, None);
        let game = take(Opener { limited_by: None, ..opener(7) }).expect("room");
        let one = take(opener(1)).expect("room");
        let many: Vec<_> = (20..24).map(|session| take(session_of(2, session)).expect("room")).collect();
        let closing = |seats: &[Seat]| seats.iter().filter(|seat| seat.mailbox().is_closing()).count();
        let second = take(opener(1)).expect("the other user has four");
        assert_eq!(closing(&many), 1);
        let order = many.iter().find_map(|seat| seat.mailbox().order()).expect("an order");
        assert_eq!(order.code, CloseCode::GoingAway);
        assert_eq!(take(opener(1)).err(), Some(NoSeat::Full), "nobody has more than it would have");
        assert_eq!(take(session_of(2, 24)).err(), Some(NoSeat::Full));
        let third = take(opener(3)).expect("the other user still has three");
        assert_eq!((closing(&many), closing(&[game, one, second, third])), (2, 0));
    }

    #[tokio::test]
    async fn a_newer_connection_of_a_client_ends_the_older_one_and_waits_for_its_end() {
        let registry = registry(2, 2, 2);
        let client = Some(id(9));
        let older = registry.take_seat(&opener(1), client).expect("the first");
        let other = registry.take_seat(&opener(1), Some(id(8))).expect("another client");
        let mut newer = registry.take_seat(&opener(1), client).expect("the second, though there is no room for three");
        older.mailbox().arrived().await;
        assert_eq!(older.mailbox().order().map(|order| order.code), Some(CloseCode::Normal));
        assert!(!other.mailbox().is_closing() && !newer.mailbox().is_closing());
        let mut wait = Box::pin(newer.predecessors_ended());
        assert!((&mut wait).now_or_never().is_none());
        drop(older);
        wait.await;
    }
}
