//! Handles the server's frames.

use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use castellan_protocol::{CharacterId, Rejected, RejectionCode, RequestId, ServerFrame, Version};

use super::lane::{Answer, Node};
use super::{CharacterState, Event, Ledger};

/// Longest `retry_after_ms` that the client accepts.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(60);

impl<A: Clone, C: CharacterState> Ledger<A, C> {
    /// Handles a frame of the current connection.
    pub fn receive(&mut self, frame: ServerFrame<C>, now: Instant) {
        match frame {
            ServerFrame::Welcome(welcome) => {
                let in_flight_max = usize::try_from(welcome.in_flight_max).unwrap_or(usize::MAX);
                self.in_flight_max = Some(in_flight_max.max(1));
                self.events.push_back(Event::Welcome(welcome));
            }
            ServerFrame::Applied(applied) => {
                self.note_answer(applied.id);
                let state = self.note_state(applied.character, applied.durable);
                self.settle_applied(applied.id, &state);
                self.settle_lane(state.id());
            }
            ServerFrame::Conflict(conflict) => {
                self.note_answer(conflict.id);
                let state = self.note_state(conflict.character, conflict.durable);
                self.settle_conflict(conflict.id, state.id());
                self.settle_lane(state.id());
            }
            ServerFrame::Rejected(rejected) => self.receive_rejected(rejected, now),
            ServerFrame::State(state) => {
                let (asked, durable) = (state.id, state.durable);
                if let Some(id) = asked {
                    self.requests.remove(&id);
                }
                let state = self.note_state(state.character, durable);
                self.settle_lane(state.id());
                self.events.push_back(Event::State { state, asked });
            }
            ServerFrame::Durable(durable) => {
                for (character, version) in durable.versions {
                    if let Some(lane) = self.lanes.get_mut(&character) {
                        lane.durable = lane.durable.max(version);
                        self.settle_lane(character);
                    }
                }
            }
            ServerFrame::Accepted(accepted) => {
                self.requests.remove(&accepted.id);
                self.events.push_back(Event::Accepted { id: accepted.id, expires_in: accepted.expires_in });
            }
            ServerFrame::Pong(_) => {}
            ServerFrame::Closing(closing) => self.events.push_back(Event::Closing(closing)),
        }
    }

    fn receive_rejected(&mut self, rejected: Rejected, now: Instant) {
        let Rejected { id, code, message, retry_after_ms } = rejected;
        let wait = retry_after_ms.map(|wait_ms| Duration::from_millis(wait_ms).min(RETRY_AFTER_MAX));
        let Some(id) = id else {
            self.events.push_back(Event::Denied { id, code, message });
            return;
        };
        if let Some(character) = self.note_answer(id) {
            match wait {
                Some(wait) => self.settle_later(id, character, now + wait),
                None => self.settle_dead(id, character, code, message),
            }
            self.settle_lane(character);
            return;
        }
        let Some(request) = self.requests.get_mut(&id) else { return };
        if let Some(wait) = wait {
            request.sent = false;
            request.not_before = Some(now + wait);
            return;
        }
        self.requests.remove(&id);
        let lane = self.lanes.iter_mut().find(|(_, lane)| lane.first_fetch == Some(id));
        if let Some((character, lane)) = lane {
            lane.first_fetch = None;
            for intent in mem::take(&mut lane.waiting) {
                self.kept -= 1;
                let (id, character, message) = (intent.id, *character, message.clone());
                self.events.push_back(Event::Rejected { id, character, code, message });
            }
        } else {
            self.events.push_back(Event::Denied { id: Some(id), code, message });
        }
    }

    /// Removes an intent from the unanswered ones; returns `None` if it was not unanswered.
    fn note_answer(&mut self, id: RequestId) -> Option<CharacterId> {
        let character = self.unanswered.remove(&id)?;
        if let Some(lane) = self.lanes.get_mut(&character) {
            lane.unanswered -= 1;
        }
        Some(character)
    }

    /// Records the state of a character.
    fn note_state(&mut self, state: C, durable: Version) -> Arc<C> {
        let state = Arc::new(state);
        let lane = self.lanes.entry(state.id()).or_default();
        lane.durable = lane.durable.max(durable);
        if lane.shown.as_ref().is_none_or(|shown| shown.version() <= state.version()) {
            lane.shown = Some(Arc::clone(&state));
        }
        lane.first_fetch = None;
        state
    }

