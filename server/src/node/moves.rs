//! The task that holds the life of every shard, and performs the effects.

mod ahead;
mod astray;
mod leases;
mod leaving;
mod statements;

use std::collections::{HashMap, VecDeque};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use castellan_cluster::lease::Lease;
use castellan_cluster::membership::Validity;
use castellan_cluster::node::{Effect, ShardLife, State};
use castellan_game::Game;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use uuid::Uuid;

use self::ahead::Ahead;
use self::leases::{lease_as_read, lease_as_taken, lease_of};
use self::leaving::Departure;
use super::copies::{Dial, FromPeer, FromPeers, Gift, Given, Order, Received, carry};
use super::links::{DatabaseSeen, FromLink, Links, ToLink};
use super::plan::View;
use crate::link::LinkId;
use crate::planted::{self, Bug};
use crate::shard::Shards;
use crate::storage::{self, Owned, ShardId, Storage, StorageError, Wanted};
use crate::telemetry;

/// Most shards that leave at the same time.
const LEAVING_MAX: usize = 4;

/// How long a shard may need to be stored after it has left. Then the move is called off: gateways keep frames for twice
/// as long.
const PATIENCE: Duration = Duration::from_millis(500);

/// How long a node rests after it has called a move off.
const REST: Duration = Duration::from_secs(5);

/// How long a shard stays at least after it came.
const SETTLE: Duration = Duration::from_secs(2);

/// How often the task looks at the clock while a shard moves.
const TICK: Duration = Duration::from_millis(20);

/// Pause before a statement without an answer is sent again.
const REPEAT: Duration = Duration::from_millis(100);

type Effects = Vec<Effect<Uuid, LinkId>>;

/// The news from the heartbeat, each second.
#[derive(Debug, Clone)]
pub struct Renewed {
    /// When the renewal was sent, or the question to the others that took its place.
    pub asked: Instant,
    /// Nothing was renewed: no node can reach the database, so nobody takes anything.
    pub is_agreed: bool,
    /// The processes, as they were read last.
    pub view: Arc<View>,
}

/// A statement that has ended.
enum Done {
    Read(Result<Vec<Owned>, StorageError>),
    Taken(Result<Vec<storage::Lease>, StorageError>),
    Changed(ShardId, Result<Owned, StorageError>),
    /// The dead letters of these shards were read, so they may be served.
    Recalled(Vec<(ShardId, Lease<Uuid>)>, Result<(), StorageError>),
}

/// The shards of a node, as they come and go.
pub struct Moves<G: Game> {
    me: Uuid,
    shards: Arc<Shards<G>>,
    storage: Arc<dyn Storage>,
    receiver: mpsc::Receiver<(LinkId, FromLink)>,
    renewed: watch::Receiver<Option<Renewed>>,
    stop: watch::Receiver<bool>,
    lives: Vec<ShardLife<Uuid, LinkId>>,
    /// When each shard came here. It stays for a while, because not all nodes see a change at the same moment.
    served_at: HashMap<ShardId, Instant>,
    /// The shards that leave, from the moment in which nobody is served any more.
    leaving: HashMap<ShardId, Departure>,
    links: HashMap<LinkId, mpsc::Sender<ToLink>>,
    /// Shards that have another owner, while links still answer from memory.
    telling: HashMap<ShardId, (storage::Lease, Vec<LinkId>)>,
    statements: JoinSet<Done>,
    /// The runtime of the statements. A connection to the database lives as long as the runtime that opened it.
    background: Handle,
    /// A read of the leases is under way; true: and another one is wanted that begins after it.
    reading: Option<bool>,
    is_taking: bool,
    /// It was told to stop, and has begun to read what it owns.
    has_looked: bool,
    /// Shards that should leave, and that are stored ahead.
    queue: VecDeque<(ShardId, Option<Uuid>)>,
    ahead: Vec<Ahead>,
    /// The orders for those who carry copies to other nodes, by process.
    couriers: HashMap<Uuid, mpsc::Sender<Order>>,
    carrying: FuturesUnordered<BoxFuture<'static, ()>>,
    dial: Dial,
    attempts: u64,
    from_peers: Arc<FromPeers>,
    database: Arc<DatabaseSeen>,
    received: Received<G>,
    /// Shards that other nodes have given to this one, and whose dead letters it still reads.
    gifts: HashMap<ShardId, Gift<G>>,
    /// Shards whose transfer must be sent again.
    repeat: Vec<(ShardId, Instant)>,
    rest_until: Instant,
    validity: Validity,
    view: Arc<View>,
    start: Instant,
}

