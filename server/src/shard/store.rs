//! The shards' locks around their cores.
//!
//! A task that has an intent takes the lock itself and writes the answer before it releases the lock: there is no queue
//! and no other task. No lock is held across an await.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::time::Duration;

use castellan_authority::{
    Answer, Answered, Change, Command, Core, Creation, Decision, Effect, Effects, Entry, Reader, Receiver, Refusal,
    Shape, Shown, Writer, shard_of,
};
use castellan_game::Game;
use castellan_protocol::{CharacterId, GameTypes, RequestId, UserId};
use parking_lot::{Mutex, MutexGuard};
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tracing::Span;

use super::looks::Looks;
use super::mailbox::{CloseOrder, Mailbox};
use super::receivers::{Missing, Receivers};
use crate::clock::Clock;
use crate::flush::Signals;
use crate::storage::{Lease, SHARDS, ShardId, Storage};
use crate::telemetry;

/// Bounds on memory and on loads.
#[derive(Debug, Clone, Copy)]
pub struct Capacity {
    /// Most characters in memory; each user counts as one more. At this bound idle users are evicted.
    pub characters_max: usize,
    /// Most dirty characters. At this bound no other character may become dirty.
    pub dirty_max: usize,
    /// Most gifts, offers and acceptances of a character in a minute.
    pub deals_per_minute: u32,
    /// How long a load of a user's characters, or a proof of a lease, may take.
    pub load_timeout: Duration,
}

/// A load in progress: its result, once it has ended.
pub(super) type Load = watch::Receiver<Option<Result<(), Refusal>>>;

/// The loads of a shard that have not begun.
#[derive(Default)]
pub(super) struct WaitingLoads {
    pub(super) users: Vec<WaitingLoad>,
    /// Statements under way.
    pub(super) running: usize,
}

/// A user whose load has not begun, the way to those who wait for it, and the span of the first of them.
pub(super) type WaitingLoad = (UserId, watch::Sender<Option<Result<(), Refusal>>>, Span);

/// A character whose decision could not be carried out, although the database can be reached.
pub(super) struct Stuck {
    pub(super) pause: Duration,
    pub(super) next_try: Instant,
}

/// One shard with the writer of its answers.
pub(super) struct Shard<G: Game> {
    pub(super) core: Core<G, Mailbox>,
    writer: Writer<G>,
}

/// All shards of this process.
pub struct Shards<G: Game> {
    shards: Vec<Mutex<Shard<G>>>,
    pub(super) loads: Mutex<HashMap<UserId, Load>>,
    /// The users whose load has not begun, by shard.
    pub(super) waiting: Vec<Mutex<WaitingLoads>>,
    /// Characters out of play that could not be brought back. Read and written by the one task that does that.
    pub(super) stuck: Mutex<HashMap<CharacterId, Stuck>>,
    pub(super) storage: Arc<dyn Storage>,
    pub(super) capacity: Capacity,
    /// Places taken in memory: one for each character and one for each user.
    pub(super) occupied: AtomicUsize,
    pub(super) dirty: AtomicUsize,
    /// Characters whose changes were dropped, because another server took their shard.
    pub(super) dropped: AtomicUsize,
    /// Wakes the task that moves shards: something was stored, or a shard was lost.
    pub(super) news: Notify,
    /// Characters that may get goods.
    pub(super) receivers: Receivers,
    /// Rows that should be read, because their books have changed.
    pub(super) looks: Looks,
    signals: Arc<Signals>,
    /// The shard at which the flusher continues with the dirty characters.
    pub(super) next_dirty: AtomicU16,
    /// The shard at which it continues with the hurried ones.
    pub(super) next_hurried: AtomicU16,
    /// The runtime for loads, apart from the socket threads.
    pub(super) background: Handle,
    pub(super) clock: Clock,
}

