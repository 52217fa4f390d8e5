//! Moves of shards under load: a node gives all its shards away and gets them back, again and again.

#![expect(clippy::disallowed_methods, reason = "shards rest for a fixed time between moves")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::Serialize;

use super::pauses::{Pauses, Window, pauses};
use super::site::{Piece, Site};
use crate::cliff::shard_of;
use crate::http::Http;
use crate::load::{Load, Played, Player, nanoseconds};
use crate::machine::{come_first, make_timers_exact, pin_this_thread};
use crate::settings::RunSettings;

/// Time between two intents of a player.
const PERIOD: Duration = Duration::from_millis(100);

/// Time without moves before each move: longer than a shard stays at least.
const QUIET: Duration = Duration::from_secs(3);

/// Time after a move within which pauses still belong to it.
const AFTERWARDS: Duration = Duration::from_millis(300);

/// Two nodes and a gateway under load.
pub(super) struct Field<'a> {
    pub(super) settings: &'a RunSettings,
    pub(super) site: &'a Site<'a>,
    pub(super) gateway: &'a Piece,
    pub(super) nodes: [&'a Piece; 2],
    /// The node that is drained.
    pub(super) drained: &'static str,
}

/// The effect of the moves on the players.
#[derive(Debug, Serialize)]
pub struct Moves {
    /// The placement of the players' characters.
    pub shards: &'static str,
    /// Number of players.
    pub players: usize,
    /// Times that a node was drained, or got its shards back.
    pub orders: usize,
    /// Shards that moved, all orders together.
    pub moved: usize,
    /// Moves that a node called off.
    pub called_off: f64,
    /// Average duration of an order, in seconds.
    pub seconds: f64,
    /// Pauses of the players whose shard moved.
    pub pauses: Option<Pauses>,
    /// Pauses of the others at the same time.
    pub of_others: Option<Pauses>,
    /// Pauses of all between the orders, in windows of three seconds.
    pub quiet: Option<Pauses>,
    /// Why connections closed, one reason each.
    pub closed: Vec<String>,
    /// Intents that a client would have to send again.
    pub resent: usize,
}

/// An order, as it was carried out.
struct Done {
    quiet_from: Instant,
    from: Instant,
    until: Instant,
    /// The owner of each shard before and after it.
    owners: [Vec<String>; 2],
}

impl Field<'_> {
    /// Drains the node and gives it its shards back, while these players play.
    pub(super) fn play(&self, shards: &'static str, players: &[Player]) -> Result<Moves> {
        let called_off = self.called_off()?;
        let is_over = AtomicBool::new(false);
        let (ready, is_ready) = mpsc::channel();
        let (played, done) = thread::scope(|scope| {
            let is_over = &is_over;
            let play = scope.spawn(move || {
                pin_this_thread(self.settings.cores.load)?;
                make_timers_exact()?;
                let mut load = Load::connect(self.gateway.target(), players)?;
                // The report says if this was not allowed.
                let _ = come_first();
                // An error means that the play was given up.
                let _ = ready.send(());
                load.play(PERIOD, is_over)
            });
            let done = is_ready.recv().ok().map(|()| self.order_all());
            is_over.store(true, Ordering::Relaxed);
            let played = play.join().map_err(|_| anyhow::anyhow!("the load panicked"))??;
            Ok::<_, anyhow::Error>((played, done.context("the load ended before it was ready")??))
        })?;
        let moves = judge(shards, players, played, &done, self.called_off()? - called_off);
        eprintln!("moves, players in {shards}: {moves:?}");
        Ok(moves)
    }

    fn order_all(&self) -> Result<Vec<Done>> {
        let share = self.site.owners()?.iter().filter(|owner| *owner == self.drained).count();
        let mut done = Vec::new();
        // The first intents load all characters.
        thread::sleep(QUIET);
        for _ in 0..self.settings.moves {
            done.push(self.order("drain", 0)?);
            done.push(self.order("undrain", share)?);
        }
        Ok(done)
    }

    /// Gives an order and waits until the node owns so many shards.
    fn order(&self, order: &str, shards: usize) -> Result<Done> {
        let quiet_from = Instant::now();
        let before = self.site.owners()?;
        thread::sleep(QUIET);
        let from = Instant::now();
        self.site.order(order, self.drained)?;
        self.site.until_owns(self.drained, shards)?;
        let until = Instant::now();
        thread::sleep(AFTERWARDS);
        Ok(Done { quiet_from, from, until, owners: [before, self.site.owners()?] })
    }

    fn called_off(&self) -> Result<f64> {
        let name = "castellan_shard_moves_total{outcome=\"called_off\"}";
        self.nodes.iter().map(|node| Ok(Http::new(node.running.address()).metric(name)?.unwrap_or(0.0))).sum()
    }
}

fn judge(shards: &'static str, players: &[Player], played: Played, done: &[Done], called_off: f64) -> Moves {
    let at = |moment: Instant| nanoseconds(moment.saturating_duration_since(played.began));
    let window = |from, until, players| Window { from: at(from), until: at(until), players };
    let moved = |order: &Done, shard: usize| order.owners[0][shard] != order.owners[1][shard];
    let during = |is_counted: bool| {
        let of_order = |order: &Done| {
            let counts = |player: &Player| moved(order, shard_of(player.user) as usize) == is_counted;
            window(order.from, order.until + AFTERWARDS, players.iter().map(counts).collect())
        };
        pauses(&done.iter().map(of_order).collect::<Vec<_>>(), &played.answers)
    };
    let quiet = |order: &Done| window(order.quiet_from, order.from, vec![true; players.len()]);
    let seconds: f64 = done.iter().map(|order| (order.until - order.from).as_secs_f64()).sum();
    Moves {
        shards,
        players: players.len(),
        orders: done.len(),
        moved: done.iter().map(|order| (0..order.owners[0].len()).filter(|shard| moved(order, *shard)).count()).sum(),
        called_off,
        seconds: seconds / done.len().max(1) as f64,
        pauses: during(true),
        of_others: during(false),
        quiet: pauses(&done.iter().map(quiet).collect::<Vec<_>>(), &played.answers),
        closed: played.lost,
        resent: played.unanswered,
    }
}
