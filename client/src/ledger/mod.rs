//! The client's memory, with which each intent is applied exactly once or the caller is told otherwise.
//!
//! The ledger is a plain state machine: server frames, the caller's wishes and the time go in; client frames and
//! [`Event`]s come out. It knows no socket and no clock. It follows rules 3 to 9 of
//! `docs/protocol.md#versions-ids-recovery`: every intent is kept until it is covered, names by `after` what it is
//! based on, and is sent again on the next connection, unchanged and in order.
//!
//! The kept intents of one character form a chain: each is based on the previous one, directly or through a state that
//! contained it. So an `applied` intent proves all before it applied. An intent with a `conflict` is refused once all
//! later ones are answered and none of them proves it applied. Until then new intents wait: based on the state in the
//! `conflict`, they would not belong to the chain, and could push an unproven intent out of the server's memory of
//! recent ids.

#[cfg(test)]
mod fuzz;
mod lane;
mod receive;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use castellan_protocol::{
    Ack, Character, CharacterId, ClientFrame, Closing, Fetch, Intent, Refresh, RejectionCode, RequestId, Unwatch,
    UserId, Version, Watch, Welcome,
};

use lane::{Answer, Lane};

/// The part of a character's state that the ledger needs.
pub trait CharacterState {
    /// Its id.
    fn id(&self) -> CharacterId;
    /// Its version.
    fn version(&self) -> Version;
    /// The id of the intent that produced it.
    fn last(&self) -> RequestId;
}

impl<S> CharacterState for Character<S> {
    fn id(&self) -> CharacterId {
        self.id
    }

    fn version(&self) -> Version {
        self.version
    }

    fn last(&self) -> RequestId {
        self.last
    }
}

/// The ledger is full. The caller must wait for [`Event::Durable`] or give up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many intents or requests are waiting for the server; try again later")]
pub struct Full;

/// An event for the caller.
///
/// An intent ends with [`Durable`](Event::Durable), [`Refused`](Event::Refused) or [`Rejected`](Event::Rejected).
/// [`Applied`](Event::Applied) comes earlier. After a crash of the server `Refused` may still follow it.
#[derive(Debug, Clone, PartialEq)]
pub enum Event<C> {
    /// A connection is ready.
    Welcome(Welcome),
    /// The intent is applied.
    Applied {
        /// The intent.
        id: RequestId,
        /// The state at or after the intent.
        state: Arc<C>,
    },
    /// The intent is in the database and safe.
    Durable {
        /// The intent.
        id: RequestId,
        /// Its character.
        character: CharacterId,
        /// The stored version, at or after the intent's.
        version: Version,
    },
    /// The intent was based on an outdated state and is dropped. The caller must decide again on the newest state.
    Refused {
        /// The intent.
        id: RequestId,
        /// The newest known state.
        latest: Arc<C>,
    },
    /// The intent was rejected for good: a rule refused it, or it cannot be read.
    Rejected {
        /// The intent.
        id: RequestId,
        /// Its character.
        character: CharacterId,
        /// The code.
        code: RejectionCode,
        /// The message for people.
        message: String,
    },
    /// A character's state, requested or pushed.
    State {
        /// The state.
        state: Arc<C>,
        /// The `watch` or `fetch` that it answers, if any.
        asked: Option<RequestId>,
    },
    /// An `unwatch` or `refresh` succeeded.
    Accepted {
        /// The request.
        id: RequestId,
        /// After a `refresh`: seconds until the newer token expires.
        expires_in: Option<u64>,
    },
    /// A `watch`, `unwatch`, `fetch` or `refresh` was refused, or a frame whose id could not be read.
    Denied {
        /// The request, if the server could read its id.
        id: Option<RequestId>,
        /// The code.
        code: RejectionCode,
        /// The message for people.
        message: String,
    },
    /// The server is about to close the connection.
    Closing(Closing),
}

/// A request that is not an intent.
struct Request<A> {
    frame: ClientFrame<A>,
    /// True if it was sent on the current connection.
    sent: bool,
    /// Must not be sent before this time.
    not_before: Option<Instant>,
}

/// The memory of one client run, across all its connections.
pub struct Ledger<A, C> {
    next_id: RequestId,
    kept_max: usize,
    kept: usize,
    lanes: BTreeMap<CharacterId, Lane<A, C>>,
    /// Kept intents to send on the current connection. Ids count up, so their order is the order of sending.
    queue: BTreeMap<RequestId, CharacterId>,
    requests: BTreeMap<RequestId, Request<A>>,
    /// Unanswered intents on the current connection.
    unanswered: BTreeMap<RequestId, CharacterId>,
    /// Most unanswered intents that `welcome` allows; `None` without a ready connection.
    in_flight_max: Option<usize>,
    /// Characters whose intents wait because of a `retry_after_ms`.
    holding: BTreeSet<CharacterId>,
    events: VecDeque<Event<C>>,
}

