//! Before a shard leaves, and after it came: what is done ahead, so that the pause is short.

use tokio::sync::oneshot;

use super::*;
use crate::shard::Unstored;

/// How long after the first round another one may begin, in which a shard is stored and copied while it is still served.
///
/// Short, because a crowded shard is changed as fast as it is stored: more rounds make the move longer, not its pause.
const AHEAD_MAX: Duration = Duration::from_millis(100);

/// How long a shard stays after that at most, until the last round has ended. If it left in the middle of a round, the
/// pause would also be the rest of that round.
const ROUND_MAX: Duration = Duration::from_millis(500);

/// Orders that may wait for a courier. One that falls behind further gets no more.
const ORDERS_MAX: usize = 8 * LEAVING_MAX;

/// A shard that is about to leave. It is stored and copied in rounds: in each, what has changed since the one before.
pub(super) struct Ahead {
    pub(super) shard: ShardId,
    to: Option<Uuid>,
    until: Instant,
    /// The number of this attempt to move a shard.
    attempt: u64,
    /// Characters that were not stored when the present round began.
    unstored: usize,
    /// Open as long as copies of this round are on their way.
    copied: oneshot::Receiver<()>,
}

/// Returns true once the sender was dropped.
pub(super) fn is_over(copied: &mut oneshot::Receiver<()>) -> bool {
    !matches!(copied.try_recv(), Err(oneshot::error::TryRecvError::Empty))
}

impl<G: Game> Moves<G> {
    /// Prepares shards, and lets those leave that are prepared.
    pub(super) fn look_ahead(&mut self) {
        let (now, since_start) = (Instant::now(), self.now());
        for mut ahead in std::mem::take(&mut self.ahead) {
            let Unstored { characters, hurried, writing } = self.shards.unstored(ahead.shard);
            let is_under_way = hurried > 0 || writing > 0 || !is_over(&mut ahead.copied);
            if is_under_way && ahead.until + ROUND_MAX > now {
                self.ahead.push(ahead);
            } else if ahead.until > now && characters > 0 && characters <= ahead.unstored / 2 {
                self.begin_round(Ahead { unstored: characters, ..ahead });
            } else {
                // Another round would leave as much behind, because players go on meanwhile.
                self.leave(&ahead, since_start);
            }
        }
        while self.leaving.len() + self.ahead.len() < LEAVING_MAX
            && let Some((shard, to)) = self.queue.pop_front()
        {
            self.attempts += 1;
            let unstored = self.shards.unstored(shard).characters;
            let (_, copied) = oneshot::channel();
            let until = now + AHEAD_MAX;
            self.begin_round(Ahead { shard, to, until, attempt: self.attempts, unstored, copied });
        }
    }

    fn begin_round(&mut self, ahead: Ahead) {
        let Ahead { shard, to, attempt, .. } = ahead;
        let (sender, copied) = oneshot::channel();
        if let Some(to) = to {
            self.order(to, Order::Ahead { shard, number: attempt, copied: sender });
        }
        self.shards.hurry_shard(shard);
        self.ahead.push(Ahead { copied, ..ahead });
    }

    fn leave(&mut self, ahead: &Ahead, since_start: Duration) {
        let mut effects = Effects::new();
        self.life(ahead.shard).leave(ahead.to, since_start, &mut effects);
        self.perform(ahead.shard, effects);
        if !self.leaving.contains_key(&ahead.shard) {
            // It was lost meanwhile.
            self.call_off(ahead.shard);
        }
    }

    /// Gives an order to the courier to a process. Begins one for the first copies.
    pub(super) fn order(&mut self, to: Uuid, order: Order) {
        if let Order::Ahead { .. } = order
            && !self.couriers.contains_key(&to)
            && let Some(present) = self.view.nodes.iter().find(|present| present.node.process == to)
        {
            let (orders, receiver) = mpsc::channel(ORDERS_MAX);
            self.couriers.insert(to, orders);
            self.carrying.push(Box::pin(carry((self.dial)(&present.node), Arc::clone(&self.shards), receiver)));
        }
        if let Some(courier) = self.couriers.get(&to)
            && courier.try_send(order).is_err()
        {
            self.couriers.remove(&to);
        }
    }

    /// The copies of a shard are of no use any more.
    pub(super) fn call_off(&mut self, shard: ShardId) {
        for to in self.couriers.keys().copied().collect::<Vec<_>>() {
            self.order(to, Order::CalledOff(shard));
        }
    }

    /// Another node says something.
    pub(super) fn hear_peer(&mut self, link: LinkId, said: FromPeer) {
        let Some((shard, gift)) = self.received.hear(link, said) else { return };
        let lease = Lease { held: gift.held, owner: Some(gift.to) };
        // A process that was restarted ignores what was meant for its predecessor.
        if gift.to == self.me {
            let is_newest = |other: &Gift<G>| other.held.epoch <= gift.held.epoch;
            if self.gifts.get(&shard).is_none_or(is_newest) {
                self.gifts.insert(shard, gift);
            }
            self.learn(vec![(shard, lease)]);
        }
    }

    /// The gift of which this lease is the proof. Gifts that are over are dropped.
    pub(super) fn gift(&mut self, shard: ShardId, lease: Lease<Uuid>) -> Option<Gift<G>> {
        if self.gifts.get(&shard)?.held.epoch > lease.held.epoch {
            return None;
        }
        self.gifts.remove(&shard).filter(|gift| gift.held == lease.held && lease.owner == Some(gift.to))
    }

    /// Installs the copies that came with a shard.
    pub(super) fn install(&self, lease: storage::Lease, gift: Option<Gift<G>>) {
        let Some(Gift { rosters, received, .. }) = gift else { return };
        let installed = self.shards.install_copies(lease, rosters);
        tracing::debug!(shard = %lease.shard, installed, received, "got a shard with copies of its characters");
        telemetry::copies(installed, received - installed);
    }
}
