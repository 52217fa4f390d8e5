//! The interface between a player's socket and its logic, and the player's counts.

use std::sync::Arc;
use std::time::Instant;

use castellan_srd::wire::{Ack, ClientFrame, ServerFrame};
use parking_lot::Mutex;

use super::super::checker::Contradiction;
use super::super::sheet::Sheet;
use super::super::tally::{Tally, us};

/// The counts of a player.
#[derive(Clone)]
pub(in crate::load) struct Score {
    pub(in crate::load) tally: Arc<Mutex<Tally>>,
    pub(in crate::load) username: String,
}

impl Score {
    /// Records a contradiction.
    pub(super) fn contradict(&self, contradiction: &Contradiction) {
        self.tally.lock().contradict(&self.username, contradiction);
    }

    /// Counts an answer. Its latency counts from `due`, not from the time of sending.
    pub(super) fn answered(&self, due: Option<Instant>, ack: Ack, now: Instant, count: impl FnOnce(&mut Tally)) {
        let mut tally = self.tally.lock();
        count(&mut tally);
        let Some(due) = due else { return };
        let latency = us(now.saturating_duration_since(due));
        match ack {
            Ack::Applied => tally.latency.saturating_record(latency),
            Ack::Durable => tally.latency_durable.saturating_record(latency),
        }
    }
}

/// Decides what to send and checks what arrives. Knows no socket.
pub(in crate::load) trait Mind: Send + 'static {
    /// Handles an opened connection.
    fn connected(&mut self, now: Instant);
    /// Handles the end of a connection.
    fn disconnected(&mut self);
    /// Handles due intents. `start` is the start of the load, once known.
    fn take_up(&mut self, start: Option<Instant>, now: Instant);
    /// The next frame to send, if any.
    fn next_frame(&mut self, now: Instant) -> Option<ClientFrame>;
    /// Time at which there may be a new frame, even if nothing arrives before then.
    fn wakeup(&self) -> Option<Instant>;
    /// Handles a received frame.
    fn receive(&mut self, frame: ServerFrame<Sheet>, now: Instant);
    /// Returns true once the player has its character and may start.
    fn is_ready(&self) -> bool;
    /// Returns true once everything has ended and was checked.
    fn is_done(&self) -> bool;
    /// Number of intents without a final answer.
    fn without_an_end(&self) -> usize;
}
