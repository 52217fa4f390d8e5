//! A member of a party: bases each intent on the version that it last saw, waits for the answer, and never sends an
//! intent again.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use castellan_srd::wire::{
    Ack, Action, CharacterId, ClientFrame, Fetch, Intent, Rejected, RequestId, ServerFrame, Version, Watch,
};
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::super::checker::Contradiction;
use super::super::mix::{self, Mix};
use super::super::pace::Pace;
use super::super::scenario::Conduct;
use super::super::sheet::Sheet;
use super::mind::{Mind, Score};
use super::told::Told;
use super::{Agenda, PartyBook};

/// Most due intents of one member that wait for earlier answers.
const WAITING_MAX: usize = 8192;

/// Longest `retry_after_ms` that a member accepts.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(60);

/// An unanswered intent.
struct Asked {
    intent: Intent,
    due: Option<Instant>,
    /// True once sent; false again after a rejection for a while.
    sent: bool,
}

/// The shared state of a party.
#[derive(Clone)]
pub(in crate::load) struct Party {
    pub(in crate::load) character: CharacterId,
    pub(in crate::load) book: Arc<Mutex<PartyBook>>,
    /// The pace of the first member, which checks the totals at the end.
    pub(in crate::load) leader: Arc<Pace>,
}

/// The mind of a member.
pub(in crate::load) struct Member {
    score: Score,
    agenda: Agenda,
    party: Party,
    place: usize,
    ack_durable_share: f64,
    watch: bool,
    mix: Mix,
    rng: StdRng,
    next_id: RequestId,
    served: bool,
    newest: Option<Sheet>,
    /// The knowledge of the current connection.
    told: Told,
    requests: VecDeque<ClientFrame>,
    outfit: VecDeque<Action>,
    waiting: VecDeque<Instant>,
    asked: Option<Asked>,
    hold_until: Option<Instant>,
    finished: bool,
    final_fetch: Option<RequestId>,
    checked: bool,
}

impl Member {
    /// A member that has seen nothing yet. The first one created is the party's leader.
    pub(in crate::load) fn new(score: Score, agenda: Agenda, party: Party, conduct: &Conduct, seed: u64) -> Self {
        // Ids must differ between runs, even with the same seed.
        let first = RequestId::new(rand::rng().random_range(1..1 << 52));
        let place = party.book.lock().join(first);
        Self {
            score,
            agenda,
            party,
            place,
            ack_durable_share: conduct.ack_durable_share,
            watch: conduct.watch,
            mix: Mix::new(&conduct.weights),
            rng: StdRng::seed_from_u64(seed),
            next_id: first,
            served: false,
            newest: None,
            told: Told::default(),
            requests: VecDeque::new(),
            outfit: VecDeque::new(),
            waiting: VecDeque::new(),
            asked: None,
            hold_until: None,
            finished: false,
            final_fetch: None,
            checked: false,
        }
    }

    fn take_id(&mut self) -> RequestId {
        let id = self.next_id;
        self.next_id = id.next();
        id
    }

    /// Requests the character's state, and its changes if this member watches.
    fn look(&mut self) {
        if self.watch {
            let id = self.take_id();
            self.requests.push_back(ClientFrame::Watch(Watch { id, character: self.party.character, user: None }));
        } else {
            self.fetch();
        }
    }

    fn fetch(&mut self) -> RequestId {
        let id = self.take_id();
        self.requests.push_back(ClientFrame::Fetch(Fetch { id, character: self.party.character, user: None }));
        id
    }

    fn judge(&self, found: Result<(), Contradiction>) {
        if let Err(contradiction) = found {
            self.score.contradict(&contradiction);
        }
    }

    /// Checks and remembers a state.
    fn see(&mut self, state: &Sheet) {
        let found = self.party.book.lock().state(state);
        self.judge(found);
        if self.newest.as_ref().is_none_or(|newest| newest.version < state.version) {
            if self.newest.is_none() && self.place == 0 && state.inventory.units == 0 {
                self.outfit = mix::outfit().into();
            }
            self.newest = Some(state.clone());
        }
    }

    fn count_stored(&mut self) {
        self.score.tally.lock().durable += self.told.take_stored();
    }

    /// Takes the answered intent; `None` if the answer belongs to no waiting intent.
    fn take_asked(&mut self, id: RequestId) -> Option<(Asked, Ack)> {
        let asked = self.asked.take_if(|asked| asked.intent.id == id)?;
        let ack = asked.intent.ack.unwrap_or(Ack::Applied);
        Some((asked, ack))
    }

    /// Creates the next intent: first the outfit, then due intents.
    fn ask(&mut self) {
        let Some(newest) = &self.newest else { return };
        let (due, action) = match self.outfit.pop_front() {
            Some(action) => (None, action),
            None => match self.waiting.pop_front() {
                Some(due) => (Some(due), self.mix.next_action(&mut self.rng, newest, None)),
                None => return,
            },
        };
        let durable = due.is_some() && self.ack_durable_share > 0.0 && self.rng.random_bool(self.ack_durable_share);
        let expect = Some(newest.version);
        let (id, character) = (self.take_id(), self.party.character);
        let ack = durable.then_some(Ack::Durable);
        let intent = Intent { id, character, after: None, expect, action, ack, traceparent: None, user: None };
        self.asked = Some(Asked { intent, due, sent: false });
        self.score.tally.lock().begun += 1;
    }

