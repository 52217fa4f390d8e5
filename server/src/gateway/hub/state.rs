//! The state of a hub, and its inputs: from connections, from links, from reads of the owners, and from the clock.
//!
//! Nothing here waits. Links to open are left in [`State::take_dials`] for the caller.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use castellan_cluster::gateway::{Effect, State as Stage};
use castellan_protocol::{CharacterId, UserId};
use foldhash::fast::RandomState;
use tokio::time::Instant;
use uuid::Uuid;

use super::shard::{Routed, Shard, Travelling};
use super::sockets::{Client, Connected, Kind, Leaving, Leg, Socket};
use super::wire::{Link, Phase};
use crate::gateway::owners::{NodeAddress, Owners, Snapshot};
use crate::link::{Address, LinkId, Message, Said, SocketId};
use crate::planted::{self, Bug};
use crate::shard::{CloseOrder, shard_of};
use crate::storage::ShardId;
use crate::telemetry;

/// Largest buffer that is kept for the next frame, in bytes.
const SPARE_BYTES_MAX: usize = 4 * 1_024;

pub(super) type Effects = Vec<Effect<Uuid, SocketId, Travelling>>;

/// The state of a hub.
pub(super) struct State {
    pub(super) shards: Vec<Shard>,
    /// Nodes choose their ids at random, so a fast hash is safe.
    pub(super) links: HashMap<Uuid, Link, RandomState>,
    /// They are numbered here, so a fast hash is safe.
    pub(super) sockets: HashMap<SocketId, Socket, RandomState>,
    owners: Owners,
    snapshot: Arc<Snapshot>,
    /// Registered processes to which no link could be opened.
    unreachable: HashSet<Uuid>,
    /// The ids of sockets and links; none is used again.
    next_id: u64,
    began_at: Instant,
    dials: Vec<(LinkId, NodeAddress)>,
    /// Without effects; kept for its memory.
    effects: Effects,
    /// The buffer of the last frame.
    spare: Vec<u8>,
    /// The number of frames held, as the metric knows it.
    held: usize,
    /// Present while the gateway is replaced.
    pub(super) leaving: Option<Leaving>,
    /// A routing may have a deadline: [`State::tick`] must be called soon.
    pub(super) is_busy: bool,
}

impl State {
    pub(super) fn new(owners: Owners) -> Self {
        Self {
            shards: ShardId::all().map(|_| Shard::default()).collect(),
            links: HashMap::default(),
            sockets: HashMap::default(),
            owners,
            snapshot: Arc::default(),
            unreachable: HashSet::new(),
            next_id: 0,
            began_at: Instant::now(),
            dials: Vec::new(),
            effects: Vec::new(),
            spare: Vec::new(),
            held: 0,
            leaving: None,
            is_busy: false,
        }
    }

    /// True if [`State::tick`] must be called soon.
    pub(super) fn is_busy(&self) -> bool {
        self.is_busy
    }

    /// The links that must be opened.
    pub(super) fn take_dials(&mut self) -> Vec<(LinkId, NodeAddress)> {
        std::mem::take(&mut self.dials)
    }

    /// A client's connection begins: asks for its welcome.
    pub(super) fn open(&mut self, client: Client) -> SocketId {
        let connected = Connected { client, is_new: true, watched: Default::default() };
        let home = connected.home();
        let id = self.add(Kind::Client(Box::new(connected)));
        self.shard(home).eager.insert(id);
        self.open_leg(id, home);
        self.send(id, home, Travelling::Hello);
        id
    }

    /// A request begins.
    pub(super) fn request(
        &mut self,
        shard: ShardId,
        request: Vec<u8>,
        reply: tokio::sync::oneshot::Sender<Vec<u8>>,
    ) -> SocketId {
        let id = self.add(Kind::Request(reply));
        self.open_leg(id, shard);
        self.send(id, shard, Travelling::Request(request));
        id
    }

    /// A client sent a frame about a shard.
    pub(super) fn frame(&mut self, id: SocketId, shard: ShardId, payload: &[u8], traceparent: Option<&str>) {
        let Some(socket) = self.sockets.get_mut(&id) else { return };
        let is_known = socket.leg(shard).is_some();
        let Some(connected) = socket.connected() else { return };
        connected.client.outbox.asked(payload.len());
        if !is_known {
            self.open_leg(id, shard);
        }
        let mut frame = std::mem::take(&mut self.spare);
        frame.clear();
        frame.extend_from_slice(payload);
        self.send(id, shard, Travelling::Frame(frame, traceparent.map(Box::from)));
    }

