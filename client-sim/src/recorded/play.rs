//! The players of one run, from their logins until all their intents are durable.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use castellan_client::{Client, Notice, SendError};
use castellan_srd::Srd;
use castellan_srd::wire::{Ack, Character, CharacterId, Codec};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::watch;
use tokio::task::{JoinSet, block_in_place};
use tokio::time::{Instant, MissedTickBehavior};

use super::enter::{RecordedSettings, log_in, make_character};
use super::recorder::{Alarm, Recorder};
use super::trace::Trace;
use super::trader::{Market, Trader};

/// Most intents that a client keeps: for a character's only client, and for each of two.
///
/// Together below the 64 ids that a character remembers, so that each stored state names all intents since the previous
/// stored state.
const KEPT_MAX: [usize; 2] = [48, 24];

/// How often a player fetches the current state, because its own connection shows little of what others see.
const LOOK_INTERVAL: Duration = Duration::from_millis(700);

/// The line that says that every player has its character.
pub const READY: &str = "ready";

/// Plays until `finish` is true, then waits until everything is durable. Calls `tell` once with [`READY`], and with a
/// line for everything that should not happen.
///
/// # Errors
///
/// Anything that stopped a player: the disk, the login, the creation of its character.
pub async fn play(settings: RecordedSettings, finish: watch::Receiver<bool>, tell: fn(&str)) -> Result<()> {
    let mut users = JoinSet::new();
    let beginners = Arc::new(AtomicU32::new(settings.users + settings.traders));
    let market = Arc::<Market>::default();
    for number in 0..settings.traders {
        let (settings, market) = (settings.clone(), Arc::clone(&market));
        let (beginners, finish) = (Arc::clone(&beginners), finish.clone());
        users.spawn(async move {
            let rng = StdRng::seed_from_u64(settings.seed ^ u64::from(number) << 32);
            let trader = Trader::begin(&settings, number, market, rng).await?;
            has_begun(&beginners, tell);
            trader.trade(settings.intents_per_second, settings.patience, finish).await
        });
    }
    for number in 0..settings.users {
        users.spawn(user(settings.clone(), number, Arc::clone(&beginners), finish.clone(), tell));
    }
    while let Some(user) = users.join_next().await {
        user.context("a player stopped early")??;
    }
    Ok(())
}

/// One user: creates the character, then runs all its clients.
async fn user(
    settings: RecordedSettings,
    number: u32,
    beginners: Arc<AtomicU32>,
    finish: watch::Receiver<bool>,
    tell: fn(&str),
) -> Result<()> {
    let name = format!("player-{number}");
    let lanes: &[Option<u8>] = match number % 4 {
        1 => &[Some(0), None],
        3 => &[Some(0), Some(1)],
        _ => &[Some(0)],
    };
    let clients = lanes.iter().flatten().count();
    let mut players = JoinSet::new();
    let mut character = None;
    for lane in lanes {
        let kept_max = KEPT_MAX[clients - 1];
        let codec = if number.is_multiple_of(2) { Codec::MessagePack } else { Codec::Json };
        let client = log_in(&settings, &name, kept_max, codec).await?;
        let id = match character {
            Some(id) => id,
            None => *character.insert(make_character(&client, &name).await?.id),
        };
        let place = lane.map_or_else(|| "watcher".to_owned(), |lane| lane.to_string());
        let recorder =
            Recorder::begin(&settings.records.join(format!("{name}.{place}.record")), name.clone(), id, *lane)?;
        let seed = settings.seed ^ u64::from(number) << 8 ^ lane.map_or(255, u64::from);
        let player = Player {
            client,
            recorder,
            character: id,
            lane: *lane,
            kept_max,
            alone: clients == 1,
            rng: StdRng::seed_from_u64(seed),
            tell,
        };
        players.spawn(player.play(settings.intents_per_second, settings.patience, finish.clone()));
    }
    has_begun(&beginners, tell);
    while let Some(player) = players.join_next().await {
        player.context("a player stopped early")??;
    }
    Ok(())
}

/// Tells that everybody has begun, if this was the last one.
fn has_begun(beginners: &AtomicU32, tell: fn(&str)) {
    if beginners.fetch_sub(1, Ordering::SeqCst) == 1 {
        tell(READY);
    }
}

/// One client with its record.
struct Player {
    client: Client<Srd>,
    recorder: Recorder,
    character: CharacterId,
    lane: Option<u8>,
    kept_max: usize,
    /// True if no other client acts on the character.
    alone: bool,
    rng: StdRng,
    tell: fn(&str),
}

impl Player {
    async fn play(
        mut self,
        intents_per_second: f64,
        patience: Duration,
        mut finish: watch::Receiver<bool>,
    ) -> Result<()> {
        let mut looks = tokio::time::interval(LOOK_INTERVAL);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        if self.lane.is_none() {
            self.client.watch(self.character)?;
        }
        let mut next_burst = Instant::now();
        while !*finish.borrow() {
            let client = self.client.clone();
            tokio::select! {
                _ = finish.changed() => {}
                notice = client.notice() => self.hear(notice)?,
                _ = looks.tick() => { self.client.fetch(self.character).ok(); }
                () = tokio::time::sleep_until(next_burst), if self.lane.is_some() => {
                    let count = self.rng.random_range(1..=6_u32);
                    self.act(u64::from(count))?;
                    let spread = self.rng.random_range(0.2..1.8);
                    next_burst = Instant::now() + Duration::from_secs_f64(f64::from(count) / intents_per_second * spread);
                }
            }
        }
        self.finish(patience).await
    }

    /// Sends up to `count` intents, fewer if too many are already kept.
    fn act(&mut self, count: u64) -> Result<()> {
        let Some(lane) = self.lane else { return Ok(()) };
        let room = self.kept_max.saturating_sub(self.client.kept()) as u64;
        if room == 0 {
            return Ok(());
        }
        let numbers = block_in_place(|| self.recorder.intend(count.min(room)))?;
        for n in numbers {
            let ack = if self.rng.random_ratio(1, 8) { Ack::Durable } else { Ack::Applied };
            match self.client.send_with(self.character, Trace::of(lane, n).action(), ack) {
                Ok(handle) => self.recorder.name(n, handle.id())?,
                // The record keeps it as an intent that was never sent.
                Err(SendError::Full(_)) => {}
                Err(SendError::Stopped) => bail!("the client ended unexpectedly"),
            }
        }
        Ok(())
    }

    fn hear(&mut self, notice: Notice<Character>) -> Result<()> {
        match notice {
            Notice::Event(event) => {
                if let Some(Alarm(text)) = self.recorder.hear(&event)?
                    && self.alone
                {
                    (self.tell)(&text);
                }
            }
            Notice::Offline { reason, .. } => block_in_place(|| self.recorder.offline(reason))?,
            Notice::Stopped { reason } => bail!("the client of {} ended unexpectedly: {reason}", self.character),
            Notice::Missed(count) => {
                bail!("missed {count} notices: this machine is too slow for so many players; use fewer")
            }
        }
        Ok(())
    }

    /// Waits until no intent is kept, then leaves.
    async fn finish(mut self, patience: Duration) -> Result<()> {
        let deadline = Instant::now() + patience;
        while self.client.kept() > 0 {
            let client = self.client.clone();
            match tokio::time::timeout_at(deadline, client.notice()).await {
                Ok(notice) => self.hear(notice)?,
                Err(_) => break,
            }
        }
        while let Some(notice) = self.client.try_notice() {
            self.hear(notice)?;
        }
        let kept = self.client.kept();
        self.client.close();
        block_in_place(|| self.recorder.end(kept))?;
        Ok(())
    }
}
