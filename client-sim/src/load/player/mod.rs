//! One player: a socket that reconnects, and a mind that decides what to send.

mod agenda;
mod book;
mod chain;
mod member;
mod mind;
mod told;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use castellan_client::reconnect::{Backoff, Ended, First, Next};
use castellan_client::{
    Burst, Credentials, HttpClient, Session, Socket, SocketOptions, connect, decode_message, encode_message,
};
use castellan_srd::wire::{ClientFrame, Codec, ServerFrame};
use futures_util::{SinkExt, StreamExt};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::watch;
use tokio_tungstenite::tungstenite::{self, Message};

use super::checker::Contradiction;
use super::pace::Pace;
use super::sheet::Sheet;
pub(super) use agenda::Agenda;
pub(super) use book::PartyBook;
pub(super) use chain::Chain;
pub(super) use member::{Member, Party};
use mind::Mind;
pub(super) use mind::Score;

/// The shared state of all players.
pub(super) struct Common {
    pub(super) http: HttpClient,
    pub(super) codec: Codec,
    /// Start of the load; set once all players are ready.
    pub(super) start: watch::Receiver<Option<Instant>>,
    pub(super) ready: AtomicU64,
    /// Currently open sockets.
    pub(super) open: AtomicU64,
    /// Intents due so far.
    pub(super) asked: AtomicU64,
    /// Players that have left.
    pub(super) departed: AtomicU64,
}

/// How often a player breaks its own connection, and for how long it stays away.
#[derive(Debug, Clone, Copy)]
pub(super) struct Break {
    pub(super) every: Duration,
    pub(super) away: Duration,
}

/// The identity of a player.
pub(super) struct Identity {
    pub(super) credentials: Credentials,
    pub(super) session: Session,
    pub(super) seed: u64,
}

/// How a conversation ended.
enum End {
    Lost(Ended),
    /// The player broke the connection on purpose.
    Broken,
    /// The player is done.
    Done,
}

pub(super) struct Player<M> {
    common: Arc<Common>,
    score: Score,
    pace: Arc<Pace>,
    identity: Identity,
    options: SocketOptions,
    breaks: Option<Break>,
    break_at: Option<Instant>,
    mind: M,
    rng: StdRng,
    ready: bool,
    closing_hint: Option<Duration>,
}

impl<M: Mind> Player<M> {
    /// A logged-in player with a character.
    pub(super) fn new(
        common: Arc<Common>,
        score: Score,
        pace: Arc<Pace>,
        identity: Identity,
        breaks: Option<Break>,
        mind: M,
    ) -> Self {
        let mut rng = StdRng::seed_from_u64(identity.seed);
        let client = uuid::Uuid::from_u128(rng.random());
        let options = SocketOptions { codec: common.codec, client, read_buffer_bytes: 4 * 1024 };
        let (break_at, ready, closing_hint) = (None, false, None);
        Self { common, score, pace, identity, options, breaks, break_at, mind, rng, ready, closing_hint }
    }

    /// Plays until it is done or the time is up.
    pub(super) async fn run(mut self) {
        let mut backoff = Backoff::default();
        loop {
            let end = self.connection(&mut backoff).await;
            let (wait, first) = match end {
                End::Done => break,
                End::Broken => {
                    self.score.tally.lock().reconnects += 1;
                    (self.breaks.map_or(Duration::ZERO, |breaks| breaks.away), First::Nothing)
                }
                End::Lost(ended) => {
                    self.score.tally.lock().lose(ended);
                    if let Ended::Closed { code: code @ (1009 | 4500), .. } = ended {
                        self.score.contradict(&Contradiction::Blamed(code));
                    }
                    let Next::Again { wait, first } = backoff.next(ended, self.rng.random()) else { break };
                    (wait, first)
                }
            };
            self.mind.disconnected();
            self.closing_hint = None;
            if self.pause(wait).await {
                break;
            }
            self.renew(first).await;
        }
        // A player that could not check the totals counts as unsettled.
        let unsettled = self.mind.without_an_end().max(usize::from(!self.mind.is_done()));
        self.score.tally.lock().unsettled += unsettled as u64;
        if !self.ready {
            self.common.ready.fetch_add(1, Ordering::Relaxed);
        }
        self.common.departed.fetch_add(1, Ordering::Relaxed);
    }

    /// Refreshes the session or logs in again, if required.
    async fn renew(&mut self, first: First) {
        let session = match first {
            First::Nothing => return,
            First::Refresh => self.identity.session.refreshed(&self.common.http).await,
            First::LogIn => Session::log_in(&self.common.http, &self.identity.credentials).await,
        };
        match session {
            Ok(session) => self.identity.session = session,
            Err(error) => *self.score.tally.lock().lost.entry(error.to_string()).or_default() += 1,
        }
    }

