//! The players of one run, from their logins to the moment when all that they asked for is stored.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use castellan_client::{BaseUrl, Client, Credentials, HttpError, Notice, Options, SendError, StartError};
use castellan_protocol::{Ability, Ack, CharacterId, Codec, NewCharacter};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::watch;
use tokio::task::{JoinSet, block_in_place};
use tokio::time::{Instant, MissedTickBehavior};

use super::book::{Alarm, Book};
use super::trace::Trace;

/// Intents that a character's only client keeps unstored, and each of two.
///
/// Together below the 64 ids that a character remembers: each stored state still names all intents since the one
/// before, whatever happened between.
const KEPT_MAX: [usize; 2] = [48, 24];

/// How often a player asks for the present state: what a connection shows of itself says little of what others see.
const LOOK_INTERVAL: Duration = Duration::from_millis(700);

/// The line that tells that every player has its character.
pub const READY: &str = "ready";

/// How long a login is tried: the server may still be starting.
const LOGIN_PATIENCE: Duration = Duration::from_secs(30);

/// How to play.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where the server is.
    pub server: BaseUrl,
    /// The folder that the ledgers go to.
    pub ledgers: PathBuf,
    /// Users, each with one character; every fourth character has two clients, every other fourth a client that
    /// only watches.
    pub users: u32,
    /// Intents a second of each client.
    pub intents_per_second: f64,
    /// Decides what is sent when.
    pub seed: u64,
    /// How long to wait at the end until all is stored.
    pub patience: Duration,
}

/// Plays until `finish` says so, then waits until all is stored. `tell` gets [`READY`] once, and a line for whatever
/// should not happen.
///
/// # Errors
///
/// What kept a player from playing: the disk, the login, the server's answer to a new character.
pub async fn play(settings: Settings, finish: watch::Receiver<bool>, tell: fn(&str)) -> Result<()> {
    let mut users = JoinSet::new();
    let beginners = Arc::new(AtomicU32::new(settings.users));
    for number in 0..settings.users {
        users.spawn(user(settings.clone(), number, Arc::clone(&beginners), finish.clone(), tell));
    }
    while let Some(user) = users.join_next().await {
        user.context("a player broke off")??;
    }
    Ok(())
}

/// One user: makes the character, then lets all its clients play.
async fn user(
    settings: Settings,
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
            None => *character.insert(make_character(&client, &name).await?),
        };
        let place = lane.map_or_else(|| "watcher".to_owned(), |lane| lane.to_string());
        let book = Book::begin(&settings.ledgers.join(format!("{name}.{place}.ledger")), name.clone(), id, *lane)?;
        let seed = settings.seed ^ u64::from(number) << 8 ^ lane.map_or(255, u64::from);
        let player = Player {
            client,
            book,
            character: id,
            lane: *lane,
            kept_max,
            alone: clients == 1,
            rng: StdRng::seed_from_u64(seed),
            tell,
        };
        players.spawn(player.play(settings.intents_per_second, settings.patience, finish.clone()));
    }
    if beginners.fetch_sub(1, Ordering::SeqCst) == 1 {
        tell(READY);
    }
    while let Some(player) = players.join_next().await {
        player.context("a player broke off")??;
    }
    Ok(())
}

async fn log_in(settings: &Settings, name: &str, kept_max: usize, codec: Codec) -> Result<Client> {
    let credentials =
        Credentials { username: name.to_owned(), password: format!("{name} and a password"), create: true };
    let options = Options { codec, kept_max, ..Options::new(settings.server.clone(), credentials) };
    let deadline = Instant::now() + LOGIN_PATIENCE;
    loop {
        match Client::start(options.clone()).await {
            Ok(client) => return Ok(client),
            Err(StartError::Login(error)) if Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(200)).await;
                drop(error);
            }
            Err(error) => return Err(error).with_context(|| format!("{name} cannot log in")),
        }
    }
}

async fn make_character(client: &Client, name: &str) -> Result<CharacterId> {
    use Ability::{Charisma, Constitution, Dexterity, Intelligence, Strength, Wisdom};
    let scores = [(Strength, 15), (Dexterity, 14), (Constitution, 13), (Intelligence, 8), (Wisdom, 12), (Charisma, 10)];
    let wanted = NewCharacter {
        name: name.to_owned(),
        race: "human".to_owned(),
        subrace: None,
        class: "fighter".to_owned(),
        abilities: scores.into(),
        skills: Some(vec!["athletics".to_owned(), "perception".to_owned()]),
    };
    let deadline = Instant::now() + LOGIN_PATIENCE;
    loop {
        match client.create_character(&wanted).await {
            Ok(made) => return Ok(made.id),
            // Nothing was made. Where the answer got lost something may have been, and trying again could make two.
            Err(HttpError::Refused { retry_after: Some(wait), .. }) if Instant::now() < deadline => {
                tokio::time::sleep(wait).await;
            }
            Err(error) => return Err(error).with_context(|| format!("{name} gets no character")),
        }
    }
}

/// One client with its ledger.
struct Player {
    client: Client,
    book: Book,
    character: CharacterId,
    lane: Option<u8>,
    kept_max: usize,
    /// Nobody else acts on the character.
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
        self.settle(patience).await
    }

    /// Sends up to `count` intents, fewer where too many are kept already.
    fn act(&mut self, count: u64) -> Result<()> {
        let Some(lane) = self.lane else { return Ok(()) };
        let room = self.kept_max.saturating_sub(self.client.kept()) as u64;
        if room == 0 {
            return Ok(());
        }
        let numbers = block_in_place(|| self.book.intend(count.min(room)))?;
        for n in numbers {
            let ack = if self.rng.random_ratio(1, 8) { Ack::Durable } else { Ack::Applied };
            match self.client.send_with(self.character, Trace::of(lane, n).action(), ack) {
                Ok(handle) => self.book.name(n, handle.id())?,
                // It stays in the ledger as one that was never sent.
                Err(SendError::Full(_)) => {}
                Err(SendError::Stopped) => bail!("the client ended by itself"),
            }
        }
        Ok(())
    }

    fn hear(&mut self, notice: Notice) -> Result<()> {
        match notice {
            Notice::Event(event) => {
                if let Some(Alarm(text)) = self.book.hear(&event)?
                    && self.alone
                {
                    (self.tell)(&text);
                }
            }
            Notice::Offline { .. } => {}
            Notice::Stopped { reason } => bail!("{} ended by itself: {reason}", self.character),
            Notice::Missed(count) => bail!("{count} notices were missed: the machine is too slow for so many players"),
        }
        Ok(())
    }

    /// Waits until nothing is kept any more, then leaves.
    async fn settle(mut self, patience: Duration) -> Result<()> {
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
        block_in_place(|| self.book.end(kept))?;
        Ok(())
    }
}
