//! A gateway's routing of one shard: where the frames of its sockets go, and what happens to them while nobody serves
//! the shard.
//!
//! ```text
//!            open           lease read              attached
//!   Idle ──────────▶ Asking ───────────▶ Attaching ───────────▶ Attached ◀── frames go to the node
//!                      ▲  ▲                │   ▲                    │
//!                      │  └── not mine, ───┘   │                    │ leaving: a marker goes out
//!                      │      link broken      │                    ▼
//!                      │                       └──── moved ────── Held ◀── frames are kept, or handed back
//!                      └───────────────────────────────────────────┘ resume: attach to the same node again
//!                         not mine, link broken, too late: sockets that the node told something are closed
//! ```
//!
//! A gateway that will be replaced *parts* from its nodes: attached → parting → idle. A socket of an idle routing was told
//! nothing that only a node's memory has, so another process may go on with it.
//!
//! A [`Routing`] belongs to one thread of the gateway, and has one link to each node. The words on a link arrive in the
//! order in which they were said. Inputs and the time go in, [`Effect`]s come out.

use std::collections::BTreeMap;
use std::mem;
use std::time::Duration;

use crate::lease::Lease;
use crate::word::Word;

/// How long frames are kept while nobody serves their shard. Then their sockets are closed with 4401.
pub const KEEP: Duration = Duration::from_secs(1);

/// How long frames are kept while a node that can be heard hands their shard over. A move takes a fraction of a second,
/// but the database decides when the transfer is done, and it may be slow.
pub const KEEP_HELD: Duration = Duration::from_secs(5);

/// Work for the shell, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect<P, S, F> {
    /// Read the shard's lease, and tell it with [`Routing::lease`]. Read again from time to time while it is asked for.
    ReadLease,
    /// Ask a process to serve the shard. Connect to it first if there is no link.
    Attach {
        /// The process.
        to: P,
        /// The number of the attachment.
        number: u64,
        /// The epoch under which the process owns the shard.
        epoch: u64,
    },
    /// Send a frame.
    Frame {
        /// The process.
        to: P,
        /// The attachment.
        number: u64,
        /// The socket that the frame came from.
        socket: S,
        /// The frame.
        frame: F,
    },
    /// Say that no more frames follow under this attachment.
    Marker {
        /// The process.
        to: P,
        /// The attachment.
        number: u64,
    },
    /// Say that the gateway parts: the node answers everything, stores everything that it has told, and says `parted`.
    Part {
        /// The process.
        to: P,
        /// The attachment.
        number: u64,
    },
    /// Close a socket with 4401. Its frames are dropped, and it is forgotten.
    Close(S),
}

/// Where the frames of a shard go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State<P> {
    /// No socket needs the shard, or the gateway has parted from its owner.
    Idle,
    /// The owner is being looked up.
    Asking,
    /// A process was asked to serve the shard.
    Attaching(P),
    /// The process serves the shard.
    Attached(P),
    /// The process is about to hand the shard over.
    Held(P),
    /// The gateway parts from the process, and sends it nothing more.
    Parting(P),
}

impl<P: Copy> State<P> {
    /// The process at the other end.
    pub fn process(self) -> Option<P> {
        match self {
            Self::Idle | Self::Asking => None,
            Self::Attaching(process) | Self::Attached(process) | Self::Held(process) | Self::Parting(process) => {
                Some(process)
            }
        }
    }
}

/// A socket of the shard.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Socket<F> {
    /// The epoch of the process that may have told it something that only its memory has.
    told: Option<u64>,
    /// Frames that came back, oldest first. They are older than those that were kept.
    handed_back: Vec<F>,
    /// Frames that were never sent, oldest first. The limit of frames in flight bounds both.
    kept: Vec<F>,
}

/// The routing of one shard.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Routing<P, S, F> {
    state: State<P>,
    /// The number of the last attachment.
    number: u64,
    /// The newest epoch heard of. Older leases are stale reads.
    epoch: u64,
    sockets: BTreeMap<S, Socket<F>>,
    /// When the frames have been kept for too long.
    deadline: Option<Duration>,
}

impl<P, S, F> Default for Routing<P, S, F> {
    fn default() -> Self {
        Self { state: State::Idle, number: 0, epoch: 0, sockets: BTreeMap::new(), deadline: None }
    }
}

impl<P: Copy + Eq, S: Copy + Ord, F> Routing<P, S, F> {
    /// The state.
    pub fn state(&self) -> State<P> {
        self.state
    }

