//! Carries copies to one other node, over a link of its own.

use std::collections::HashMap;
use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use castellan_game::Game;
use castellan_protocol::{UserId, Version};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::SHARD_BYTES_MAX;
use super::wire::{self, Given};
use crate::link::{Address, LinkStream, Message, Said, Wire};
use crate::planted::{self, Bug};
use crate::shard::{Shards, Versions};
use crate::storage::ShardId;

/// Users copied in one go. Nothing else happens on the thread meanwhile.
const USERS_AT_ONCE: usize = 16;

/// A sign of life is sent after this long without an order. Without a shard to copy, the link ends instead.
const BEAT: Duration = Duration::from_millis(500);

/// How long the other node may leave copies unread.
const PATIENCE: Duration = Duration::from_secs(1);

/// An order. Those about one shard come in the order of a move.
#[derive(Debug)]
pub(in crate::node) enum Order {
    /// The shard will be given away: copy what was not copied in this attempt, then drop the sender.
    Ahead { shard: ShardId, number: u64, copied: oneshot::Sender<()> },
    /// It leaves: copy what has changed since, then drop the sender.
    Left { shard: ShardId, copied: oneshot::Sender<()> },
    /// It was given away.
    Given(ShardId, Given),
    /// It stays after all.
    CalledOff(ShardId),
}

/// An attempt to move a shard.
#[derive(Default)]
struct Attempt {
    number: u64,
    /// The copies that were sent, with their versions.
    sent: HashMap<UserId, Versions>,
    bytes: usize,
}

struct Courier<G: Game> {
    stream: LinkStream<Box<dyn Wire>>,
    shards: Arc<Shards<G>>,
    attempts: HashMap<ShardId, Attempt>,
}

/// Carries out orders until there are none any more, or the link breaks. Copies that are lost are loaded by the other node.
pub(in crate::node) async fn carry<G: Game>(
    dialled: impl Future<Output = io::Result<LinkStream<Box<dyn Wire>>>>,
    shards: Arc<Shards<G>>,
    mut orders: mpsc::Receiver<Order>,
) {
    let carried = async {
        let mut courier = Courier { stream: dialled.await?, shards, attempts: HashMap::new() };
        loop {
            match timeout(BEAT, courier.next(&mut orders)).await {
                Ok(Some(order)) => courier.obey(order).await?,
                Ok(None) => return Ok(()),
                Err(_) if courier.attempts.is_empty() => return Ok(()),
                Err(_) => courier.stream.put(&Message::beat()),
            }
            courier.send().await?;
        }
    };
    let carried: io::Result<()> = carried.await;
    if let Err(error) = carried {
        tracing::debug!(%error, "cannot copy characters to another node; it will load them");
    }
}

impl<G: Game> Courier<G> {
    /// The next order; `None` if there will be none, or the link is down.
    async fn next(&mut self, orders: &mut mpsc::Receiver<Order>) -> Option<Order> {
        poll_fn(|cx| {
            while let Poll::Ready(read) = self.stream.poll_read(cx) {
                // The other node says only that it lives.
                while let Ok(Some(_)) = self.stream.next_message() {}
                if !matches!(read, Ok(true)) {
                    return Poll::Ready(None);
                }
            }
            orders.poll_recv(cx)
        })
        .await
    }

    async fn obey(&mut self, order: Order) -> io::Result<()> {
        match order {
            Order::Ahead { shard, number, copied } => {
                if self.attempts.get(&shard).is_none_or(|attempt| attempt.number != number) {
                    self.attempts.insert(shard, Attempt { number, ..Attempt::default() });
                }
                self.copy(shard).await?;
                drop(copied);
                self.shards.wake_moves();
            }
            Order::Left { .. } if planted::is(Bug::OldCopiesInstalled) => {}
            Order::Left { shard, copied } => {
                self.copy(shard).await?;
                drop(copied);
                self.shards.wake_moves();
            }
            Order::Given(shard, given) => {
                if let Some(attempt) = self.attempts.remove(&shard) {
                    self.put(shard, attempt.number, Said::Given(&wire::write_given(given)));
                }
            }
            Order::CalledOff(shard) => {
                if let Some(attempt) = self.attempts.remove(&shard) {
                    self.put(shard, attempt.number, Said::CalledOff);
                }
            }
        }
        Ok(())
    }

    /// Sends the rosters whose versions are not those that were sent last.
    async fn copy(&mut self, shard: ShardId) -> io::Result<()> {
        let Some(mut attempt) = self.attempts.remove(&shard) else { return Ok(()) };
        let mut changed = self.shards.versions(shard, false);
        changed.retain(|(user, versions)| attempt.sent.get(user) != Some(versions));
        for some in changed.chunks(USERS_AT_ONCE) {
            let users: Vec<UserId> = some.iter().map(|(user, _)| *user).collect();
            for (user, rows) in self.shards.copies(shard, &users) {
                let Some(body) = wire::write_roster(user, &rows) else { continue };
                if attempt.bytes + body.len() > SHARD_BYTES_MAX {
                    continue;
                }
                attempt.bytes += body.len();
                self.put(shard, attempt.number, Said::Copy(&body));
                let versions = rows.iter().map(|row| (row.id, Version::new(row.version)));
                attempt.sent.insert(user, versions.collect());
            }
            self.send().await?;
            tokio::task::yield_now().await;
        }
        self.attempts.insert(shard, attempt);
        Ok(())
    }

    fn put(&mut self, shard: ShardId, number: u64, said: Said<'_>) {
        self.stream.put(&Message::new(Address { shard, number, socket: 0 }, said));
    }

    async fn send(&mut self) -> io::Result<()> {
        let late = |_| io::Error::new(io::ErrorKind::TimedOut, "the other node does not read");
        timeout(PATIENCE, poll_fn(|cx| self.stream.poll_flush(cx))).await.map_err(late)?
    }
}