impl<G: Game> Shards<G> {
    /// Shards without leases; [`Shards::take`] gives them their leases.
    pub fn new(
        storage: Arc<dyn Storage>,
        rules: &Arc<G::Rules>,
        dice_secret: &Arc<[u8]>,
        capacity: Capacity,
        signals: Arc<Signals>,
        background: Handle,
        clock: Clock,
    ) -> Self {
        let shard = || {
            let mut core = Core::new(None, Arc::clone(rules), Arc::clone(dice_secret));
            core.limit_deals(capacity.deals_per_minute);
            Mutex::new(Shard { core, writer: Writer::new(Arc::clone(rules)) })
        };
        Self {
            shards: (0..SHARDS).map(|_| shard()).collect(),
            loads: Mutex::new(HashMap::new()),
            waiting: ShardId::all().map(|_| Mutex::default()).collect(),
            stuck: Mutex::new(HashMap::new()),
            storage,
            capacity,
            occupied: AtomicUsize::new(0),
            dirty: AtomicUsize::new(0),
            dropped: AtomicUsize::new(0),
            news: Notify::new(),
            receivers: Receivers::default(),
            looks: Looks::default(),
            signals,
            next_dirty: AtomicU16::new(0),
            next_hurried: AtomicU16::new(0),
            background,
            clock,
        }
    }

    /// Serves the shards of these leases from here on.
    pub fn take(&self, leases: &[Lease]) {
        for lease in leases {
            self.lock(lease.shard).core.take(*lease);
        }
        self.looks.search();
    }

    /// The leases held.
    pub fn leases(&self) -> Vec<Lease> {
        ShardId::all().filter_map(|shard| self.lock(shard).core.lease()).collect()
    }

    /// Stops taking changes in every shard that has nothing left to flush. Returns the leases of those shards for the
    /// caller to release.
    pub fn retire(&self) -> Vec<Lease> {
        ShardId::all().filter_map(|shard| self.lock(shard).core.retire()).collect()
    }

    /// Switches to other rules.
    pub fn use_rules(&self, rules: &Arc<G::Rules>) {
        for shard in ShardId::all() {
            let mut shard = self.lock(shard);
            shard.core.use_rules(rules);
            shard.writer.use_rules(rules);
        }
    }

    /// Stores states in this schema from here on, which may be older than the newest one.
    pub fn store_in_schema(&self, schema_version: i32) {
        ShardId::all().for_each(|shard| self.lock(shard).core.store_in_schema(schema_version));
    }

    /// Decides a change and appends the answer to `out`. Appends nothing for a refusal.
    ///
    /// `sender` is the connection that asks, if any. If the owner's characters are not in memory, loads them first.
    pub async fn change(
        self: &Arc<Self>,
        command: &Command<'_, G::Action>,
        sender: Option<&Mailbox>,
        shape: Shape,
        now_ms: i64,
        out: &mut Vec<u8>,
    ) -> Answered {
        let mut absent = false;
        loop {
            match self.decide(command, sender, shape, now_ms, out) {
                Some(answered) => {
                    telemetry::cache_lookup(!absent);
                    return answered;
                }
                None => absent = true,
            }
            let missing = match command.change {
                Change::Action(action) => self.missing(command.owner, action),
                Change::Delete => Missing::Characters(command.owner),
            };
            if let Err(refusal) = Box::pin(self.fetch(missing)).await {
                return Answered::Refused(refusal);
            }
        }
    }

    /// Like [`Shards::change`], but does nothing and returns `None` if something is missing.
    pub fn try_change(
        &self,
        command: &Command<'_, G::Action>,
        sender: Option<&Mailbox>,
        shape: Shape,
        now_ms: i64,
        out: &mut Vec<u8>,
    ) -> Option<Answered> {
        let answered = self.decide(command, sender, shape, now_ms, out)?;
        telemetry::cache_lookup(true);
        Some(answered)
    }

    fn decide(
        &self,
        command: &Command<'_, G::Action>,
        sender: Option<&Mailbox>,
        shape: Shape,
        now_ms: i64,
        out: &mut Vec<u8>,
    ) -> Option<Answered> {
        let (has_room, receiver) = (self.has_room(), self.receiver(&command.change));
        let mut effects = Effects::default();
        let mut shard = self.lock(shard_of(command.owner));
        // Under the lock: a shard that falls back orders the close under it too, so no intent slips in between.
        if sender.is_some_and(Mailbox::is_closing) {
            return Some(Answered::Closing);
        }
        let Shard { core, writer } = &mut *shard;
        let decision = core.change(command, sender, receiver, has_room, now_ms, &mut effects);
        let answered = writer.answer(decision, Some(command.id), shape, out);
        self.perform(shard, effects);
        answered
    }