    /// A client watches a character. Call it before its frame.
    pub(super) fn watch(&mut self, id: SocketId, character: CharacterId, owner: UserId) {
        let Some(connected) = self.sockets.get_mut(&id).and_then(Socket::connected) else { return };
        let watched = &mut connected.watched;
        if watched.len() < connected.client.watch_max || watched.contains_key(&character) {
            watched.insert(character, owner);
            self.shard(shard_of(owner)).eager.insert(id);
        }
    }

    /// A client watches a character no more. Returns its owner, if it did.
    pub(super) fn unwatch(&mut self, id: SocketId, character: CharacterId) -> Option<UserId> {
        let connected = self.sockets.get_mut(&id)?.connected()?;
        let owner = connected.watched.remove(&character)?;
        self.forget_eager(id, shard_of(owner));
        Some(owner)
    }

    /// A client's session has a newer token.
    pub(super) fn refreshed(&mut self, id: SocketId, expires_at_ms: i64) {
        if let Some(connected) = self.sockets.get_mut(&id).and_then(Socket::connected) {
            connected.client.session.expires_at_ms = expires_at_ms;
        }
    }

    /// A client has read everything.
    pub(super) fn caught_up(&mut self, id: SocketId) {
        self.say_slow(id, false);
    }

    /// A socket ends: its nodes hear that it is gone.
    pub(super) fn close(&mut self, id: SocketId) {
        let Some(socket) = self.sockets.remove(&id) else { return };
        for leg in socket.legs {
            let shard = self.shard(leg.shard);
            shard.routing.close(id);
            shard.eager.remove(&id);
            // Also while the shard leaves: if it stays, the node still knows the socket.
            if let Some(to) = shard.routing.state().process()
                && leg.introduced != 0
            {
                let number = shard.routing.number();
                self.say(to, leg.shard, number, id, Said::Gone);
            }
        }
    }

    /// The owners were read.
    pub(super) fn offer(&mut self, snapshot: &Arc<Snapshot>) {
        self.snapshot = Arc::clone(snapshot);
        self.unreachable.retain(|process| snapshot.node(*process).is_some());
        let mut lost = Vec::new();
        for (process, link) in &mut self.links {
            if matches!(link.phase(), Phase::Unknown(asked) if snapshot.read() >= asked) {
                match snapshot.node(*process) {
                    Some(node) => {
                        link.set_phase(Phase::Opening);
                        self.dials.push((link.id, node.clone()));
                    }
                    None => lost.push((*process, link.id)),
                }
            }
        }
        for (process, id) in lost {
            self.link_ended(process, id);
        }
        for shard in ShardId::all() {
            let this = self.shard(shard);
            if matches!(this.routing.state(), Stage::Asking)
                && snapshot.read() >= this.asked
                && let Some(lease) = snapshot.lease(shard)
            {
                self.drive(shard, |routing, _, effects| routing.lease(lease, effects));
            }
        }
    }

    /// Looks at the deadlines.
    pub(super) fn tick(&mut self) {
        let now = self.now();
        let (mut is_asking, mut held, mut is_busy) = (false, 0, false);
        for shard in ShardId::all() {
            if self.shard(shard).routing.deadline().is_some_and(|deadline| deadline <= now) {
                self.drive(shard, |routing, now, effects| routing.kept_too_long(now, effects));
            }
            let routing = &self.shard(shard).routing;
            if routing.deadline().is_some() {
                is_busy = true;
                is_asking |= matches!(routing.state(), Stage::Asking);
                held += routing.waiting();
            }
        }
        if is_asking {
            self.owners.ask();
        }
        telemetry::gateway_frames_held(std::mem::replace(&mut self.held, held), held);
        self.is_busy = is_busy;
    }

    /// A link was opened. Returns false if it is not wanted any more.
    pub(super) fn link_opened(&mut self, process: Uuid, id: LinkId) -> bool {
        self.unreachable.remove(&process);
        let Some(link) = self.links.get_mut(&process).filter(|link| link.id == id) else { return false };
        link.set_phase(Phase::Open);
        true
    }

    /// Notes that a link could not be opened. Returns true if that is news: it is tried again many times a second.
    pub(super) fn is_unreachable(&mut self, process: Uuid) -> bool {
        self.unreachable.insert(process)
    }

    /// A link is broken, or could not be opened.
    pub(super) fn link_ended(&mut self, process: Uuid, id: LinkId) {
        if self.links.get(&process).is_none_or(|link| link.id != id) {
            return;
        }
        let link = self.links.remove(&process);
        self.go_on(link.map(|mut link| link.take_paused()).unwrap_or_default());
        telemetry::gateway_link_broken();
        for shard in ShardId::all() {
            self.drive(shard, |routing, now, effects| routing.link_down(process, now, effects));
        }
    }

