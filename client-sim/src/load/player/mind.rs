//! What a player's socket hands frames to, and where what comes of them is counted.

use std::sync::Arc;
use std::time::Instant;

use castellan_client::protocol::{Ack, ClientFrame, ServerFrame};
use parking_lot::Mutex;

use super::super::checker::Contradiction;
use super::super::sheet::Sheet;
use super::super::tally::{Tally, us};

/// Where a player's deeds are counted.
#[derive(Clone)]
pub(in crate::load) struct Score {
    pub(in crate::load) tally: Arc<Mutex<Tally>>,
    pub(in crate::load) username: String,
}

impl Score {
    /// Notes something that cannot be.
    pub(super) fn contradict(&self, contradiction: &Contradiction) {
        self.tally.lock().contradict(&self.username, contradiction);
    }

    /// Counts an answer; its latency runs from `due`, whenever the intent was sent.
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

/// Decides what is sent and judges what comes. Knows no socket.
pub(in crate::load) trait Mind: Send + 'static {
    /// A connection is open.
    fn connected(&mut self, now: Instant);
    /// It has ended.
    fn disconnected(&mut self);
    /// Takes up what has fallen due; `start` is when the load begins, once that is known.
    fn take_up(&mut self, start: Option<Instant>, now: Instant);
    /// The next frame to send now.
    fn next_frame(&mut self, now: Instant) -> Option<ClientFrame>;
    /// When there may be a frame to send that there is not now, if nothing arrives before.
    fn wakeup(&self) -> Option<Instant>;
    /// Takes in a frame.
    fn receive(&mut self, frame: ServerFrame<Sheet>, now: Instant);
    /// Has its character, and may begin.
    fn is_ready(&self) -> bool;
    /// Everything has ended and was checked.
    fn is_done(&self) -> bool;
    /// Intents that have not ended.
    fn without_an_end(&self) -> usize;
}