impl<G: Game> Moves<G> {
    /// A node without shards, and the way to it for its links. Its statements run on the present runtime. With `dial` it
    /// opens links to other nodes.
    pub fn new(
        me: Uuid,
        shards: Arc<Shards<G>>,
        storage: Arc<dyn Storage>,
        renewed: watch::Receiver<Option<Renewed>>,
        stop: watch::Receiver<bool>,
        dial: Dial,
    ) -> (Links, Self) {
        let (links, receiver) = Links::new();
        let start = Instant::now();
        let moves = Self {
            me,
            shards,
            storage,
            receiver,
            renewed,
            stop,
            lives: ShardId::all().map(|_| ShardLife::new(me)).collect(),
            served_at: HashMap::new(),
            leaving: HashMap::new(),
            links: HashMap::new(),
            telling: HashMap::new(),
            statements: JoinSet::new(),
            background: Handle::current(),
            reading: None,
            is_taking: false,
            has_looked: false,
            queue: VecDeque::new(),
            ahead: Vec::new(),
            couriers: HashMap::new(),
            carrying: FuturesUnordered::new(),
            dial,
            attempts: 0,
            from_peers: Arc::clone(links.peers()),
            database: Arc::clone(links.database()),
            received: Received::default(),
            gifts: HashMap::new(),
            repeat: Vec::new(),
            rest_until: start,
            validity: Validity::default(),
            view: Arc::default(),
            start,
        };
        (links, moves)
    }

    /// Runs until it was told to stop and owns nothing any more.
    pub async fn run(mut self) {
        let (shards, from_peers) = (Arc::clone(&self.shards), Arc::clone(&self.from_peers));
        while !self.is_done() {
            let wake_at = self.wake_at();
            tokio::select! {
                Some((link, said)) = self.receiver.recv() => self.hear(link, said),
                Some(done) = self.statements.join_next() => match done {
                    Ok(done) => self.done(done),
                    Err(error) => tracing::error!(%error, "a statement about shards has panicked"),
                },
                Ok(()) = self.renewed.changed() => self.renewed(),
                () = shards.news() => {}
                heard = from_peers.take() => heard.into_iter().for_each(|(link, said)| self.hear_peer(link, said)),
                Some(()) = self.carrying.next() => self.couriers.retain(|_, orders| !orders.is_closed()),
                Ok(()) = self.stop.changed(), if !self.has_looked => {
                    // The others may just have handed something over.
                    self.has_looked = true;
                    self.read();
                }
                () = tokio::time::sleep_until(wake_at) => {}
            }
            self.look();
        }
        // They have orders about the last shards.
        self.couriers.clear();
        let last = pin!(self.carrying.for_each(|()| std::future::ready(())));
        let _ = tokio::time::timeout(PATIENCE, last).await;
    }

    fn is_stopping(&self) -> bool {
        *self.stop.borrow()
    }

    fn is_done(&self) -> bool {
        let owns_nothing = || self.lives.iter().all(|life| life.state() == State::Absent);
        self.has_looked && self.statements.is_empty() && self.telling.is_empty() && owns_nothing()
    }

    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// True if no other node can have taken a shard by now.
    fn is_valid(&self) -> bool {
        self.validity.holds(self.now()) || planted::is(Bug::FrozenNodeAnswers)
    }

    fn wake_at(&self) -> Instant {
        let is_busy = !self.leaving.is_empty() || !self.ahead.is_empty() || !self.repeat.is_empty();
        let tick = if is_busy { TICK } else { Duration::from_secs(1) };
        let valid_until = self.start + self.validity.until();
        let next = Instant::now() + tick;
        if self.links.is_empty() || valid_until < Instant::now() { next } else { next.min(valid_until) }
    }

    /// The heartbeat was renewed.
    fn renewed(&mut self) {
        let Some(Renewed { asked, is_agreed, view }) = self.renewed.borrow_and_update().clone() else { return };
        // A node that has stopped answering may have lost everything meanwhile.
        if is_agreed && !self.validity.holds(self.now()) {
            return;
        }
        self.validity.renewed(asked.saturating_duration_since(self.start));
        self.database.silent_from(self.start + self.validity.over());
        self.view = view;
        self.read();
    }

