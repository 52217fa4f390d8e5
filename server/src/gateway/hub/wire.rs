//! A link as the hub sees it: messages to send, and how far it is.

use std::task::Waker;

use crate::link::{LinkId, Message, SocketId};
use crate::telemetry::{self, LinkPhase};

/// Most unsent bytes of a link. One more ends it: its node does not read.
pub(super) const UNSENT_BYTES_MAX: usize = 8 * 1_024 * 1_024;

/// Unsent bytes of a link at which the sockets that use it are not read any more, until it has sent everything.
const FULL_BYTES: usize = 256 * 1_024;

/// The phase of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// The process is not known. The read of the owners with this number tells.
    Unknown(u64),
    /// It is being opened.
    Opening,
    /// Messages travel.
    Open,
}

/// A link to a process.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) id: LinkId,
    phase: Phase,
    /// Messages that its task has not taken.
    output: Vec<u8>,
    /// Bytes that its task has taken and not sent.
    taken_bytes: usize,
    /// Its task, if that waits.
    waker: Option<Waker>,
    /// Sockets that are not read until everything is sent.
    paused: Vec<SocketId>,
}

impl Link {
    pub(super) fn new(id: LinkId, phase: Phase) -> Self {
        telemetry::gateway_link_begins(phase.shown());
        Self { id, phase, output: Vec::new(), taken_bytes: 0, waker: None, paused: Vec::new() }
    }

    pub(super) fn phase(&self) -> Phase {
        self.phase
    }

    pub(super) fn set_phase(&mut self, phase: Phase) {
        telemetry::gateway_link_ends(self.phase.shown());
        telemetry::gateway_link_begins(phase.shown());
        self.phase = phase;
    }

    /// Sends a message with all others of this turn of the thread.
    pub(super) fn put(&mut self, message: &Message<'_>) {
        message.write(&mut self.output);
        // The task runs after all that are ready now. What those put goes out in the same write.
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Notes a socket that has sent something. Returns true if it must pause.
    pub(super) fn pauses(&mut self, socket: SocketId) -> bool {
        let is_full = self.output.len() + self.taken_bytes > FULL_BYTES;
        if is_full && self.paused.last() != Some(&socket) {
            self.paused.push(socket);
        }
        is_full
    }

    /// Moves the messages to the link's task, which still has `unsent_bytes` of earlier ones. Returns false if those are
    /// too many.
    pub(super) fn take(&mut self, output: &mut Vec<u8>, unsent_bytes: usize) -> bool {
        self.taken_bytes = unsent_bytes + self.output.len();
        output.append(&mut self.output);
        self.taken_bytes <= UNSENT_BYTES_MAX
    }

    /// The task has sent what it could and waits, unless there is more: then `None`. Returns the sockets that may go on.
    pub(super) fn rests(&mut self, unsent_bytes: usize, waker: &Waker) -> Option<Vec<SocketId>> {
        self.taken_bytes = unsent_bytes;
        if !self.output.is_empty() {
            return None;
        }
        self.waker = Some(waker.clone());
        Some(if unsent_bytes == 0 { self.take_paused() } else { Vec::new() })
    }

    /// The sockets that are not read until everything is sent.
    pub(super) fn take_paused(&mut self) -> Vec<SocketId> {
        std::mem::take(&mut self.paused)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        telemetry::gateway_link_ends(self.phase.shown());
    }
}

impl Phase {
    fn shown(self) -> LinkPhase {
        match self {
            Self::Unknown(_) | Self::Opening => LinkPhase::Opening,
            Self::Open => LinkPhase::Open,
        }
    }
}
