//! One player: a socket, a ledger, a checker, and a schedule.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use castellan_client::ledger::{Event, Ledger};
use castellan_client::protocol::{Ack, Action, CharacterId, ClientFrame, Codec, RequestId, ServerFrame, Version};
use castellan_client::reconnect::{Backoff, Ended, First, Next};
use castellan_client::{
    Credentials, HttpClient, Session, Socket, SocketOptions, connect, decode_message, encode_message,
};
use futures_util::{FutureExt, SinkExt, StreamExt};
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::watch;
use tokio_tungstenite::tungstenite::{self, Message};

use super::checker::{Checker, Contradiction};
use super::mix;
use super::pace::{Pace, Schedule};
use super::sheet::Sheet;
use super::tally::{Tally, us};

/// Messages taken in one go before anything is sent.
const BURST_MAX: usize = 64;

/// Intents of one player that may wait for the database.
const KEPT_MAX: usize = 8192;

/// What all players share.
pub(crate) struct Common {
    pub(crate) http: HttpClient,
    pub(crate) codec: Codec,
    pub(crate) durable_share: f64,
    /// When the load begins; set once everybody is ready.
    pub(crate) start: watch::Receiver<Option<Instant>>,
    pub(crate) ready: AtomicU64,
    pub(crate) answered: AtomicU64,
    /// Players that have left, for better or worse.
    pub(crate) left: AtomicU64,
}

/// An intent whose answer has not come.
struct Pending {
    /// When it fell due; `None` for those before the load.
    due: Option<Instant>,
    action: Action,
    ack: Ack,
    applied: bool,
}

/// How a conversation ended.
enum End {
    Lost(Ended),
    /// All is done.
    Done,
}

pub(crate) struct Player {
    pub(crate) common: Arc<Common>,
    pub(crate) tally: Arc<Mutex<Tally>>,
    pub(crate) pace: Arc<Pace>,
    pub(crate) schedule: Schedule,
    pub(crate) credentials: Credentials,
    session: Session,
    character: CharacterId,
    options: SocketOptions,
    ledger: Ledger<Sheet>,
    checker: Checker,
    pending: BTreeMap<RequestId, Pending>,
    rng: StdRng,
    begun: u64,
    ready: bool,
    outfitted: bool,
    final_fetch: Option<RequestId>,
    checked: bool,
    closing_hint: Option<Duration>,
}

impl Player {
    /// A player that has logged in and has a character.
    pub(crate) fn new(
        common: Arc<Common>,
        tally: Arc<Mutex<Tally>>,
        pace: Arc<Pace>,
        schedule: Schedule,
        login: (Credentials, Session, CharacterId),
        seed: u64,
    ) -> Self {
        let (credentials, session, character) = login;
        let mut rng = StdRng::seed_from_u64(seed);
        // Ids must differ from one run to the next, whatever the seed.
        let first = RequestId::new(rand::rng().random_range(1..1 << 52));
        let client = uuid::Uuid::from_u128(rng.random());
        let options = SocketOptions { codec: common.codec, client, read_buffer_bytes: 4 * 1024 };
        Self {
            common,
            tally,
            pace,
            schedule,
            credentials,
            session,
            character,
            options,
            ledger: Ledger::new(first, KEPT_MAX),
            checker: Checker::new(first),
            pending: BTreeMap::new(),
            rng,
            begun: 0,
            ready: false,
            outfitted: false,
            final_fetch: None,
            checked: false,
            closing_hint: None,
        }
    }

    /// Plays until all is done or the time is up.
    pub(crate) async fn run(mut self) {
        let mut backoff = Backoff::default();
        loop {
            let End::Lost(ended) = self.connection(&mut backoff).await else { break };
            self.tally.lock().lost.entry(reason(ended)).and_modify(|count| *count += 1).or_insert(1);
            self.ledger.disconnected();
            self.checker.disconnected();
            self.closing_hint = None;
            if let Ended::Closed { code: code @ (1009 | 4500), .. } = ended {
                self.contradict(&Contradiction::Blamed(code));
            }
            let Next::Again { wait, first } = backoff.next(ended, self.rng.random()) else { break };
            if self.pause(wait).await {
                break;
            }
            let session = match first {
                First::Nothing => continue,
                First::Refresh => self.session.refreshed(&self.common.http).await,
                First::LogIn => Session::log_in(&self.common.http, &self.credentials).await,
            };
            match session {
                Ok(session) => self.session = session,
                Err(error) => {
                    self.tally.lock().lost.entry(error.to_string()).and_modify(|count| *count += 1).or_insert(1);
                }
            }
        }
        // Who could not even look at the end does not know either.
        self.tally.lock().unsettled += self.without_an_end().max(usize::from(!self.checked)) as u64;
        if !self.ready {
            self.common.ready.fetch_add(1, Ordering::Relaxed);
        }
        self.common.left.fetch_add(1, Ordering::Relaxed);
    }