    /// Waits; returns true if the player must leave.
    async fn pause(&self, wait: Duration) -> bool {
        let until = tokio::time::Instant::now() + wait;
        while !self.pace.abandoned() {
            tokio::select! {
                () = tokio::time::sleep_until(until) => return false,
                () = self.pace.wake.notified() => {}
            }
        }
        true
    }

    async fn connection(&mut self, backoff: &mut Backoff) -> End {
        if self.pace.abandoned() {
            return End::Done;
        }
        let session = &self.identity.session;
        let mut socket =
            match connect(session.socket_url(), session.token(), self.options, self.common.http.trust()).await {
                Ok(socket) => socket,
                Err(error) => return End::Lost(error.ended()),
            };
        self.score.tally.lock().connections += 1;
        self.common.open.fetch_add(1, Ordering::Relaxed);
        backoff.served();
        let now = Instant::now();
        self.mind.connected(now);
        // Those who break their sockets do not all do it at once.
        self.break_at = self.breaks.map(|breaks| now + breaks.every.mul_f64(self.rng.random_range(0.5..1.5)));
        let end = self.converse(&mut socket).await;
        self.common.open.fetch_sub(1, Ordering::Relaxed);
        if matches!(end, End::Done) {
            let _ = socket.close(None).await;
        }
        end
    }

    async fn converse(&mut self, socket: &mut Socket) -> End {
        let mut start = self.common.start.clone();
        loop {
            let now = Instant::now();
            let begin = *start.borrow_and_update();
            self.mind.take_up(begin, now);
            if !self.ready && self.mind.is_ready() {
                self.ready = true;
                self.common.ready.fetch_add(1, Ordering::Relaxed);
            }
            let Ok(sent) = self.send_due(socket, now).await else { return End::Lost(self.lost()) };
            if self.mind.is_done() || self.pace.abandoned() {
                return End::Done;
            }
            // Breaks right after sending, so that there is something to send again.
            if sent && begin.is_some() && self.break_at.is_some_and(|time| time <= now) {
                return End::Broken;
            }
            let retry = self.mind.wakeup();
            tokio::select! {
                message = socket.next() => {
                    if let Err(ended) = self.take_burst(socket, message) {
                        return End::Lost(ended);
                    }
                }
                () = self.pace.wake.notified() => {}
                _ = start.changed(), if begin.is_none() => {}
                () = sleep_until(retry), if retry.is_some() => {}
            }
        }
    }

    /// Sends all due frames; returns true if one was an intent.
    async fn send_due(&mut self, socket: &mut Socket, now: Instant) -> Result<bool, tungstenite::Error> {
        let (mut any, mut intents) = (false, false);
        while let Some(frame) = self.mind.next_frame(now) {
            intents |= matches!(frame, ClientFrame::Intent(_));
            any = true;
            socket.feed(encode_message(self.common.codec, &frame)).await?;
        }
        if any {
            socket.flush().await?;
        }
        Ok(intents)
    }

    /// Handles a message and all others that have already arrived.
    fn take_burst(
        &mut self,
        socket: &mut Socket,
        first: Option<Result<Message, tungstenite::Error>>,
    ) -> Result<(), Ended> {
        let now = Instant::now();
        let mut burst = Burst::new(first);
        while let Some(message) = burst.next(socket) {
            match message {
                Some(Ok(message)) => self.take(&message, now)?,
                Some(Err(_)) | None => return Err(self.lost()),
            }
        }
        Ok(())
    }

    fn take(&mut self, message: &Message, now: Instant) -> Result<(), Ended> {
        if let Message::Close(close) = message {
            let code = close.as_ref().map_or(1005, |close| u16::from(close.code));
            return Err(Ended::Closed { code, retry_after: self.closing_hint });
        }
        let frame = match decode_message::<Sheet>(self.common.codec, message) {
            Ok(Some(frame)) => frame,
            Ok(None) => return Ok(()),
            Err(error) => {
                self.score.contradict(&Contradiction::Unreadable(error.to_string()));
                return Err(self.lost());
            }
        };
        match &frame {
            ServerFrame::Closing(closing) => {
                self.closing_hint = Some(Duration::from_millis(closing.retry_after_ms));
            }
            ServerFrame::State(state) if state.id.is_none() => self.score.tally.lock().pushed += 1,
            ServerFrame::Rejected(rejected) if rejected.retry_after_ms.is_some() => {
                self.score.tally.lock().turned_away += 1;
            }
            _ => {}
        }
        self.mind.receive(frame, now);
        Ok(())
    }

    fn lost(&self) -> Ended {
        Ended::Lost { retry_after: self.closing_hint }
    }
}

/// Sleeps until a time. Polled only if there is one.
async fn sleep_until(time: Option<Instant>) {
    if let Some(time) = time {
        tokio::time::sleep_until(time.into()).await;
    }
}