    /// Makes a character under this new id and writes it. A repeated request writes the character that it made before.
    pub async fn create(
        self: &Arc<Self>,
        creation: &Creation<'_, <G as GameTypes>::Creation>,
        out: &mut Vec<u8>,
    ) -> Answered {
        loop {
            if !self.make_room(shard_of(creation.owner)) {
                return Answered::Refused(Refusal::memory_full());
            }
            {
                let (has_room, now_ms) = (self.has_room(), (self.clock)());
                let mut effects = Effects::default();
                let mut shard = self.lock(shard_of(creation.owner));
                let Shard { core, writer } = &mut *shard;
                let decision = core.create(creation, has_room, now_ms, &mut effects);
                let answered = writer.answer(decision, creation.id, Shape::Body, out);
                self.perform(shard, effects);
                if let Some(answered) = answered {
                    return answered;
                }
            }
            if let Err(refusal) = self.load(creation.owner).await {
                return Answered::Refused(refusal);
            }
        }
    }

    /// Writes a character's present state.
    ///
    /// # Errors
    ///
    /// The refusal, if the owner has no such character or it cannot be loaded.
    pub async fn show(
        self: &Arc<Self>,
        owner: UserId,
        character: CharacterId,
        reader: Reader<&Mailbox>,
        request: Option<RequestId>,
        shape: Shape,
        out: &mut Vec<u8>,
    ) -> Result<Shown, Refusal> {
        loop {
            if let Some(shown) = self.try_show(owner, character, reader, request, shape, out) {
                return shown;
            }
            Box::pin(self.load(owner)).await?;
        }
    }

    /// Like [`Shards::show`], but does nothing and returns `None` if the owner's characters must be loaded first.
    pub fn try_show(
        &self,
        owner: UserId,
        character: CharacterId,
        reader: Reader<&Mailbox>,
        request: Option<RequestId>,
        shape: Shape,
        out: &mut Vec<u8>,
    ) -> Option<Result<Shown, Refusal>> {
        let mut shard = self.lock(shard_of(owner));
        if let Reader::Fetches(mailbox) | Reader::Watches(mailbox) = reader
            && mailbox.is_closing()
        {
            return Some(Err(Refusal::shard_lost()));
        }
        let Shard { core, writer } = &mut *shard;
        let entry = found(core.look(owner, character, reader, (self.clock)()))?;
        Some(entry.map(|entry| writer.write(entry, Answer::State { id: request }, shape, out)))
    }

    /// Writes the answer to an intent whose commit `sender` has waited for. If the present state is not durable, the
    /// sender will hear of it once it is.
    ///
    /// # Errors
    ///
    /// As [`Shards::show`].
    pub async fn confirm(
        self: &Arc<Self>,
        owner: UserId,
        character: CharacterId,
        sender: &Mailbox,
        answer: Answer,
        shape: Shape,
        out: &mut Vec<u8>,
    ) -> Result<Shown, Refusal> {
        loop {
            if let Some(shown) = self.try_confirm(owner, character, sender, answer, shape, out) {
                return shown;
            }
            Box::pin(self.load(owner)).await?;
        }
    }

    /// Like [`Shards::confirm`], but does nothing and returns `None` if the owner's characters must be loaded first.
    pub fn try_confirm(
        &self,
        owner: UserId,
        character: CharacterId,
        sender: &Mailbox,
        answer: Answer,
        shape: Shape,
        out: &mut Vec<u8>,
    ) -> Option<Result<Shown, Refusal>> {
        let mut shard = self.lock(shard_of(owner));
        if sender.is_closing() {
            return Some(Err(Refusal::shard_lost()));
        }
        let Shard { core, writer } = &mut *shard;
        let entry = found(core.confirm(owner, character, (self.clock)()))?;
        Some(entry.map(|entry| {
            entry.await_durability(sender);
            writer.write(entry, answer, shape, out)
        }))
    }