    /// Waits; says whether to leave.
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
        let mut socket = match connect(self.session.socket_url(), self.session.token(), self.options).await {
            Ok(socket) => socket,
            Err(error) => return End::Lost(error.ended()),
        };
        self.tally.lock().connections += 1;
        backoff.served();
        if self.checker.newest().is_none() && self.ledger.state(self.character).is_none() {
            // There is room: nothing was asked before.
            let _ = self.ledger.fetch(self.character);
        }
        match self.converse(&mut socket).await {
            Ok(()) => {
                let _ = socket.close(None).await;
                End::Done
            }
            Err(ended) => End::Lost(ended),
        }
    }

    async fn converse(&mut self, socket: &mut Socket) -> Result<(), Ended> {
        let mut start = self.common.start.clone();
        loop {
            self.begin_due(*start.borrow_and_update());
            self.send_due(socket).await.map_err(|_| self.lost())?;
            if self.checked || self.pace.abandoned() {
                return Ok(());
            }
            let retry = self.ledger.wakeup();
            tokio::select! {
                message = socket.next() => self.take_burst(socket, message)?,
                () = self.pace.wake.notified() => {}
                _ = start.changed(), if start.borrow().is_none() => {}
                () = sleep_until(retry), if retry.is_some() => {}
            }
        }
    }

    /// Begins all intents that have fallen due.
    fn begin_due(&mut self, start: Option<Instant>) {
        let Some(state) = self.checker.newest() else { return };
        if !self.outfitted {
            self.outfitted = true;
            if state.inventory.units == 0 {
                for action in mix::outfit() {
                    self.begin(action, Ack::Applied, None);
                }
            }
        }
        if !self.ready && self.pending.is_empty() {
            self.ready = true;
            self.common.ready.fetch_add(1, Ordering::Relaxed);
        }
        let Some(start) = start else { return };
        while self.begun < self.pace.due() {
            let due = start + self.schedule.due(self.begun);
            self.begun += 1;
            let Some(state) = self.checker.newest() else { return };
            let action = mix::next_action(&mut self.rng, state);
            let durable = self.common.durable_share > 0.0 && self.rng.random_bool(self.common.durable_share);
            self.begin(action, if durable { Ack::Durable } else { Ack::Applied }, Some(due));
        }
        let finished = self.pace.finished() && self.begun == self.schedule.count;
        if finished && self.without_an_end() == 0 && self.final_fetch.is_none() {
            self.final_fetch = self.ledger.fetch(self.character).ok();
        }
    }

    fn begin(&mut self, action: Action, ack: Ack, due: Option<Instant>) {
        match self.ledger.act(self.character, action.clone(), ack) {
            Ok(id) => {
                self.pending.insert(id, Pending { due, action, ack, applied: false });
                self.tally.lock().begun += 1;
            }
            Err(_) => self.tally.lock().full += 1,
        }
    }

    async fn send_due(&mut self, socket: &mut Socket) -> Result<(), tungstenite::Error> {
        let mut sent = false;
        let now = Instant::now();
        while let Some(frame) = self.ledger.next_frame(now) {
            if let ClientFrame::Intent(intent) = &frame {
                self.checker.sent(intent.id);
                if let Some(due) = self.pending.get(&intent.id).and_then(|pending| pending.due) {
                    self.tally.lock().lateness.saturating_record(us(now.saturating_duration_since(due)));
                }
            }
            socket.feed(encode_message(self.common.codec, &frame)).await?;
            sent = true;
        }
        if sent { socket.flush().await } else { Ok(()) }
    }

    /// Takes in a message and those that are there behind it.
    fn take_burst(
        &mut self,
        socket: &mut Socket,
        first: Option<Result<Message, tungstenite::Error>>,
    ) -> Result<(), Ended> {
        let now = Instant::now();
        let mut next = Some(first);
        for _ in 0..BURST_MAX {
            let Some(message) = next else { break };
            match message {
                Some(Ok(message)) => self.take(&message, now)?,
                Some(Err(_)) | None => return Err(self.lost()),
            }
            next = socket.next().now_or_never();
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
                self.contradict(&Contradiction::Unreadable(error.to_string()));
                return Err(self.lost());
            }
        };
        self.check(&frame);
        if let ServerFrame::Closing(closing) = &frame {
            self.closing_hint = Some(Duration::from_millis(closing.retry_after_ms));
        }
        self.ledger.receive(frame, now);
        while let Some(event) = self.ledger.next_event() {
            self.note(event, now);
        }
        Ok(())
    }

    /// Holds a frame against what is known.
    fn check(&mut self, frame: &ServerFrame<Sheet>) {
        let character = self.character;
        let found = match frame {
            ServerFrame::Applied(applied) => {
                let pending = self.pending.get(&applied.id);
                let late = pending.is_some_and(|pending| pending.ack == Ack::Durable);
                self.checker.state(&applied.character, applied.durable, late)
            }
            ServerFrame::Conflict(conflict) => self.checker.state(&conflict.character, conflict.durable, false),
            ServerFrame::State(state) => self.checker.state(&state.character, state.durable, false),
            ServerFrame::Durable(durable) => {
                let of = |(id, version): (&CharacterId, &Version)| (*id == character).then_some(*version);
                durable.versions.iter().find_map(of).map_or(Ok(()), |version| self.checker.durable(version))
            }
            _ => Ok(()),
        };
        if let Err(contradiction) = found {
            self.contradict(&contradiction);
        }
    }

    fn note(&mut self, event: Event<Sheet>, now: Instant) {
        match event {
            Event::Applied { id, state } => {
                let Some(pending) = self.pending.get_mut(&id) else {
                    self.contradict(&Contradiction::RejectedThenApplied { id });
                    return;
                };
                pending.applied = true;
                let found = self.checker.applied(id, &pending.action, &state);
                self.answered(id, now, |tally| tally.applied += 1);
                if let Err(contradiction) = found {
                    self.contradict(&contradiction);
                }
            }
            Event::Durable { id, .. } => {
                self.pending.remove(&id);
                self.tally.lock().durable += 1;
            }
            Event::Refused { id, .. } => {
                if self.pending.get(&id).is_some_and(|pending| pending.applied) {
                    self.contradict(&Contradiction::AppliedThenRefused { id });
                }
                self.answered(id, now, |tally| tally.refused += 1);
                self.pending.remove(&id);
            }
            Event::Rejected { id, code, .. } => {
                self.answered(id, now, |tally| *tally.rejected.entry(code.as_str()).or_default() += 1);
                self.pending.remove(&id);
            }
            Event::State { state, asked } if asked.is_some() && asked == self.final_fetch => {
                self.checked = true;
                if let Err(contradiction) = self.checker.total(&state) {
                    self.contradict(&contradiction);
                }
            }
            _ => {}
        }
    }

    fn answered(&self, id: RequestId, now: Instant, count: impl FnOnce(&mut Tally)) {
        let mut tally = self.tally.lock();
        count(&mut tally);
        let Some(pending) = self.pending.get(&id) else { return };
        let Some(due) = pending.due else { return };
        let latency = us(now.saturating_duration_since(due));
        match pending.ack {
            Ack::Applied => tally.latency.saturating_record(latency),
            Ack::Durable => tally.latency_durable.saturating_record(latency),
        }
        self.common.answered.fetch_add(1, Ordering::Relaxed);
    }

    fn contradict(&self, contradiction: &Contradiction) {
        self.tally.lock().contradict(&self.credentials.username, contradiction);
    }

    /// Intents that are kept, or whose own answer is still to come.
    fn without_an_end(&self) -> usize {
        self.ledger.kept().max(self.ledger.unanswered())
    }

    fn lost(&self) -> Ended {
        Ended::Lost { retry_after: self.closing_hint }
    }
}

/// Sleeps until then; only asked where there is a time.
async fn sleep_until(time: Option<Instant>) {
    if let Some(time) = time {
        tokio::time::sleep_until(time.into()).await;
    }
}

fn reason(ended: Ended) -> String {
    match ended {
        Ended::Closed { code, .. } => format!("closed with {code}"),
        Ended::Lost { .. } => "cut".to_owned(),
        Ended::Refused { status, .. } => format!("upgrade refused with {status}"),
    }
}
