//! What a client must remember so that each of its intents is applied exactly once, or it is told otherwise.
//!
//! The ledger is a plain state machine: server frames, the caller's wishes and the time go in; client frames and
//! [`Event`]s come out. It knows no socket and no clock. It follows rules 3 to 9 of
//! `docs/protocol.md#versions-ids-recovery`: every intent is kept until it is covered, names by `after` what it was
//! made on, and is sent again on the next connection, unchanged and in order.
//!
//! The kept intents of one character form a chain: each is made on the one before, directly or through a state that
//! contained it. So whoever is `applied` proves all before it, and whoever got `conflict` is refused once all behind it
//! are answered and none proves it. While that is open, new intents wait: made on the state that a `conflict` shows
//! they would not belong to the chain, and could push an intent out of the server's memory of recent ids that nothing
//! else speaks for.

mod lane;
mod receive;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use castellan_protocol::{
    Ack, Action, Character, CharacterId, ClientFrame, Closing, Fetch, Intent, Refresh, RejectionCode, RequestId,
    Unwatch, UserId, Version, Watch, Welcome,
};

use lane::{Answer, Lane};

/// As much of a character's state as the ledger needs.
pub trait CharacterState {
    /// Its id.
    fn id(&self) -> CharacterId;
    /// The version that names this state.
    fn version(&self) -> Version;
    /// The id of the intent that made this state.
    fn last(&self) -> RequestId;
}

impl CharacterState for Character {
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

/// The bound on what is kept is reached; the caller waits for [`Event::Durable`] or gives up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many intents wait for the server")]
pub struct Full;

/// What the caller is told.
///
/// An intent ends with [`Durable`](Event::Durable), [`Refused`](Event::Refused) or [`Rejected`](Event::Rejected).
/// [`Applied`](Event::Applied) comes before and may, after a crash of the server, still be followed by `Refused`.
#[derive(Debug, Clone, PartialEq)]
pub enum Event<C> {
    /// A connection is open and served.
    Welcome(Welcome),
    /// The intent is applied.
    Applied {
        /// The intent.
        id: RequestId,
        /// The state at or after the intent's version.
        state: Arc<C>,
    },
    /// The intent is in the database; it needs nobody's memory any more.
    Durable {
        /// The intent.
        id: RequestId,
        /// Its character.
        character: CharacterId,
        /// The version that is stored, at or after the intent's.
        version: Version,
    },
    /// The intent was made on another state than the present one and is given up: look at the state, and decide anew.
    Refused {
        /// The intent.
        id: RequestId,
        /// The newest state known.
        latest: Arc<C>,
    },
    /// The intent was turned down for good, by the rules or because it cannot be read.
    Rejected {
        /// The intent.
        id: RequestId,
        /// Its character.
        character: CharacterId,
        /// Why.
        code: RejectionCode,
        /// Why, for a person.
        message: String,
    },
    /// A character's state, asked for or pushed.
    State {
        /// The state.
        state: Arc<C>,
        /// The `watch` or `fetch` that it answers.
        asked: Option<RequestId>,
    },
    /// An `unwatch` or `refresh` was carried out.
    Accepted {
        /// The request.
        id: RequestId,
        /// After a `refresh`: seconds until the newer token expires.
        expires_in: Option<u64>,
    },
    /// A `watch`, `unwatch`, `fetch` or `refresh` was turned down, or a frame whose id could not be read.
    Denied {
        /// The request, where the server could read it.
        id: Option<RequestId>,
        /// Why.
        code: RejectionCode,
        /// Why, for a person.
        message: String,
    },
    /// The server is about to close the connection.
    Closing(Closing),
}

/// Something asked that is no intent.
struct Request {
    frame: ClientFrame,
    /// It is on its way on the present connection.
    sent: bool,
    /// Not to be sent before this.
    not_before: Option<Instant>,
}

/// The memory of one client run, over all its connections.
pub struct Ledger<C = Character> {
    next_id: RequestId,
    kept_max: usize,
    kept: usize,
    lanes: BTreeMap<CharacterId, Lane<C>>,
    /// Kept intents to send on the present connection. Ids count up, so their order is the order of sending.
    queue: BTreeMap<RequestId, CharacterId>,
    requests: BTreeMap<RequestId, Request>,
    /// Intents sent on the present connection whose answer has not come.
    unanswered: BTreeMap<RequestId, CharacterId>,
    /// What `welcome` allowed to be unanswered; `None` without a served connection.
    in_flight_max: Option<usize>,
    /// Characters whose intents wait for a `retry_after_ms`.
    holding: BTreeSet<CharacterId>,
    events: VecDeque<Event<C>>,
}

impl<C: CharacterState> Ledger<C> {
    /// A new run.
    ///
    /// `first` is a random id from 1 to below 2^52, never the one of another run. At most `kept_max` intents, and as
    /// many other requests, are remembered at a time.
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