    fn hear(&mut self, link: LinkId, said: FromLink) {
        let mut effects = Effects::new();
        match said {
            FromLink::Up(sender) => {
                // Without a valid lease nothing may be answered, so nobody may ask.
                if self.is_valid() {
                    self.links.insert(link, sender);
                }
            }
            FromLink::Attach { shard, number, epoch } if self.links.contains_key(&link) => {
                self.life(shard).attach(link, number, epoch, &mut effects);
                self.perform(shard, effects);
            }
            FromLink::Marker { shard, number } => {
                self.life(shard).marker(link, number, &mut effects);
                self.perform(shard, effects);
            }
            FromLink::Attach { .. } => {}
            FromLink::Told { shard } => self.told(link, shard),
            FromLink::Down => {
                self.links.remove(&link);
                for shard in self.telling.keys().copied().collect::<Vec<_>>() {
                    self.told(link, shard);
                }
                for shard in ShardId::all() {
                    let mut effects = Effects::new();
                    self.life(shard).link_down(link, &mut effects);
                    self.perform(shard, effects);
                }
            }
        }
    }

    fn life(&mut self, shard: ShardId) -> &mut ShardLife<Uuid, LinkId> {
        &mut self.lives[usize::from(shard.number())]
    }

    fn perform(&mut self, shard: ShardId, effects: Effects) {
        self.perform_with(shard, effects, None);
    }

    /// Performs effects. Before a new shard is served, installs the copies that came with it.
    fn perform_with(&mut self, shard: ShardId, effects: Effects, mut gift: Option<Gift<G>>) {
        let mut told = Vec::new();
        for effect in effects {
            match effect {
                Effect::Say(link, number, word) => self.send(link, ToLink::Say { shard, number, word }),
                Effect::Tell(link, number) => {
                    self.send(link, ToLink::Tell { shard, number });
                    told.push(link);
                }
                Effect::ReadLease => self.read(),
                Effect::Flush => {
                    self.leaving.insert(shard, Departure::new(self.shards.unstored(shard).characters));
                    self.shards.set_aside(shard);
                }
                Effect::Transfer { to, .. } => {
                    if let Some(departure) = self.leaving.get_mut(&shard) {
                        departure.sent();
                    }
                    self.transfer(shard, to);
                }
                // It also reads its leases each second, and at once if a gateway attaches.
                Effect::Moved { to, held } => {
                    let rosters = self.shards.versions(shard, true);
                    self.order(to, Order::Given(shard, Given { to, held, rosters }));
                }
                Effect::Serve => {
                    self.served_at.insert(shard, Instant::now());
                    if let Some(held) = self.life(shard).held() {
                        self.shards.take(&[lease_of(shard, held)]);
                        self.install(lease_of(shard, held), gift.take());
                    }
                }
                Effect::Drop => self.drop(shard, std::mem::take(&mut told)),
                Effect::Cut(link) => {
                    tracing::warn!(link, %shard, "a gateway does not say that it sends no more; its link is cut");
                    self.links.remove(&link);
                }
            }
        }
        // A move was called off.
        if self.leaving.contains_key(&shard) && matches!(self.life(shard).state(), State::Owned(_)) {
            self.leaving.remove(&shard);
            self.shards.resume(shard);
            self.call_off(shard);
            telemetry::shard_moved(telemetry::Move::CalledOff, None);
        }
    }

    /// A link that falls behind is cut.
    fn send(&mut self, link: LinkId, message: ToLink) {
        if let Some(sender) = self.links.get(&link)
            && sender.try_send(message).is_err()
        {
            self.links.remove(&link);
        }
    }

    /// The shard has another owner, or none. What is in memory is forgotten once the links have `told` the rest of it.
    fn drop(&mut self, shard: ShardId, mut told: Vec<LinkId>) {
        self.call_off(shard);
        let departure = self.leaving.remove(&shard);
        let Some(lease) = self.shards.held(shard) else { return };
        match departure {
            Some(departure) if self.shards.is_stored(shard) => {
                departure.ended(shard);
                told.retain(|link| self.links.contains_key(link));
                if told.is_empty() {
                    self.shards.hand_over(lease);
                } else {
                    self.telling.insert(shard, (lease, told));
                }
            }
            _ => self.shards.lose(lease),
        }
    }