impl<A: Clone, C: CharacterState> Ledger<A, C> {
    /// Starts a new run.
    ///
    /// `first` is a random id, at least 1 and below 2^52, different in every run. The ledger holds at most `kept_max`
    /// intents and as many other requests.
    pub fn new(first: RequestId, kept_max: usize) -> Self {
        Self {
            next_id: first,
            kept_max,
            kept: 0,
            lanes: BTreeMap::new(),
            queue: BTreeMap::new(),
            requests: BTreeMap::new(),
            unanswered: BTreeMap::new(),
            in_flight_max: None,
            holding: BTreeSet::new(),
            events: VecDeque::new(),
        }
    }

    /// Records an intent, based on the newest own intent for this character or on the newest state shown.
    ///
    /// Fetches a character that was never shown first, and bases the intent on the answer.
    ///
    /// # Errors
    ///
    /// [`Full`]: nothing was recorded.
    pub fn act(&mut self, character: CharacterId, action: A, ack: Ack) -> Result<RequestId, Full> {
        if self.kept >= self.kept_max {
            return Err(Full);
        }
        self.kept += 1;
        let id = self.take_id();
        let lane = self.lanes.entry(character).or_default();
        let ack = (ack != Ack::Applied).then_some(ack);
        let user = lane.user;
        let intent = Intent { id, character, after: None, expect: None, action, ack, traceparent: None, user };
        lane.waiting.push_back(intent);
        let unseen = lane.base.is_none() && lane.first_fetch.is_none();
        self.chain_waiting(character);
        if unseen {
            let fetch = self.fetch_unbounded(character);
            self.lane(character).first_fetch = Some(fetch);
        }
        Ok(id)
    }

    /// Sets the owner of a character, for game servers that act on other users' characters.
    pub fn set_owner(&mut self, character: CharacterId, user: UserId) {
        self.lane(character).user = Some(user);
    }

    /// Watches a character for other clients' changes, on this and every later connection.
    ///
    /// # Errors
    ///
    /// [`Full`]: nothing was requested.
    pub fn watch(&mut self, character: CharacterId) -> Result<RequestId, Full> {
        self.check_room_for_request()?;
        self.lane(character).watched = true;
        Ok(self.watch_unbounded(character))
    }

    /// Stops watching a character.
    ///
    /// # Errors
    ///
    /// [`Full`]: nothing was requested.
    pub fn unwatch(&mut self, character: CharacterId) -> Result<RequestId, Full> {
        self.check_room_for_request()?;
        let lane = self.lane(character);
        lane.watched = false;
        let user = lane.user;
        Ok(self.request(|id| ClientFrame::Unwatch(Unwatch { id, character, user })))
    }

    /// Requests the current state of a character.
    ///
    /// # Errors
    ///
    /// [`Full`]: nothing was requested.
    pub fn fetch(&mut self, character: CharacterId) -> Result<RequestId, Full> {
        self.check_room_for_request()?;
        Ok(self.fetch_unbounded(character))
    }

    /// Switches to a newer token of the same session. Dropped when the connection ends, because the next one uses it.
    ///
    /// # Errors
    ///
    /// [`Full`]: nothing was requested.
    pub fn refresh(&mut self, token: String) -> Result<RequestId, Full> {
        self.check_room_for_request()?;
        Ok(self.request(|id| ClientFrame::Refresh(Refresh { id, token })))
    }

    /// The newest state shown of a character.
    pub fn state(&self, character: CharacterId) -> Option<&Arc<C>> {
        self.lanes.get(&character)?.shown.as_ref()
    }

    /// Number of kept intents: neither durable, nor refused, nor rejected.
    pub fn kept(&self) -> usize {
        self.kept
    }

    /// Number of unanswered intents on the current connection.
    pub fn unanswered(&self) -> usize {
        self.unanswered.len()
    }

    /// The next event, oldest first.
    pub fn next_event(&mut self) -> Option<Event<C>> {
        self.events.pop_front()
    }