    /// `applied` proves the intent and all that it is based on applied, even if earlier answers said otherwise.
    fn settle_applied(&mut self, id: RequestId, state: &Arc<C>) {
        let Some(lane) = self.lanes.get_mut(&state.id()) else { return };
        let Some(newest) = lane.find(id) else { return };
        let applied = |node: &Node<A>| matches!(node.answer, Answer::Applied(_));
        let oldest = (0..=newest).rev().take_while(|index| !applied(&lane.chain[*index])).last().unwrap_or(newest + 1);
        for index in oldest..=newest {
            lane.set_answer(index, Answer::Applied(state.version()));
            let node = &mut lane.chain[index];
            let id = node.intent.id;
            if !mem::replace(&mut node.told_applied, true) {
                self.events.push_back(Event::Applied { id, state: Arc::clone(state) });
            }
            self.queue.remove(&id);
            lane.held.remove(&id);
        }
    }

    fn settle_conflict(&mut self, id: RequestId, character: CharacterId) {
        let Some(lane) = self.lanes.get_mut(&character) else { return };
        let Some(index) = lane.find(id) else { return };
        if matches!(lane.chain[index].answer, Answer::Applied(_)) {
            return;
        }
        let bases = lane.chain.range(..index).rev().take_while(|node| !matches!(node.answer, Answer::Applied(_)));
        if bases.into_iter().any(|node| node.answer == Answer::Retry) {
            lane.set_answer(index, Answer::Retry);
            lane.held.insert(id);
        } else {
            lane.set_answer(index, Answer::Conflict);
        }
    }

    fn settle_dead(&mut self, id: RequestId, character: CharacterId, code: RejectionCode, message: String) {
        let Some(lane) = self.lanes.get_mut(&character) else { return };
        let Some(index) = lane.find(id) else { return };
        if matches!(lane.chain[index].answer, Answer::Applied(_)) {
            return;
        }
        lane.set_answer(index, Answer::Dead);
        self.events.push_back(Event::Rejected { id, character, code, message });
    }

    /// Holds an intent, those based on it and all newer ones of its character until `time`.
    fn settle_later(&mut self, id: RequestId, character: CharacterId, time: Instant) {
        let Some(lane) = self.lanes.get_mut(&character) else { return };
        let Some(index) = lane.find(id) else { return };
        if matches!(lane.chain[index].answer, Answer::Applied(_)) {
            return;
        }
        for behind in index..lane.chain.len() {
            let answer = lane.chain[behind].answer;
            if behind == index || matches!(answer, Answer::Retry | Answer::Conflict) {
                lane.set_answer(behind, Answer::Retry);
                lane.held.insert(lane.chain[behind].intent.id);
            }
        }
        lane.hold_until = Some(lane.hold_until.map_or(time, |held| held.max(time)));
        self.holding.insert(character);
    }

    /// Removes durable and refused intents, and gives waiting intents a base if it is certain by now.
    fn settle_lane(&mut self, character: CharacterId) {
        let Some(lane) = self.lanes.get_mut(&character) else { return };
        let durable = lane.durable;
        while let Some(node) = lane.pop_front_if(|answer| matches!(answer, Answer::Applied(v) if v <= durable)) {
            self.kept -= 1;
            let Answer::Applied(version) = node.answer else { continue };
            self.events.push_back(Event::Durable { id: node.intent.id, character, version });
        }
        let was_in_doubt = lane.is_in_doubt();
        let mut refused = Vec::new();
        while let Some(node) = lane.pop_back_if(|answer| matches!(answer, Answer::Conflict | Answer::Dead)) {
            self.kept -= 1;
            if node.answer == Answer::Conflict {
                refused.push(node.intent.id);
            }
        }
        if let Some(shown) = &lane.shown {
            let events = refused.into_iter().rev().map(|id| Event::Refused { id, latest: Arc::clone(shown) });
            self.events.extend(events);
            if lane.is_quiet() {
                lane.base = Some(shown.last());
            } else if was_in_doubt && let Some(end) = lane.chain.back() {
                lane.base = Some(end.intent.id);
            }
        }
        self.chain_waiting(character);
    }
}
