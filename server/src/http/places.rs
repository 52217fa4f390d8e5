//! Places for open HTTP connections. When all are taken, the network that holds the most gives up an idle one.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::network::Network;
use crate::telemetry::{self, Limit, Who};

/// The places of one listener.
pub(super) struct Places {
    /// Most open connections.
    all_max: usize,
    /// Most open connections of one network.
    network_max: usize,
    open: Mutex<Open>,
}

/// All open connections.
#[derive(Default)]
struct Open {
    /// By number.
    connections: HashMap<u64, Connection>,
    holders: HashMap<Network, Holder>,
    /// The networks with an idle connection, in the order in which they give one up, last first.
    ranking: BTreeSet<Rank>,
    /// Numbers the connections, and the moments at which they become idle.
    count: u64,
}

/// How many connections a network has, and how early its oldest idle one became idle.
type Rank = (usize, Reverse<u64>, Network);

struct Connection {
    network: Network,
    /// When it became idle; `None` within a request.
    idle_since: Option<u64>,
    eviction: Arc<Notify>,
}

/// What one network holds.
#[derive(Default)]
struct Holder {
    open: usize,
    /// Its idle connections, by the moment at which they became idle.
    idle: BTreeMap<u64, u64>,
}

/// The place of one connection; given back when dropped.
pub(super) struct Place {
    places: Arc<Places>,
    number: u64,
    eviction: Arc<Notify>,
    /// Requests and answers under way.
    busy: AtomicUsize,
}

/// Keeps a connection from being idle.
pub(super) struct Busy(Arc<Place>);

impl Places {
    pub(super) fn new(all_max: usize, network_max: usize) -> Self {
        Self { all_max, network_max, open: Mutex::default() }
    }

    /// Finds a place for a connection. If all are taken, an idle connection of a network that has more makes room.
    ///
    /// # Errors
    ///
    /// The limit, if there is none.
    pub(super) fn enter(self: &Arc<Self>, network: Network, is_proxy: bool) -> Result<Arc<Place>, Limit> {
        let mut open = self.open.lock();
        let held = open.holders.get(&network).map_or(0, |holder| holder.open);
        if held >= self.network_max && !is_proxy {
            return Err(Limit::ConnectionsPerAddress);
        }
        if open.connections.len() >= self.all_max && !open.evict_one_of_more_than(held) {
            return Err(Limit::Connections);
        }
        open.count += 1;
        let (number, eviction) = (open.count, Arc::new(Notify::new()));
        open.connections
            .insert(number, Connection { network, idle_since: Some(number), eviction: Arc::clone(&eviction) });
        open.change(network, |holder| {
            holder.open += 1;
            holder.idle.insert(number, number);
        });
        Ok(Arc::new(Place { places: Arc::clone(self), number, eviction, busy: AtomicUsize::new(0) }))
    }
}

impl Open {
    /// Evicts the idle connection that has been idle longest, among those of the network with most connections, if that
    /// has more than `held`. Returns false if there is none.
    fn evict_one_of_more_than(&mut self, held: usize) -> bool {
        let Some((_, Reverse(oldest), network)) = self.ranking.last().copied().filter(|(open, ..)| *open > held) else {
            return false;
        };
        if let Some(evicted) = self.holders.get(&network).and_then(|holder| holder.idle.get(&oldest)).copied() {
            self.remove(evicted);
            telemetry::refused(Limit::Connections, Who::Network(network));
        }
        true
    }

    fn remove(&mut self, number: u64) {
        let Some(connection) = self.connections.remove(&number) else { return };
        connection.eviction.notify_one();
        self.change(connection.network, |holder| {
            holder.open -= 1;
            if let Some(moment) = connection.idle_since {
                holder.idle.remove(&moment);
            }
        });
    }