    /// A link's task takes what must be sent, and still has `unsent_bytes` of earlier messages. Returns false if the link
    /// must end.
    pub(super) fn link_takes(&mut self, process: Uuid, id: LinkId, output: &mut Vec<u8>, unsent_bytes: usize) -> bool {
        let link = self.links.get_mut(&process).filter(|link| link.id == id);
        link.is_some_and(|link| link.take(output, unsent_bytes))
    }

    /// A link's task has sent what it could, and waits. Returns false if there is more.
    pub(super) fn link_rests(&mut self, process: Uuid, id: LinkId, unsent_bytes: usize, waker: &Waker) -> bool {
        let Some(link) = self.links.get_mut(&process).filter(|link| link.id == id) else { return false };
        let Some(go_on) = link.rests(unsent_bytes, waker) else { return false };
        self.go_on(go_on);
        true
    }

    /// These sockets are read again.
    fn go_on(&mut self, sockets: Vec<SocketId>) {
        for id in sockets {
            if let Some(connected) = self.sockets.get_mut(&id).and_then(Socket::connected) {
                connected.client.outbox.link_is_full(false);
            }
        }
    }

    pub(super) fn shard(&mut self, shard: ShardId) -> &mut Shard {
        &mut self.shards[usize::from(shard.number())]
    }

    /// Gives a routing an input, and performs the effects.
    pub(super) fn drive(&mut self, shard: ShardId, input: impl FnOnce(&mut Routed, Duration, &mut Effects)) {
        let mut effects = std::mem::take(&mut self.effects);
        let now = self.now();
        let this = self.shard(shard);
        let before = this.routing.state();
        input(&mut this.routing, now, &mut effects);
        this.note_served();
        let closed = effects.iter().filter(|effect| matches!(effect, Effect::Close(_))).count();
        if closed > 0 {
            let now = this.routing.state();
            tracing::debug!(%shard, closed, ?before, ?now, "sockets of a shard are closed, because no node can go on with them");
        }
        for effect in effects.drain(..) {
            self.perform(shard, effect);
        }
        self.effects = effects;
        self.note_held(shard);
    }

    /// A socket sends something.
    fn send(&mut self, id: SocketId, shard: ShardId, travelling: Travelling) {
        let mut effects = std::mem::take(&mut self.effects);
        self.shard(shard).routing.frame(id, travelling, &mut effects);
        let is_kept = effects.is_empty();
        for effect in effects.drain(..) {
            self.perform(shard, effect);
        }
        self.effects = effects;
        if is_kept {
            self.shard(shard).held_since.get_or_insert_with(Instant::now);
        }
    }

    fn perform(&mut self, shard: ShardId, effect: Effect<Uuid, SocketId, Travelling>) {
        match effect {
            // With these two effects a deadline begins.
            Effect::ReadLease => {
                self.is_busy = true;
                let asked = self.owners.ask();
                self.shard(shard).asked = asked;
            }
            Effect::Attach { to, number, epoch } => {
                if !self.links.contains_key(&to) {
                    let link = self.new_link(to);
                    self.links.insert(to, link);
                }
                self.say(to, shard, number, 0, Said::Attach(epoch));
            }
            Effect::Frame { to, number, socket, frame } => self.perform_frame(to, shard, number, socket, frame),
            Effect::Marker { to, number } => {
                self.is_busy = true;
                self.say(to, shard, number, 0, Said::Marker);
            }
            Effect::Part { to, number } => self.say(to, shard, number, 0, Said::Part),
            Effect::Close(socket) if planted::is(Bug::OnlyTheUnansweredClosed) && self.has_all_answers(socket) => {
                self.drive(shard, |routing, now, effects| routing.open(socket, now, effects));
            }
            Effect::Close(socket) => {
                let wait = self.shards[usize::from(shard.number())].wait(self.sockets.len());
                self.close_by_order(socket, CloseOrder { wait, ..CloseOrder::SHARD_MOVED });
            }
        }
    }

    fn has_all_answers(&mut self, socket: SocketId) -> bool {
        let connected = self.sockets.get_mut(&socket).and_then(Socket::connected);
        connected.is_some_and(|connected| connected.client.outbox.has_all_answers())
    }