    /// The newest epoch heard of.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The number of the last attachment.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// How many frames wait here.
    pub fn waiting(&self) -> usize {
        self.sockets.values().map(|socket| socket.handed_back.len() + socket.kept.len()).sum()
    }

    /// Returns true if an answer or a notice under this attachment may be passed on.
    pub fn passes(&self, number: u64) -> bool {
        number == self.number && matches!(self.state, State::Attached(_) | State::Held(_) | State::Parting(_))
    }

    /// A socket needs the shard.
    pub fn open(&mut self, socket: S, now: Duration, effects: &mut Vec<Effect<P, S, F>>) {
        self.sockets.insert(socket, Socket { told: None, handed_back: Vec::new(), kept: Vec::new() });
        if matches!(self.state, State::Idle) {
            self.ask(now, effects);
        }
    }

    /// A socket's client has left.
    pub fn close(&mut self, socket: S) {
        self.sockets.remove(&socket);
    }

    /// A socket sent a frame.
    pub fn frame(&mut self, socket: S, frame: F, effects: &mut Vec<Effect<P, S, F>>) {
        let Some(from) = self.sockets.get_mut(&socket) else { return };
        if let State::Attached(to) = self.state {
            from.told = Some(self.epoch);
            effects.push(Effect::Frame { to, number: self.number, socket, frame });
        } else {
            from.kept.push(frame);
        }
    }

    /// The gateway will be replaced: parts from the owner. Call it again after each other input, until it [has
    /// parted](Self::has_parted): a shard that moves does so first.
    pub fn part(&mut self, effects: &mut Vec<Effect<P, S, F>>) {
        match self.state {
            State::Attached(to) => {
                self.state = State::Parting(to);
                effects.push(Effect::Part { to, number: self.number });
            }
            State::Asking | State::Attaching(_) if self.sockets.values().all(|socket| socket.told.is_none()) => {
                self.state = State::Idle;
                self.deadline = None;
            }
            _ => {}
        }
    }

    /// Returns true if the sockets depend on no process any more.
    pub fn has_parted(&self) -> bool {
        matches!(self.state, State::Idle)
    }

    /// The gateway is not replaced after all: looks for the owner again. Call it also after each word, because answers are
    /// on their way until the node says `parted`; frames are kept for a limited time until then.
    pub fn stay(&mut self, now: Duration, effects: &mut Vec<Effect<P, S, F>>) {
        match self.state {
            State::Idle => self.ask(now, effects),
            State::Parting(_) => {
                self.deadline.get_or_insert(now + KEEP);
            }
            _ => {}
        }
    }

    /// Takes a socket out, with the frames that wait in the order in which they must be sent. `None` if a process may
    /// have told it something that only its memory has: then it must close.
    pub fn take(&mut self, socket: S) -> Option<Vec<F>> {
        let Socket { told, mut handed_back, kept } = self.sockets.remove(&socket)?;
        handed_back.extend(kept);
        told.is_none().then_some(handed_back)
    }

    /// The node hands back a frame that it did not apply. Unless the gateway parts, it is leaving, even if that word was
    /// lost.
    pub fn handed_back(
        &mut self,
        from: P,
        number: u64,
        socket: S,
        frame: F,
        now: Duration,
        effects: &mut Vec<Effect<P, S, F>>,
    ) {
        if !self.is_present(from, number) {
            return;
        }
        if !matches!(self.state, State::Parting(_)) {
            self.word(from, number, Word::Leaving, now, effects);
        }
        if matches!(self.state, State::Held(_) | State::Parting(_))
            && let Some(from) = self.sockets.get_mut(&socket)
        {
            from.handed_back.push(frame);
        }
    }

