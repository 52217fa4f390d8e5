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
//! A [`Routing`] belongs to one thread of the gateway, and has one link to each node. The words on a link arrive in the
//! order in which they were said. Inputs and the time go in, [`Effect`]s come out.

use std::collections::BTreeMap;
use std::mem;
use std::time::Duration;

use crate::lease::Lease;
use crate::word::Word;

/// How long frames are kept while nobody serves their shard. Then their sockets are closed with 4401.
///
/// Four times the longest pause of a planned move.
pub const KEEP: Duration = Duration::from_secs(1);

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
    /// Close a socket with 4401. Its frames are dropped, and it is forgotten.
    Close(S),
}

/// Where the frames of a shard go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State<P> {
    /// No socket needs the shard.
    Idle,
    /// The owner is being looked up.
    Asking,
    /// A process was asked to serve the shard.
    Attaching(P),
    /// The process serves the shard.
    Attached(P),
    /// The process is about to hand the shard over.
    Held(P),
}

impl<P: Copy> State<P> {
    /// The process at the other end.
    pub fn process(self) -> Option<P> {
        match self {
            Self::Idle | Self::Asking => None,
            Self::Attaching(process) | Self::Attached(process) | Self::Held(process) => Some(process),
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
        number == self.number && matches!(self.state, State::Attached(_) | State::Held(_))
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

    /// The node hands back a frame that it did not apply. So it is leaving, even if that word was lost.
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
        self.word(from, number, Word::Leaving, now, effects);
        if matches!(self.state, State::Held(_))
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
            (State::Attaching(to) | State::Attached(to), Word::Leaving) => {
                self.state = State::Held(to);
                self.deadline.get_or_insert(now + KEEP);
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
            (State::Attaching(_) | State::Attached(_) | State::Held(_), Word::NotMine) => self.fall_back(now, effects),
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
            self.deadline.get_or_insert(now + KEEP);
            effects.push(Effect::ReadLease);
        }
    }

    fn close_if(&mut self, condition: impl Fn(&Socket<F>) -> bool, effects: &mut Vec<Effect<P, S, F>>) {
        let closed = self.sockets.extract_if(.., |_, socket| condition(socket));
        effects.extend(closed.map(|(socket, _)| Effect::Close(socket)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lease::Held;

    const NOW: Duration = Duration::ZERO;

    type Routed = Routing<char, u8, &'static str>;
    type Effects = Vec<Effect<char, u8, &'static str>>;

    fn lease(owner: char, epoch: u64) -> Lease<char> {
        Lease { held: Held { epoch, recoveries: 0 }, owner: Some(owner) }
    }

    fn frame(to: char, number: u64, socket: u8, frame: &'static str) -> Effect<char, u8, &'static str> {
        Effect::Frame { to, number, socket, frame }
    }

    /// Performs one input and returns its effects.
    fn effects(routing: &mut Routed, input: impl FnOnce(&mut Routed, &mut Effects)) -> Effects {
        let mut effects = Vec::new();
        input(routing, &mut effects);
        effects
    }

    /// A routing with the sockets 1 and 2, attached to process `a` under epoch 1. Socket 1 has sent a frame.
    fn attached() -> Routed {
        let mut routing = Routed::default();
        let all = effects(&mut routing, |routing, effects| {
            routing.open(1, NOW, effects);
            routing.open(2, NOW, effects);
            routing.frame(1, "hello", effects);
            routing.lease(lease('a', 1), effects);
            routing.word('a', 1, Word::Attached { epoch: 1 }, NOW, effects);
        });
        let attach = Effect::Attach { to: 'a', number: 1, epoch: 1 };
        assert_eq!(all, [Effect::ReadLease, attach, frame('a', 1, 1, "hello")]);
        routing
    }

    /// The same while the shard leaves: the frame `first` came back, `second` was never sent.
    fn held() -> Routed {
        let mut routing = attached();
        let all = effects(&mut routing, |routing, effects| {
            routing.frame(1, "first", effects);
            routing.word('a', 1, Word::Leaving, NOW, effects);
            routing.frame(1, "second", effects);
            routing.handed_back('a', 1, 1, "first", NOW, effects);
        });
        assert_eq!(all, [frame('a', 1, 1, "first"), Effect::Marker { to: 'a', number: 1 }]);
        routing
    }

    #[test]
    fn frames_that_came_back_go_before_those_that_were_kept() {
        let mut routing = held();
        let all = effects(&mut routing, |routing, effects| {
            routing.word('a', 1, Word::Moved { to: Some('b'), epoch: 2 }, NOW, effects);
            routing.word('b', 2, Word::Attached { epoch: 2 }, NOW, effects);
            routing.frame(1, "third", effects);
        });
        let attach = Effect::Attach { to: 'b', number: 2, epoch: 2 };
        let expected = [attach, frame('b', 2, 1, "first"), frame('b', 2, 1, "second"), frame('b', 2, 1, "third")];
        assert_eq!(all, expected);
        assert_eq!(routing.deadline(), None);
    }

    #[test]
    fn a_shard_that_was_given_up_does_not_keep_the_node_waiting() {
        let mut routing = attached();
        let all = effects(&mut routing, |routing, effects| {
            routing.kept_too_long(KEEP, effects);
            routing.word('a', 1, Word::Leaving, NOW, effects);
            routing.open(3, NOW, effects);
            routing.lease(lease('b', 2), effects);
            routing.word('a', 1, Word::Resume, NOW, effects);
        });
        let marker = Effect::Marker { to: 'a', number: 1 };
        let attach = Effect::Attach { to: 'b', number: 2, epoch: 2 };
        assert_eq!(all, [Effect::Close(1), Effect::Close(2), marker.clone(), Effect::ReadLease, attach, marker]);
    }

    #[test]
    fn a_broken_link_closes_every_socket_that_was_attached_over_it() {
        let mut routing = held();
        let all = effects(&mut routing, |routing, effects| {
            routing.open(3, NOW, effects);
            routing.link_down('b', NOW, effects);
            routing.link_down('a', NOW, effects);
        });
        assert_eq!(all, [Effect::Close(1), Effect::Close(2), Effect::ReadLease], "socket 3 was never attached");
    }

    #[test]
    fn sockets_survive_the_death_of_a_node_that_they_are_moving_to() {
        let mut routing = held();
        let all = effects(&mut routing, |routing, effects| {
            routing.word('a', 1, Word::Moved { to: Some('b'), epoch: 2 }, NOW, effects);
            routing.link_down('b', NOW, effects);
            routing.lease(lease('a', 1), effects);
            routing.lease(lease('c', 3), effects);
            routing.word('c', 3, Word::Attached { epoch: 3 }, NOW, effects);
        });
        let [_, Effect::ReadLease, Effect::Attach { to: 'c', .. }, first, second] = &all[..] else {
            panic!("a lease older than the one that was heard of counts for nothing: {all:?}");
        };
        assert_eq!([first, second], [&frame('c', 3, 1, "first"), &frame('c', 3, 1, "second")]);
    }

    #[test]
    fn sockets_wait_for_the_next_owner_of_a_released_shard() {
        let mut routing = held();
        let all = effects(&mut routing, |routing, effects| {
            routing.word('a', 1, Word::Moved { to: None, epoch: 1 }, NOW, effects);
            routing.lease(Lease { owner: None, ..lease('a', 1) }, effects);
            routing.lease(lease('b', 2), effects);
        });
        assert_eq!(all, [Effect::ReadLease, Effect::Attach { to: 'b', number: 2, epoch: 2 }]);
    }

    #[test]
    fn frames_are_kept_for_a_second() {
        let mut routing = held();
        assert_eq!(routing.deadline(), Some(KEEP));
        let all = effects(&mut routing, |routing, effects| routing.kept_too_long(KEEP, effects));
        assert_eq!(all, [Effect::Close(1), Effect::Close(2)]);
        assert_eq!((routing.state(), routing.waiting()), (State::Idle, 0));
    }

    #[test]
    fn words_about_an_older_attachment_are_ignored() {
        let mut routing = held();
        let all = effects(&mut routing, |routing, effects| {
            routing.word('a', 1, Word::Resume, NOW, effects);
            routing.word('a', 1, Word::Moved { to: Some('b'), epoch: 2 }, NOW, effects);
            routing.word('a', 1, Word::NotMine, NOW, effects);
        });
        assert_eq!(all, [Effect::Attach { to: 'a', number: 2, epoch: 1 }]);
        assert!(!routing.passes(1));
    }

    #[test]
    fn a_node_that_got_its_shard_back_without_its_memory_closes_the_sockets_that_it_told_something() {
        let mut routing = held();
        let all = effects(&mut routing, |routing, effects| {
            routing.word('a', 1, Word::Resume, NOW, effects);
            routing.word('a', 2, Word::Attached { epoch: 3 }, NOW, effects);
        });
        assert_eq!(all[1..], [Effect::Close(1), Effect::Close(2)]);
    }
}