    fn set_idle(&mut self, number: u64, is_idle: bool) {
        self.count += 1;
        let now = self.count;
        let Some(connection) = self.connections.get_mut(&number) else { return };
        let network = connection.network;
        let before = std::mem::replace(&mut connection.idle_since, is_idle.then_some(now));
        self.change(network, |holder| {
            if let Some(moment) = before {
                holder.idle.remove(&moment);
            }
            if is_idle {
                holder.idle.insert(now, number);
            }
        });
    }

    /// Changes what a network holds, and its rank with it.
    fn change(&mut self, network: Network, change: impl FnOnce(&mut Holder)) {
        let holder = self.holders.entry(network).or_default();
        let before = holder.rank(network);
        change(holder);
        let (after, is_gone) = (holder.rank(network), holder.open == 0);
        if let Some(rank) = before {
            self.ranking.remove(&rank);
        }
        self.ranking.extend(after);
        if is_gone {
            self.holders.remove(&network);
        }
    }
}

impl Holder {
    /// `None` if none of its connections is idle.
    fn rank(&self, network: Network) -> Option<Rank> {
        let (oldest, _) = self.idle.first_key_value()?;
        Some((self.open, Reverse(*oldest), network))
    }
}

impl Place {
    /// Keeps the connection from being idle until the result is dropped.
    pub(super) fn busy(self: &Arc<Self>) -> Busy {
        if self.busy.fetch_add(1, Ordering::Relaxed) == 0 {
            self.places.open.lock().set_idle(self.number, false);
        }
        Busy(Arc::clone(self))
    }

    pub(super) fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Relaxed) > 0
    }

    /// Waits until another connection needs this place.
    pub(super) async fn evicted(&self) {
        self.eviction.notified().await;
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let place = &self.0;
        if place.busy.fetch_sub(1, Ordering::Relaxed) == 1 {
            place.places.open.lock().set_idle(place.number, true);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.open.lock().remove(self.number);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn network(number: u8) -> Network {
        Network::of([192, 0, 2, number].into())
    }

    fn is_evicted(place: &Place) -> bool {
        place.evicted().now_or_never().is_some()
    }

    #[test]
    fn the_network_that_holds_the_most_gives_up_the_connection_that_was_idle_longest() {
        let places = Arc::new(Places::new(4, 10));
        let enter = |number| places.enter(network(number), false);
        let busy = enter(1).expect("room");
        let _request = busy.busy();
        let [first, second] = [(); 2].map(|()| enter(1).expect("room"));
        let other = enter(2).expect("room");
        // A request in between makes the second one the longest idle.
        drop(first.busy());
        let newcomer = enter(3).expect("one of the first network's makes room");
        assert_eq!(
            [&busy, &first, &second, &other, &newcomer].map(|place| is_evicted(place)),
            [false, false, true, false, false]
        );
        let another = enter(4).expect("the first network still has most");
        assert!(is_evicted(&first) && !is_evicted(&busy));
        assert_eq!(enter(1).err(), Some(Limit::Connections), "nobody has more than it");
        drop((other, newcomer, another, second));
        assert!(enter(1).is_ok());
    }

    #[test]
    fn connections_within_a_request_are_left_alone() {
        let places = Arc::new(Places::new(2, 10));
        let held = [(); 2].map(|()| places.enter(network(1), false).expect("room"));
        let requests = held.each_ref().map(Place::busy);
        assert_eq!(places.enter(network(2), false).err(), Some(Limit::Connections));
        drop(requests);
        assert!(places.enter(network(2), false).is_ok());
    }

    #[test]
    fn a_network_has_a_limit_of_its_own_and_a_proxy_has_not() {
        let places = Arc::new(Places::new(10, 2));
        let held = [(); 2].map(|()| places.enter(network(1), false).expect("room"));
        assert_eq!(places.enter(network(1), false).err(), Some(Limit::ConnectionsPerAddress));
        assert!(places.enter(network(1), true).is_ok());
        drop(held);
        let open = places.open.lock();
        assert!(open.holders.is_empty() && open.ranking.is_empty() && open.connections.is_empty());
    }
}