    /// A process says a word. Repetitions are ignored, and so are words about an attachment that has ended here.
    ///
    /// Except for `leaving` and `resume`: the process may not know that the attachment has ended, and waits for a
    /// marker, or to be attached to again.
    pub fn word(&mut self, from: P, number: u64, word: Word<P>, now: Duration, effects: &mut Vec<Effect<P, S, F>>) {
        if !self.is_present(from, number) {
            if let Word::Leaving | Word::Resume = word {
                effects.push(Effect::Marker { to: from, number });
            }
            return;
        }
        match (self.state, word) {
            (State::Attaching(to), Word::Attached { epoch }) => self.go_on(to, epoch, effects),
            (State::Attaching(to) | State::Attached(to) | State::Parting(to), Word::Leaving) => {
                self.state = State::Held(to);
                self.deadline.get_or_insert(now + KEEP_HELD);
                effects.push(Effect::Marker { to, number });
            }
            (State::Held(to), Word::Resume) => self.attach(to, effects),
            (State::Held(_), Word::Moved { to, epoch }) => {
                // Everything that the old owner told is stored.
                self.sockets.values_mut().for_each(|socket| socket.told = None);
                self.epoch = self.epoch.max(epoch);
                match to {
                    Some(to) => self.attach(to, effects),
                    None => self.ask(now, effects),
                }
            }
            (State::Parting(_), Word::Parted) => {
                self.sockets.values_mut().for_each(|socket| socket.told = None);
                self.state = State::Idle;
            }
            (State::Attaching(_) | State::Attached(_) | State::Held(_) | State::Parting(_), Word::NotMine) => {
                self.fall_back(now, effects)
            }
            _ => {}
        }
    }

    /// Returns true unless the attachment has ended here.
    fn is_present(&self, process: P, number: u64) -> bool {
        number == self.number && self.state.process() == Some(process)
    }

    /// The lease was read. Only a gateway that asks follows it: a node is left because it said so, or with its sockets.
    pub fn lease(&mut self, lease: Lease<P>, effects: &mut Vec<Effect<P, S, F>>) {
        let Some(owner) = lease.owner else { return };
        if matches!(self.state, State::Asking) && lease.held.epoch >= self.epoch {
            self.epoch = lease.held.epoch;
            self.attach(owner, effects);
        }
    }

    /// The link to a process broke, or could not be opened.
    pub fn link_down(&mut self, process: P, now: Duration, effects: &mut Vec<Effect<P, S, F>>) {
        if self.state.process() == Some(process) {
            self.fall_back(now, effects);
        }
    }

    /// When [`Routing::kept_too_long`] must be called.
    pub fn deadline(&self) -> Option<Duration> {
        self.deadline
    }

    /// The deadline has passed: closes the sockets whose frames were kept, and looks for the owner again.
    pub fn kept_too_long(&mut self, now: Duration, effects: &mut Vec<Effect<P, S, F>>) {
        self.deadline = None;
        self.close_if(|socket| !socket.kept.is_empty() || !socket.handed_back.is_empty(), effects);
        self.fall_back(now, effects);
    }

    /// The process serves: what came back goes first, then what was kept.
    fn go_on(&mut self, to: P, epoch: u64, effects: &mut Vec<Effect<P, S, F>>) {
        // After `resume` the process may have lost the shard, and have got it back without its memory.
        self.close_if(|socket| socket.told.is_some_and(|told| told != epoch), effects);
        self.state = State::Attached(to);
        self.epoch = self.epoch.max(epoch);
        self.deadline = None;
        for (socket, Socket { told, handed_back, kept }) in &mut self.sockets {
            *told = Some(epoch);
            let waiting = mem::take(handed_back).into_iter().chain(mem::take(kept));
            let frame = |frame| Effect::Frame { to, number: self.number, socket: *socket, frame };
            effects.extend(waiting.map(frame));
        }
    }

    /// Attaches to a process. Nothing is sent before it agrees, so nothing is lost if it does not.
    fn attach(&mut self, to: P, effects: &mut Vec<Effect<P, S, F>>) {
        self.number += 1;
        self.state = State::Attaching(to);
        effects.push(Effect::Attach { to, number: self.number, epoch: self.epoch });
    }

    /// The process is gone, or has lost its memory: sockets that it told something must not go on.
    fn fall_back(&mut self, now: Duration, effects: &mut Vec<Effect<P, S, F>>) {
        self.close_if(|socket| socket.told.is_some(), effects);
        self.ask(now, effects);
    }

    fn ask(&mut self, now: Duration, effects: &mut Vec<Effect<P, S, F>>) {
        if self.sockets.is_empty() {
            self.state = State::Idle;
            self.deadline = None;
        } else {
            self.state = State::Asking;
            let latest = now + KEEP;
            self.deadline = Some(self.deadline.map_or(latest, |deadline| deadline.min(latest)));
            effects.push(Effect::ReadLease);
        }
    }

    fn close_if(&mut self, condition: impl Fn(&Socket<F>) -> bool, effects: &mut Vec<Effect<P, S, F>>) {
        let closed = self.sockets.extract_if(.., |_, socket| condition(socket));
        effects.extend(closed.map(|(socket, _)| Effect::Close(socket)));
    }
}

#[cfg(test)]
mod tests;