    /// The next frame to send, if there is one and the server's limit of unanswered intents allows it.
    pub fn next_frame(&mut self, now: Instant) -> Option<ClientFrame<A>> {
        let in_flight_max = self.in_flight_max?;
        let due = |request: &&mut Request<A>| !request.sent && request.not_before.is_none_or(|time| time <= now);
        if let Some(request) = self.requests.values_mut().find(due) {
            request.sent = true;
            return Some(request.frame.clone());
        }
        self.release_held(now);
        while self.unanswered.len() < in_flight_max {
            let (id, character) = self.queue.pop_first()?;
            let Some(lane) = self.lanes.get_mut(&character) else { continue };
            if lane.hold_until.is_some() {
                lane.held.insert(id);
                continue;
            }
            let Some(index) = lane.find(id) else { continue };
            lane.set_answer(index, Answer::None);
            lane.unanswered += 1;
            self.unanswered.insert(id, character);
            return Some(ClientFrame::Intent(lane.chain[index].intent.clone()));
        }
        None
    }

    /// Time at which [`Ledger::next_frame`] may have a new frame, even if nothing arrives before.
    pub fn wakeup(&self) -> Option<Instant> {
        self.in_flight_max?;
        let held = self.holding.iter().filter_map(|character| self.lanes.get(character)?.release_time());
        let later = self.requests.values().filter(|request| !request.sent).filter_map(|request| request.not_before);
        held.chain(later).min()
    }

    /// Handles the end of the connection: forgets its durable versions and queues all kept intents for the next one.
    ///
    /// Afterwards no frame of the old connection may be passed to [`Ledger::receive`].
    pub fn disconnected(&mut self) {
        self.in_flight_max = None;
        self.unanswered.clear();
        self.holding.clear();
        self.queue.clear();
        self.requests.retain(|_, request| matches!(request.frame, ClientFrame::Watch(_) | ClientFrame::Fetch(_)));
        let mut watching = BTreeSet::new();
        for request in self.requests.values_mut() {
            request.sent = false;
            request.not_before = None;
            if let ClientFrame::Watch(watch) = &request.frame {
                watching.insert(watch.character);
            }
        }
        for (character, lane) in &mut self.lanes {
            lane.forget_connection();
            let open = lane.chain.iter().filter(|node| node.is_open());
            self.queue.extend(open.map(|node| (node.intent.id, *character)));
        }
        let watched = self.lanes.iter().filter(|(_, lane)| lane.watched).map(|(character, _)| *character);
        for character in watched.filter(|character| !watching.contains(character)).collect::<Vec<_>>() {
            self.watch_unbounded(character);
        }
    }

    fn take_id(&mut self) -> RequestId {
        let id = self.next_id;
        self.next_id = id.next();
        id
    }

    fn lane(&mut self, character: CharacterId) -> &mut Lane<A, C> {
        self.lanes.entry(character).or_default()
    }

    fn check_room_for_request(&self) -> Result<(), Full> {
        if self.requests.len() < self.kept_max { Ok(()) } else { Err(Full) }
    }

    fn request(&mut self, frame: impl FnOnce(RequestId) -> ClientFrame<A>) -> RequestId {
        let id = self.take_id();
        self.requests.insert(id, Request { frame: frame(id), sent: false, not_before: None });
        id
    }

    /// Fetches without checking for room: at most once for each character without a state.
    fn fetch_unbounded(&mut self, character: CharacterId) -> RequestId {
        let user = self.lane(character).user;
        self.request(|id| ClientFrame::Fetch(Fetch { id, character, user }))
    }

    /// Watches without checking for room: at most once for each watched character.
    fn watch_unbounded(&mut self, character: CharacterId) -> RequestId {
        let user = self.lane(character).user;
        self.request(|id| ClientFrame::Watch(Watch { id, character, user }))
    }

    /// Gives waiting intents their final base and queues them.
    fn chain_waiting(&mut self, character: CharacterId) {
        let Some(lane) = self.lanes.get_mut(&character) else { return };
        while let Some(base) = lane.base.filter(|_| !lane.is_in_doubt())
            && let Some(mut intent) = lane.waiting.pop_front()
        {
            intent.after = Some(base);
            lane.base = Some(intent.id);
            self.queue.insert(intent.id, character);
            lane.push(intent);
        }
    }

    /// Queues held intents whose time has come, once all earlier intents for the character are answered.
    fn release_held(&mut self, now: Instant) {
        let lanes = &mut self.lanes;
        let queue = &mut self.queue;
        self.holding.retain(|character| {
            let Some(lane) = lanes.get_mut(character) else { return false };
            let due = lane.release_time().is_some_and(|time| time <= now);
            if due {
                lane.hold_until = None;
                queue.extend(std::mem::take(&mut lane.held).into_iter().map(|id| (id, *character)));
            }
            !due
        });
    }
}