    /// Notes an intent, made on the newest own intent on this character or on the newest state shown.
    ///
    /// A character that has not been seen yet is fetched first, and the intent is made on what comes.
    ///
    /// # Errors
    ///
    /// [`Full`]: nothing was noted.
    pub fn act(&mut self, character: CharacterId, action: Action, ack: Ack) -> Result<RequestId, Full> {
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

    /// Names the owner of a character, for game servers that act on characters of others.
    pub fn set_owner(&mut self, character: CharacterId, user: UserId) {
        self.lane(character).user = Some(user);
    }

    /// Asks to be told of every change of a character that something else makes, on this and every later connection.
    ///
    /// # Errors
    ///
    /// [`Full`]: nothing was asked.
    pub fn watch(&mut self, character: CharacterId) -> Result<RequestId, Full> {
        self.check_room_for_request()?;
        self.lane(character).watched = true;
        Ok(self.watch_unbounded(character))
    }

    /// Ends [`Ledger::watch`].
    ///
    /// # Errors
    ///
    /// [`Full`]: nothing was asked.
    pub fn unwatch(&mut self, character: CharacterId) -> Result<RequestId, Full> {
        self.check_room_for_request()?;
        let lane = self.lane(character);
        lane.watched = false;
        let user = lane.user;
        Ok(self.request(|id| ClientFrame::Unwatch(Unwatch { id, character, user })))
    }

    /// Asks for the present state of a character.
    ///
    /// # Errors
    ///
    /// [`Full`]: nothing was asked.
    pub fn fetch(&mut self, character: CharacterId) -> Result<RequestId, Full> {
        self.check_room_for_request()?;
        Ok(self.fetch_unbounded(character))
    }

    /// Goes on with a newer token of the same session. Forgotten when the connection ends, as the next one begins with it.
    ///
    /// # Errors
    ///
    /// [`Full`]: nothing was asked.
    pub fn refresh(&mut self, token: String) -> Result<RequestId, Full> {
        self.check_room_for_request()?;
        Ok(self.request(|id| ClientFrame::Refresh(Refresh { id, token })))
    }

    /// The newest state shown of a character.
    pub fn state(&self, character: CharacterId) -> Option<&Arc<C>> {
        self.lanes.get(&character)?.shown.as_ref()
    }

    /// Intents that are kept: neither covered, nor refused, nor rejected.
    pub fn kept(&self) -> usize {
        self.kept
    }

    /// Intents sent on the present connection whose answer has not come.
    pub fn unanswered(&self) -> usize {
        self.unanswered.len()
    }

    /// The next thing that happened, oldest first.
    pub fn next_event(&mut self) -> Option<Event<C>> {
        self.events.pop_front()
    }

    /// The next frame to send now, if there is any and the server lets more be unanswered.
    pub fn next_frame(&mut self, now: Instant) -> Option<ClientFrame> {
        let in_flight_max = self.in_flight_max?;
        let due = |request: &&mut Request| !request.sent && request.not_before.is_none_or(|time| time <= now);
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

    /// When [`Ledger::next_frame`] may have something to send that it does not have now, if nothing arrives before.
    pub fn wakeup(&self) -> Option<Instant> {
        self.in_flight_max?;
        let held = self.holding.iter().filter_map(|character| self.lanes.get(character)?.release_time());
        let later = self.requests.values().filter(|request| !request.sent).filter_map(|request| request.not_before);
        held.chain(later).min()
    }

    /// The connection has ended: forgets every version that it was told, and queues what is kept for the next one.
    ///
    /// From here on nothing that still arrives from the old connection may be handed in.
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

    fn lane(&mut self, character: CharacterId) -> &mut Lane<C> {
        self.lanes.entry(character).or_default()
    }

    fn check_room_for_request(&self) -> Result<(), Full> {
        if self.requests.len() < self.kept_max { Ok(()) } else { Err(Full) }
    }

    fn request(&mut self, frame: impl FnOnce(RequestId) -> ClientFrame) -> RequestId {
        let id = self.take_id();
        self.requests.insert(id, Request { frame: frame(id), sent: false, not_before: None });
        id
    }

    /// At most one for each character that waits for its first state.
    fn fetch_unbounded(&mut self, character: CharacterId) -> RequestId {
        let user = self.lane(character).user;
        self.request(|id| ClientFrame::Fetch(Fetch { id, character, user }))
    }

    /// At most one for each character that is watched.
    fn watch_unbounded(&mut self, character: CharacterId) -> RequestId {
        let user = self.lane(character).user;
        self.request(|id| ClientFrame::Watch(Watch { id, character, user }))
    }

    /// Makes waiting intents on the end of the chain or on the state shown, once and for all, and queues them.
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

    /// Queues what has waited long enough, once all earlier answers of its character are in.
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
