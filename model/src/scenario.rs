//! How much may happen in one search.

use crate::history::INTENTS_MAX;

/// How a client says what its intents were made on, and what it waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// `after`: a game over a socket, which sends one intent behind the other and all again when it comes back.
    Chained,
    /// The same with `ack: "durable"`: the answer follows the commit.
    ChainedDurable,
    /// `expect`: asks, waits, and never sends again.
    Asking,
}

/// What may go wrong, each at most so often in one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Faults {
    /// `kill -9` of a server.
    pub kills: u8,
    /// Takeovers from a server that is alive: it stays behind as a zombie.
    pub zombies: u8,
    /// Connections that break.
    pub cuts: u8,
    /// Commits whose answer is lost, done or not.
    pub lost_answers: u8,
    /// Clean stops.
    pub stops: u8,
    /// Evictions.
    pub evictions: u8,
    /// Runs out of `durable_timeout`.
    pub timeouts: u8,
}

/// The bounds of one search.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scenario {
    /// How many intents each client makes; 0 for one that is not there.
    pub intents: [usize; 2],
    /// How each client makes them.
    pub styles: [Style; 2],
    /// Request ids kept: 64 in the service.
    pub ring: usize,
    /// How far a version jumps: 2^20 in the service.
    pub jump: u8,
    /// Intents of the character that may be unflushed: below the jump.
    pub unflushed_max: u8,
    /// Unanswered intents of a client: 64 in the service.
    pub in_flight_max: usize,
    /// What may go wrong.
    pub faults: Faults,
}

impl Scenario {
    /// Versions that a run can reach at most.
    ///
    /// Every takeover jumps once, and every intent counts once in each memory that applies it.
    pub const fn versions_max(&self) -> usize {
        let takeovers = (self.faults.kills + self.faults.zombies) as usize;
        1 + takeovers * self.jump as usize + self.intents[0] + self.intents[1]
    }

    /// What every search relies on.
    pub const fn check(&self) {
        assert!(self.unflushed_max < self.jump, "a jump must pass every version that a crash can lose");
        assert!(self.intents[0] <= INTENTS_MAX && self.intents[1] <= INTENTS_MAX, "ids fit four bits");
        assert!(self.ring > 0 && self.in_flight_max > 0);
    }
}