    fn perform_frame(&mut self, to: Uuid, shard: ShardId, number: u64, id: SocketId, travelling: Travelling) {
        match travelling {
            Travelling::Hello => self.introduce(id, shard),
            Travelling::Request(request) => {
                if let Some(leg) = self.sockets.get_mut(&id).and_then(|socket| socket.leg(shard)) {
                    leg.introduced = number;
                }
                self.say(to, shard, number, id, Said::Request(&request));
            }
            Travelling::Frame(frame, traceparent) => {
                self.introduce(id, shard);
                let reads_traces = traceparent.is_some() && self.snapshot.reads_traces(to);
                let said = match traceparent.as_deref() {
                    Some(traceparent) if reads_traces => Said::TracedFrame(traceparent, &frame),
                    _ => Said::Frame(&frame),
                };
                self.say(to, shard, number, id, said);
                let is_full = self.links.get_mut(&to).is_some_and(|link| link.pauses(id));
                if let Some(connected) = self.sockets.get_mut(&id).and_then(Socket::connected) {
                    connected.client.outbox.let_go(frame.len());
                    if is_full {
                        connected.client.outbox.link_is_full(true);
                    }
                }
                if frame.capacity() <= SPARE_BYTES_MAX {
                    self.spare = frame;
                }
            }
        }
    }

    /// Introduces a socket under the present attachment, if it was not yet.
    pub(super) fn introduce(&mut self, id: SocketId, shard: ShardId) {
        let routing = &self.shard(shard).routing;
        let (Stage::Attached(to), number) = (routing.state(), routing.number()) else { return };
        let Some(socket) = self.sockets.get_mut(&id) else { return };
        let Some(leg) = socket.leg(shard) else { return };
        if std::mem::replace(&mut leg.introduced, number) == number {
            return;
        }
        let Some(connected) = socket.connected() else { return };
        let hello = Box::new(connected.hello(shard));
        let is_slow = connected.client.outbox.is_slow();
        self.say(to, shard, number, id, Said::Hello(hello));
        if is_slow {
            self.say(to, shard, number, id, Said::Slow(true));
        }
    }

    /// Tells the nodes of a socket whether its client is slow.
    pub(super) fn say_slow(&mut self, id: SocketId, is_slow: bool) {
        let legs = self.sockets.get(&id).map(|socket| socket.legs.clone()).unwrap_or_default();
        for Leg { shard, introduced } in legs {
            let routing = &self.shard(shard).routing;
            if let Stage::Attached(to) = routing.state()
                && routing.number() == introduced
            {
                self.say(to, shard, introduced, id, Said::Slow(is_slow));
            }
        }
    }

    /// Ends a socket that its client did not end.
    pub(super) fn close_by_order(&mut self, id: SocketId, order: CloseOrder) {
        if let Some(socket) = self.sockets.get(&id) {
            socket.order_close(order);
        }
        self.close(id);
    }

    /// Introduces a socket no more before it sends something, unless there is another reason.
    pub(super) fn forget_eager(&mut self, id: SocketId, shard: ShardId) {
        let connected = self.sockets.get_mut(&id).and_then(Socket::connected);
        if !connected.is_some_and(|connected| connected.is_eager(shard)) {
            self.shard(shard).eager.remove(&id);
        }
    }

    fn say(&mut self, to: Uuid, shard: ShardId, number: u64, socket: SocketId, said: Said<'_>) {
        // A routing leaves a process as soon as its link ends, so there is one.
        if let Some(link) = self.links.get_mut(&to) {
            link.put(&Message::new(Address { shard, number, socket }, said));
        }
    }

    fn new_link(&mut self, to: Uuid) -> Link {
        let id = self.new_id();
        match self.snapshot.node(to) {
            Some(node) => {
                self.dials.push((id, node.clone()));
                Link::new(id, Phase::Opening)
            }
            None => Link::new(id, Phase::Unknown(self.owners.ask())),
        }
    }

    pub(super) fn add(&mut self, kind: Kind) -> SocketId {
        let id = self.new_id();
        self.sockets.insert(id, Socket::new(kind));
        id
    }

    pub(super) fn open_leg(&mut self, id: SocketId, shard: ShardId) {
        if let Some(socket) = self.sockets.get_mut(&id) {
            socket.legs.push(Leg { shard, introduced: 0 });
        }
        self.drive(shard, |routing, now, effects| routing.open(id, now, effects));
    }

    fn new_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    fn now(&self) -> Duration {
        self.began_at.elapsed()
    }

    /// Measures for how long frames of a shard were held.
    fn note_held(&mut self, shard: ShardId) {
        let shard = self.shard(shard);
        if let Some(since) = shard.held_since
            && shard.routing.waiting() == 0
        {
            shard.held_since = None;
            telemetry::gateway_held(since.elapsed());
        }
    }
}

/// The metric forgets what the hub held.
impl Drop for State {
    fn drop(&mut self) {
        telemetry::gateway_frames_held(self.held, 0);
    }
}