    fn receive_rejected(&mut self, rejected: &Rejected, now: Instant) {
        let own = self.asked.as_ref().is_some_and(|asked| Some(asked.intent.id) == rejected.id);
        if let Some(wait_ms) = rejected.retry_after_ms {
            self.hold_until = Some(now + Duration::from_millis(wait_ms).min(RETRY_AFTER_MAX));
            match &mut self.asked {
                Some(asked) if own => asked.sent = false,
                // `take_up` fetches again.
                _ if rejected.id.is_some() && rejected.id == self.final_fetch => self.final_fetch = None,
                _ => self.look(),
            }
        } else if own && let Some((asked, ack)) = rejected.id.and_then(|id| self.take_asked(id)) {
            self.score.answered(asked.due, ack, now, |tally| tally.reject(rejected.code));
        }
    }
}

impl Mind for Member {
    fn connected(&mut self, now: Instant) {
        self.agenda.connected(now);
        self.look();
    }

    fn disconnected(&mut self) {
        self.served = false;
        self.requests.clear();
        self.hold_until = None;
        self.final_fetch = None;
        self.told = Told::default();
        if let Some(lost) = self.asked.take_if(|asked| asked.sent) {
            self.party.book.lock().lost_an_answer();
            self.score.tally.lock().unknown += 1;
            if lost.due.is_none() {
                self.outfit.push_front(lost.intent.action);
            }
        }
    }

    fn take_up(&mut self, start: Option<Instant>, now: Instant) {
        while let Some(due) = self.agenda.take(start, now, &self.score) {
            if self.waiting.len() < WAITING_MAX {
                self.waiting.push_back(due);
            } else {
                self.score.tally.lock().full += 1;
            }
        }
        if start.is_none() || !self.agenda.is_finished() || self.without_an_end() > 0 || !self.served {
            return;
        }
        if !self.finished {
            self.finished = true;
            let mut book = self.party.book.lock();
            book.finish();
            if book.is_finished() {
                self.party.leader.wake.notify_one();
            }
        }
        if self.place > 0 {
            self.checked = true;
        } else if self.final_fetch.is_none() && self.party.book.lock().is_finished() {
            self.final_fetch = Some(self.fetch());
        }
    }

    fn next_frame(&mut self, now: Instant) -> Option<ClientFrame> {
        if !self.served || self.hold_until.is_some_and(|time| time > now) {
            return None;
        }
        self.hold_until = None;
        if let Some(request) = self.requests.pop_front() {
            return Some(request);
        }
        if self.asked.is_none() {
            self.ask();
        }
        let asked = self.asked.as_mut().filter(|asked| !asked.sent)?;
        asked.sent = true;
        self.party.book.lock().sent(self.place, asked.intent.id);
        Some(ClientFrame::Intent(asked.intent.clone()))
    }

    fn wakeup(&self) -> Option<Instant> {
        self.hold_until
    }

    fn receive(&mut self, frame: ServerFrame<Sheet>, now: Instant) {
        match frame {
            ServerFrame::Welcome(_) => self.served = true,
            ServerFrame::Applied(applied) => {
                let (id, state) = (applied.id, &applied.character);
                let asked = self.take_asked(id);
                let late = asked.as_ref().is_some_and(|(_, ack)| *ack == Ack::Durable);
                self.see(state);
                if !late {
                    let found = self.told.answer(state.version, applied.durable);
                    self.judge(found);
                }
                let Some((asked, ack)) = asked else { return };
                let on = asked.intent.expect.unwrap_or(Version::new(0));
                self.told.made(Version::new(on.get() + 1), applied.durable);
                self.count_stored();
                let found = self.party.book.lock().applied(id, on, &asked.intent.action, state);
                self.score.answered(asked.due, ack, now, |tally| tally.applied += 1);
                self.judge(found);
            }
            ServerFrame::Conflict(conflict) => {
                self.see(&conflict.character);
                let found = self.told.answer(conflict.character.version, conflict.durable);
                self.judge(found);
                self.count_stored();
                let Some((asked, ack)) = self.take_asked(conflict.id) else { return };
                match asked.due {
                    Some(due) => self.score.answered(Some(due), ack, now, |tally| tally.refused += 1),
                    None => self.outfit.push_front(asked.intent.action),
                }
            }
            ServerFrame::Rejected(rejected) => self.receive_rejected(&rejected, now),
            ServerFrame::State(state) => {
                self.see(&state.character);
                if state.id.is_some() && state.id == self.final_fetch {
                    self.checked = true;
                    let found = self.party.book.lock().total(&state.character);
                    self.judge(found);
                }
            }
            ServerFrame::Durable(durable) => {
                if let Some(version) = durable.versions.get(&self.party.character) {
                    let found = self.told.durable(*version);
                    self.judge(found);
                    self.count_stored();
                }
            }
            ServerFrame::Accepted(_) | ServerFrame::Pong(_) | ServerFrame::Closing(_) => {}
        }
    }

    fn is_ready(&self) -> bool {
        self.newest.is_some() && self.outfit.is_empty() && self.asked.is_none()
    }

    fn is_done(&self) -> bool {
        self.checked
    }

    fn without_an_end(&self) -> usize {
        self.outfit.len() + self.waiting.len() + usize::from(self.asked.is_some()) + self.told.unstored()
    }
}
