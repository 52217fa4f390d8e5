//! The only player of a character: a chain of intents, kept and sent again until each is durable.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use castellan_client::ledger::{Event, Ledger};
use castellan_srd::wire::{Ack, Action, Cancel, CharacterId, ClientFrame, RequestId, ServerFrame, Version};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::super::bazaar::Bazaar;
use super::super::checker::{Checker, Contradiction};
use super::super::mix::{self, Mix};
use super::super::scenario::Conduct;
use super::super::sheet::Sheet;
use super::super::transition;
use super::Agenda;
use super::mind::{Mind, Score};

/// Most intents of one player that wait for the database.
const KEPT_MAX: usize = 8192;

/// Time between two looks of a trader at the end, while something is on its way.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);

/// A trader's place in the bazaar.
struct Stall {
    bazaar: Arc<Bazaar>,
    joined: bool,
    /// At the end: the request for the character's state, and whether it was answered since the last look.
    asked: Option<RequestId>,
    is_fresh: bool,
    look_at: Option<Instant>,
    settled: bool,
}

/// An intent without a final answer.
struct Pending {
    /// Its due time; `None` before the load.
    due: Option<Instant>,
    action: Action,
    ack: Ack,
    applied: bool,
    sent: bool,
}

/// The mind of a player with a ledger.
pub(in crate::load) struct Chain {
    score: Score,
    agenda: Agenda,
    character: CharacterId,
    ack_durable_share: f64,
    watch: bool,
    mix: Mix,
    ledger: Ledger<Action, Sheet>,
    checker: Checker,
    pending: BTreeMap<RequestId, Pending>,
    rng: StdRng,
    outfitted: bool,
    final_fetch: Option<RequestId>,
    checked: bool,
    stall: Option<Stall>,
}

impl Chain {
    /// A player that has seen nothing yet.
    pub(in crate::load) fn new(
        score: Score,
        agenda: Agenda,
        character: CharacterId,
        conduct: &Conduct,
        bazaar: &Arc<Bazaar>,
        seed: u64,
    ) -> Self {
        // Ids must differ between runs, even with the same seed.
        let first = RequestId::new(rand::rng().random_range(1..1 << 52));
        Self {
            score,
            agenda,
            character,
            ack_durable_share: conduct.ack_durable_share,
            watch: conduct.watch,
            mix: Mix::new(&conduct.weights),
            ledger: Ledger::new(first, KEPT_MAX),
            checker: Checker::new(first, conduct.trades()),
            pending: BTreeMap::new(),
            rng: StdRng::seed_from_u64(seed),
            outfitted: false,
            final_fetch: None,
            checked: false,
            stall: conduct.trades().then(|| Stall {
                bazaar: Arc::clone(bazaar),
                joined: false,
                asked: None,
                is_fresh: false,
                look_at: None,
                settled: false,
            }),
        }
    }

    fn begin(&mut self, action: Action, ack: Ack, due: Option<Instant>) {
        match self.ledger.act(self.character, action.clone(), ack) {
            Ok(id) => {
                self.pending.insert(id, Pending { due, action, ack, applied: false, sent: false });
                self.score.tally.lock().begun += 1;
            }
            Err(_) => self.score.tally.lock().full += 1,
        }
    }

