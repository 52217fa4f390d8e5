//! A hub whose gateway is replaced: it parts from all nodes, and gives its sockets away.

use std::time::Duration;

use tokio::sync::mpsc::Sender;
use tokio::time::{Instant, sleep};

use super::shard::Travelling;
use super::sockets::{Client, Connected, Kind, Leaving, Socket};
use super::state::State;
use super::{Hub, Place};
use crate::gateway::carried::{Blob, Carried, CarriedPlace};
use crate::gateway::outbox::Stay;
use crate::link::SocketId;
use crate::shard::shard_of;
use crate::storage::ShardId;

/// How often a hub that parts is looked at.
const LOOK: Duration = Duration::from_millis(2);

/// How long connections may take to leave, once the hub has parted. A thread that is busy needs some time for all.
const GIVE: Duration = Duration::from_secs(5);

impl Hub {
    /// Parts from all nodes, for at most this time, then gives its connections away. Those that cannot be given close.
    pub async fn leave(&self, given: Sender<Carried>, within: Duration) {
        let began = Instant::now();
        self.with(|state| state.begin_to_leave(given));
        while self.with(|state| state.leaving.is_some() && !state.part()) && began.elapsed() < within {
            sleep(LOOK).await;
        }
        self.with(State::give_all);
        let parted = Instant::now();
        while self.with(|state| state.has_clients()) && parted.elapsed() < GIVE {
            sleep(LOOK).await;
        }
        let (parting, giving) = (parted - began, parted.elapsed());
        tracing::info!(?parting, ?giving, "a thread has given its connections away");
    }

    /// The gateway is not replaced after all.
    pub fn stay(&self) {
        self.with(State::stay);
    }
}

impl Place {
    /// Takes the socket out of its hub. `None` if no other process can go on with it.
    pub(in crate::gateway) fn carry(&self) -> Option<CarriedPlace> {
        self.hub.with(|state| state.carry(self.id))
    }

    /// Gives a connection away.
    pub(in crate::gateway) fn give(&self, carried: Carried) {
        self.hub.with(|state| {
            // There is room for all connections. Without a receiver the process is at its end.
            if let Some(leaving) = &state.leaving {
                let _ = leaving.given.try_send(carried);
            }
        });
    }
}

impl State {
    fn begin_to_leave(&mut self, given: Sender<Carried>) {
        self.leaving = Some(Leaving { given, stay: Stay::Parts });
        self.tell_all(Stay::Parts);
    }

    /// Parts from the nodes of all shards, as far as that is possible now. Returns true once it has.
    fn part(&mut self) -> bool {
        let mut has_parted = true;
        for shard in ShardId::all() {
            self.drive(shard, |routing, _, effects| routing.part(effects));
            has_parted &= self.shard(shard).routing.has_parted();
        }
        has_parted
    }

    fn give_all(&mut self) {
        let Some(leaving) = &mut self.leaving else { return };
        leaving.stay = Stay::MovesOn;
        // The rest of the requests: they get no answer.
        self.sockets.retain(|_, socket| matches!(socket.kind, Kind::Client(_)));
        self.tell_all(Stay::MovesOn);
    }

    /// Returns true while clients must be given away.
    fn has_clients(&self) -> bool {
        self.leaving.is_some() && self.sockets.values().any(|socket| matches!(socket.kind, Kind::Client(_)))
    }

    fn stay(&mut self) {
        self.leaving = None;
        self.tell_all(Stay::Stays);
        for shard in ShardId::all() {
            self.drive(shard, |routing, now, effects| routing.stay(now, effects));
        }
        // Deadlines have begun where a node has not said `parted` yet.
        self.is_busy = true;
    }

    fn tell_all(&mut self, stay: Stay) {
        for connected in self.sockets.values_mut().filter_map(Socket::connected) {
            connected.client.outbox.set_stay(stay);
        }
    }

    /// A connection begins while the gateway is replaced, perhaps.
    pub(super) fn tell_newcomer(&self, client: &Client) {
        if let Some(leaving) = &self.leaving {
            client.outbox.set_stay(leaving.stay);
        }
    }

    fn carry(&mut self, id: SocketId) -> Option<CarriedPlace> {
        let legs = self.sockets.get(&id)?.legs.clone();
        let mut kept = Vec::new();
        let mut depends = false;
        for leg in legs {
            match self.shard(leg.shard).routing.take(id) {
                None => depends = true,
                Some(frames) => kept.extend(frames.into_iter().filter_map(|frame| match frame {
                    Travelling::Frame(bytes, _) => Some((leg.shard.number(), Blob(bytes))),
                    Travelling::Hello | Travelling::Request(_) => None,
                })),
            }
        }
        if depends {
            // Its nodes hear that it is gone.
            self.close(id);
            return None;
        }
        let mut socket = self.sockets.remove(&id)?;
        for leg in &socket.legs {
            self.shard(leg.shard).eager.remove(&id);
        }
        let Connected { is_new, watched, .. } = socket.connected()?;
        let watched = std::mem::take(watched).into_iter().collect();
        Some(CarriedPlace { is_new: *is_new, watched, kept })
    }

    /// A connection of another process goes on here.
    pub(super) fn adopt(&mut self, client: Client, place: CarriedPlace) -> SocketId {
        let CarriedPlace { is_new, watched, kept } = place;
        if is_new {
            return self.open(client);
        }
        client.outbox.welcomed();
        let connected = Connected { client, is_new, watched: watched.iter().copied().collect() };
        let home = connected.home();
        let id = self.add(Kind::Client(Box::new(connected)));
        self.open_leg(id, home);
        for (_, owner) in watched {
            let shard = shard_of(owner);
            self.shard(shard).eager.insert(id);
            self.need_leg(id, shard);
        }
        for (shard, Blob(frame)) in kept {
            self.frame(id, ShardId::new(shard), &frame, None);
        }
        id
    }

    fn need_leg(&mut self, id: SocketId, shard: ShardId) {
        if self.sockets.get_mut(&id).is_some_and(|socket| socket.leg(shard).is_none()) {
            self.open_leg(id, shard);
        }
    }
}
