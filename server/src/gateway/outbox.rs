//! The box that a connection shares with its hub. It holds frames for the client, and limits how much the client sends.

use std::task::Waker;

use castellan_protocol::limits::IN_FLIGHT_MAX;
use parking_lot::Mutex;

/// Most frames of a client without an answer. More are not read.
///
/// Twice as many as intents in flight, so that a node can refuse those that are too many.
const UNANSWERED_MAX: usize = 2 * IN_FLIGHT_MAX;

/// Most bytes of a client's frames that are kept, before its frames are not read any more.
const KEPT_BYTES_MAX: usize = 64 * 1_024;

/// Most bytes that wait for a client, before nodes hear that it is slow.
const WAITING_BYTES_MAX: usize = 64 * 1_024;

/// Bytes of the length before each frame in the box.
const LENGTH_BYTES: usize = 4;

/// The outbox of one connection.
#[derive(Debug, Default)]
pub(super) struct Outbox(Mutex<Slots>);

/// Whether the connection stays in this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Stay {
    /// It does.
    #[default]
    Stays,
    /// Another process will go on with it: its frames are not read any more.
    Parts,
    /// Another process goes on with it now.
    MovesOn,
}

#[derive(Debug, Default)]
struct Slots {
    /// Frames for the client, each after its length. Has no memory when all are taken.
    frames: Vec<u8>,
    /// Bytes that the connection has taken and not yet sent.
    taken_bytes: usize,
    /// Frames of the client that have no answer yet.
    unanswered: usize,
    /// Bytes of them that are kept.
    kept_bytes: usize,
    /// The link that it uses has too much to send.
    is_link_full: bool,
    /// The client got its welcome.
    is_welcomed: bool,
    /// The nodes know that the client is slow.
    is_slow: bool,
    stay: Stay,
    waker: Option<Waker>,
}

impl Slots {
    fn may_read(&self) -> bool {
        self.is_welcomed
            && self.unanswered < UNANSWERED_MAX
            && self.kept_bytes <= KEPT_BYTES_MAX
            && !self.is_link_full
            && self.stay == Stay::Stays
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Wakes the connection if it may read and could not before.
    fn change(&mut self, change: impl FnOnce(&mut Self)) {
        let could = self.may_read();
        change(self);
        if !could && self.may_read() {
            self.wake();
        }
    }
}

impl Outbox {
    /// A frame for the client. Returns true if its nodes must hear that it is slow.
    pub(super) fn push(&self, frame: &[u8]) -> bool {
        let mut slots = self.0.lock();
        let length = u32::try_from(frame.len()).expect("a link's messages are shorter");
        slots.frames.extend_from_slice(&length.to_le_bytes());
        slots.frames.extend_from_slice(frame);
        slots.wake();
        let waiting_bytes = slots.frames.len() + slots.taken_bytes;
        waiting_bytes > WAITING_BYTES_MAX && !std::mem::replace(&mut slots.is_slow, true)
    }

    /// The welcome was passed on: frames may be read.
    pub(super) fn welcomed(&self) {
        self.0.lock().change(|slots| slots.is_welcomed = true);
    }

    /// A frame of this length waits for its answer, and is kept until it is sent.
    pub(super) fn asked(&self, bytes: usize) {
        let mut slots = self.0.lock();
        slots.unanswered += 1;
        slots.kept_bytes += bytes;
    }

    /// A frame was answered.
    pub(super) fn answered(&self) {
        self.0.lock().change(|slots| slots.unanswered = slots.unanswered.saturating_sub(1));
    }

    /// True if no frame of the client waits for its answer.
    pub(super) fn has_all_answers(&self) -> bool {
        self.0.lock().unanswered == 0
    }

    /// A frame of this length came back, and is kept.
    pub(super) fn came_back(&self, bytes: usize) {
        self.0.lock().kept_bytes += bytes;
    }

    /// A frame of this length is not kept any more.
    pub(super) fn let_go(&self, bytes: usize) {
        self.0.lock().change(|slots| slots.kept_bytes = slots.kept_bytes.saturating_sub(bytes));
    }

    /// Notes if the link that it uses has too much to send.
    pub(super) fn link_is_full(&self, is_full: bool) {
        self.0.lock().change(|slots| slots.is_link_full = is_full);
    }

    /// True if the nodes know that the client is slow.
    pub(super) fn is_slow(&self) -> bool {
        self.0.lock().is_slow
    }

    /// True if frames of the client may be read.
    pub(super) fn may_read(&self) -> bool {
        self.0.lock().may_read()
    }

    /// Whether the connection stays in this process.
    pub(super) fn set_stay(&self, stay: Stay) {
        let mut slots = self.0.lock();
        slots.stay = stay;
        slots.wake();
    }

    /// Registers the connection's task.
    pub(super) fn listen(&self, waker: &Waker) -> Listened {
        let mut slots = self.0.lock();
        if !slots.waker.as_ref().is_some_and(|known| known.will_wake(waker)) {
            slots.waker = Some(waker.clone());
        }
        Listened {
            has_mail: !slots.frames.is_empty(),
            may_read: slots.may_read(),
            moves_on: slots.stay == Stay::MovesOn,
        }
    }

    /// Takes all frames for the client.
    pub(super) fn take(&self) -> Vec<u8> {
        let mut slots = self.0.lock();
        let frames = std::mem::take(&mut slots.frames);
        slots.taken_bytes = frames.len();
        frames
    }

    /// Everything taken was sent. Returns true if the nodes must hear that the client is slow no more.
    pub(super) fn sent(&self) -> bool {
        let mut slots = self.0.lock();
        slots.taken_bytes = 0;
        slots.frames.is_empty() && std::mem::take(&mut slots.is_slow)
    }
}

/// What a connection's task finds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Listened {
    /// There are frames for the client.
    pub(super) has_mail: bool,
    /// Frames of the client may be read.
    pub(super) may_read: bool,
    /// Another process goes on with the connection.
    pub(super) moves_on: bool,
}

/// The frames of a box, as they were pushed.
pub(super) fn frames(mut taken: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (length, rest) = taken.split_first_chunk::<LENGTH_BYTES>()?;
        let (frame, rest) = rest.split_at(u32::from_le_bytes(*length) as usize);
        taken = rest;
        Some(frame)
    })
}