    /// A link has said its last words about a shard.
    fn told(&mut self, link: LinkId, shard: ShardId) {
        let Some((lease, links)) = self.telling.get_mut(&shard) else { return };
        links.retain(|other| *other != link);
        if links.is_empty() {
            self.shards.hand_over(*lease);
            self.telling.remove(&shard);
        }
    }

    fn done(&mut self, done: Done) {
        match done {
            Done::Read(Ok(owners)) => {
                let again = self.reading.take() == Some(true);
                self.learn(owners.iter().map(|owned| (owned.lease.shard, lease_as_read(owned))).collect());
                self.plan(&owners);
                if again {
                    self.read();
                }
            }
            Done::Read(Err(error)) => {
                self.reading = None;
                tracing::debug!(%error, "cannot read who owns which shard");
            }
            Done::Taken(taken) => {
                self.is_taking = false;
                match taken {
                    Ok(leases) => {
                        let me = self.me;
                        self.learn(leases.iter().map(|taken| (taken.shard, lease_as_taken(taken, me))).collect());
                    }
                    Err(error) => tracing::warn!(%error, "cannot take shards that this node should have"),
                }
            }
            Done::Changed(shard, Ok(owned)) => {
                self.learn(vec![(shard, lease_as_read(&owned))]);
                // It never succeeds, because the receiver has left. Everything is stored, so anybody may take the shard.
                if let State::Transferring { .. } = self.life(shard).state() {
                    tracing::warn!(%shard, "a shard cannot be handed over, because the other node is gone; releasing it");
                    self.transfer(shard, None);
                }
            }
            Done::Changed(shard, Err(_)) if planted::is(Bug::OwnerAfterLostTransfer) => self.go_on_as_owner(shard),
            Done::Changed(shard, Err(error)) => {
                tracing::warn!(%shard, %error, "it is not known if a shard was handed over; asking again");
                self.repeat.push((shard, Instant::now() + REPEAT));
            }
            Done::Recalled(leases, Ok(())) => {
                for (shard, lease) in leases {
                    self.tell(shard, lease);
                }
            }
            Done::Recalled(_, Err(error)) => tracing::warn!(%error, "cannot read the dead letters of new shards"),
        }
    }

    /// Takes and gives what the view asks for.
    fn plan(&mut self, owners: &[Owned]) {
        if !self.validity.holds(self.now()) {
            return;
        }
        let now = Instant::now();
        let owns = |shard: ShardId| matches!(self.lives[usize::from(shard.number())].state(), State::Owned(_));
        let plan = self.view.plan(self.me, self.is_stopping(), owners, owns);
        if !plan.take.is_empty() && !self.is_taking {
            self.take(plan.take);
        }
        if now >= self.rest_until {
            let is_ahead = |shard: &ShardId| self.ahead.iter().any(|ahead| ahead.shard == *shard);
            let has_settled = |shard: &ShardId| self.served_at.get(shard).is_none_or(|at| now >= *at + SETTLE);
            let may_go = |(shard, _): &(ShardId, _)| !is_ahead(shard) && (self.is_stopping() || has_settled(shard));
            self.queue = plan.give.into_iter().filter(may_go).collect();
        }
    }

    /// Looks at everything that time or the flusher may have changed.
    fn look(&mut self) {
        let now = Instant::now();
        if !self.is_valid() && !self.links.is_empty() {
            tracing::error!("this node cannot show that it lives: it stops answering until it can");
            self.links.clear();
        }
        for (shard, _) in self.repeat.extract_if(.., |(_, at)| *at <= now).collect::<Vec<_>>() {
            let mut effects = Effects::new();
            self.life(shard).repeat(&mut effects);
            self.perform(shard, effects);
        }
        self.look_ahead();
        let (mut is_lost, mut owned) = (false, 0);
        for shard in ShardId::all() {
            match self.life(shard).state() {
                State::Owned(_) => {
                    owned += 1;
                    is_lost |= self.shards.held(shard).is_none();
                }
                State::Leaving { quiet, undo, .. } => self.look_at_leaving(shard, quiet, undo),
                State::Absent | State::Transferring { .. } => {}
            }
        }
        telemetry::shards_owned(owned);
        // A flush was refused.
        if is_lost && self.reading.is_none() {
            self.read();
        }
    }
}