    /// Checks a frame against the player's knowledge.
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
            self.score.contradict(&contradiction);
        }
    }

    /// Shows the other traders what this one offers.
    fn show_offers(&mut self) {
        let (Some(stall), Some(newest)) = (&mut self.stall, self.checker.newest()) else { return };
        if !std::mem::replace(&mut stall.joined, true) {
            stall.bazaar.join(newest);
        }
        stall.bazaar.show(newest);
    }

    /// Ends a trader's offers, and waits until nothing is on its way to anybody. Returns true once that is so.
    fn has_closed_stall(&mut self, now: Instant) -> bool {
        let (Some(stall), Some(newest)) = (&mut self.stall, self.checker.newest()) else { return true };
        if stall.look_at.take_if(|time| *time <= now).is_none() && stall.look_at.is_some() {
            return false;
        }
        if !std::mem::take(&mut stall.is_fresh) {
            if stall.asked.is_none() {
                stall.asked = self.ledger.fetch(self.character).ok();
            }
            return false;
        }
        let offers: Vec<i64> = newest.offers.iter().map(|offer| offer.number).collect();
        let is_empty = offers.is_empty() && newest.parcels.is_empty();
        if is_empty && !std::mem::replace(&mut stall.settled, true) {
            stall.bazaar.settle();
        }
        if is_empty && stall.bazaar.is_settled() {
            return true;
        }
        stall.look_at = Some(now + LOOK_INTERVAL);
        for offer in offers {
            self.begin(Action::Cancel(Cancel { offer }), Ack::Applied, None);
        }
        false
    }

    fn note(&mut self, event: Event<Sheet>, now: Instant) {
        match event {
            Event::Applied { id, state } => {
                let Some(pending) = self.pending.get_mut(&id) else {
                    self.score.contradict(&Contradiction::RejectedThenApplied { id });
                    return;
                };
                pending.applied = true;
                let found = self.checker.applied(id, &pending.action, &state);
                if let Some(stall) = &self.stall {
                    stall.bazaar.applied(transition::counted(&pending.action));
                }
                self.score.answered(pending.due, pending.ack, now, |tally| tally.applied += 1);
                if let Err(contradiction) = found {
                    self.score.contradict(&contradiction);
                }
            }
            Event::Durable { id, .. } => {
                self.pending.remove(&id);
                self.score.tally.lock().durable += 1;
            }
            Event::Refused { id, .. } => {
                let Some(pending) = self.pending.remove(&id) else { return };
                if pending.applied {
                    self.score.contradict(&Contradiction::AppliedThenRefused { id });
                }
                self.score.answered(pending.due, pending.ack, now, |tally| tally.refused += 1);
            }
            Event::Rejected { id, code, .. } => {
                let Some(pending) = self.pending.remove(&id) else { return };
                self.score.answered(pending.due, pending.ack, now, |tally| tally.reject(code));
            }
            Event::State { state, asked } if asked.is_some() && asked == self.final_fetch => {
                self.checked = true;
                let sum = self.stall.as_ref().map_or(Ok(()), |stall| stall.bazaar.close(&state));
                if let Err(contradiction) = self.checker.total(&state).and(sum) {
                    self.score.contradict(&contradiction);
                }
            }
            Event::State { asked, .. } => {
                if let Some(stall) = &mut self.stall {
                    stall.is_fresh |= stall.asked.take_if(|request| Some(*request) == asked).is_some();
                }
            }
            _ => {}
        }
    }
}

impl Mind for Chain {
    fn connected(&mut self, now: Instant) {
        self.agenda.connected(now);
        if self.checker.newest().is_none() && self.ledger.state(self.character).is_none() {
            // Cannot be full: nothing was requested before.
            let _ = self.ledger.fetch(self.character);
            if self.watch {
                let _ = self.ledger.watch(self.character);
            }
        }
    }

    fn disconnected(&mut self) {
        self.ledger.disconnected();
        self.checker.disconnected();
        if let Some(stall) = &mut self.stall {
            stall.asked = None;
        }
    }

    fn take_up(&mut self, start: Option<Instant>, now: Instant) {
        let Some(state) = self.checker.newest() else { return };
        if !self.outfitted {
            self.outfitted = true;
            if state.inventory.units == 0 {
                for action in mix::outfit() {
                    self.begin(action, Ack::Applied, None);
                }
            }
        }
        while let Some(due) = self.agenda.take(start, now, &self.score) {
            let Some(state) = self.checker.newest() else { return };
            let bazaar = self.stall.as_ref().map(|stall| &*stall.bazaar);
            let action = self.mix.next_action(&mut self.rng, state, bazaar);
            let durable = self.ack_durable_share > 0.0 && self.rng.random_bool(self.ack_durable_share);
            self.begin(action, if durable { Ack::Durable } else { Ack::Applied }, Some(due));
        }
        let has_ended = self.agenda.is_finished() && start.is_some() && self.without_an_end() == 0;
        if has_ended && self.final_fetch.is_none() && self.has_closed_stall(now) {
            self.final_fetch = self.ledger.fetch(self.character).ok();
        }
    }

    fn next_frame(&mut self, now: Instant) -> Option<ClientFrame> {
        let frame = self.ledger.next_frame(now)?;
        if let ClientFrame::Intent(intent) = &frame {
            self.checker.sent(intent.id);
            if let Some(pending) = self.pending.get_mut(&intent.id)
                && std::mem::replace(&mut pending.sent, true)
            {
                self.score.tally.lock().resent += 1;
            }
        }
        Some(frame)
    }

    fn wakeup(&self) -> Option<Instant> {
        // Before that everything must be answered.
        let look_at = self.stall.as_ref().and_then(|stall| stall.look_at).filter(|_| self.without_an_end() == 0);
        [self.ledger.wakeup(), look_at].into_iter().flatten().min()
    }

    fn receive(&mut self, frame: ServerFrame<Sheet>, now: Instant) {
        self.check(&frame);
        self.show_offers();
        self.ledger.receive(frame, now);
        while let Some(event) = self.ledger.next_event() {
            self.note(event, now);
        }
    }

    fn is_ready(&self) -> bool {
        self.outfitted && self.pending.is_empty()
    }

    fn is_done(&self) -> bool {
        self.checked
    }

    fn without_an_end(&self) -> usize {
        self.ledger.kept().max(self.ledger.unanswered())
    }
}