    /// Writes all characters of a user as a JSON list.
    ///
    /// # Errors
    ///
    /// The refusal, if they cannot be loaded.
    pub async fn list(self: &Arc<Self>, owner: UserId, out: &mut Vec<u8>) -> Result<(), Refusal> {
        loop {
            {
                let mut shard = self.lock(shard_of(owner));
                let Shard { core, writer, .. } = &mut *shard;
                if core.lease().is_none() {
                    return Err(Refusal::shard_lost());
                }
                if let Some(roster) = core.roster(owner, (self.clock)()) {
                    out.push(b'[');
                    for (index, entry) in roster.living_mut().enumerate() {
                        if index > 0 {
                            out.push(b',');
                        }
                        writer.write(entry, Answer::State { id: None }, Shape::Body, out);
                    }
                    out.push(b']');
                    return Ok(());
                }
            }
            Box::pin(self.load(owner)).await?;
        }
    }

    /// Places taken in memory: one for each character and one for each user.
    pub fn occupied(&self) -> usize {
        self.occupied.load(Ordering::Relaxed)
    }

    /// Number of dirty characters.
    pub fn dirty(&self) -> usize {
        self.dirty.load(Ordering::Relaxed)
    }

    /// When the oldest change was applied that waits for the flusher, in milliseconds since the Unix epoch. Looks at every
    /// dirty character.
    pub fn oldest_dirty_ms(&self) -> Option<i64> {
        ShardId::all().filter_map(|shard| self.lock(shard).core.oldest_dirty_ms()).min()
    }

    /// Number of characters whose unsaved changes were dropped, because another server took their shard.
    pub fn dropped(&self) -> usize {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Says if the receiver of goods that a change names is in the database, as far as that is known.
    fn receiver(&self, change: &Change<'_, G::Action>) -> Receiver {
        let Change::Action(action) = change else { return Receiver::There };
        let Some(other) = G::deal(action).and_then(|deal| deal.other()) else { return Receiver::There };
        self.receivers.get(other)
    }

    /// Whether another character may become dirty.
    pub(super) fn has_room(&self) -> bool {
        self.dirty.load(Ordering::Relaxed) < self.capacity.dirty_max
    }

    /// Performs the effects of an input, then unlocks its shard and wakes the connections that have news.
    pub(super) fn perform(&self, shard: MutexGuard<'_, Shard<G>>, effects: Effects<Mailbox>) {
        let mut wake = Vec::new();
        self.deliver(effects, &mut wake);
        drop(shard);
        wake.iter().for_each(Mailbox::wake);
    }

    /// Performs effects while their shard is locked. Connections to wake go into `wake`.
    ///
    /// Because of the lock, the shard hears nothing from a connection after its close, and no news of a version
    /// overtakes the state that it is about.
    pub(super) fn deliver(&self, effects: Effects<Mailbox>, wake: &mut Vec<Mailbox>) {
        for effect in effects {
            match effect {
                Effect::Changed { to, owner, character } => {
                    if to.put_changed(owner, character) {
                        wake.push(to);
                    }
                }
                Effect::Durable { to, character, version } => {
                    if to.put_durable(character, version) {
                        wake.push(to);
                    }
                }
                Effect::Close { to } => to.order_close(CloseOrder::SHARD_MOVED),
                Effect::Dirty(change) => drop(self.dirty.fetch_add(change.cast_unsigned(), Ordering::Relaxed)),
                Effect::Places(change) => drop(self.occupied.fetch_add(change.cast_unsigned(), Ordering::Relaxed)),
                Effect::Persisted { waited_ms } => telemetry::persisted(waited_ms),
                Effect::BooksStored { character, others } => self.looks.put(others, character),
                Effect::Received { is_trade, is_taken } => telemetry::parcel_received(is_trade, is_taken),
                Effect::Hurry => self.signals.waiting(),
                Effect::OutOfPlay(character) => {
                    telemetry::taken_out_of_play();
                    tracing::error!(%character, "a character's versions contradict each other; reloading it");
                }
            }
        }
    }

    pub(super) fn lock(&self, shard: ShardId) -> MutexGuard<'_, Shard<G>> {
        self.shards[usize::from(shard.number())].lock()
    }
}

/// The character that was looked for; `None` if its owner's characters are not in memory.
fn found<G: Game>(decision: Decision<'_, G, Mailbox>) -> Option<Result<&mut Entry<G, Mailbox>, Refusal>> {
    match decision {
        Decision::Applied { entry, .. } => Some(Ok(entry)),
        Decision::Refused(refusal) => Some(Err(refusal)),
        Decision::Conflict { .. } => Some(Err(Refusal::shard_lost())),
        Decision::Absent | Decision::Unknown => None,
    }
}
