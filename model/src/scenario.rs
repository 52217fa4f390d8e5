//! How much may happen in one search.

use crate::history::INTENTS_MAX;

/// How a client says what its intents were made on, and what it waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// `after`: a game over a socket, which sends one intent behind the other and all again when it comes back.
    Chained,
    /// The same with `ack: "durable"`: the answer follows the commit.
    ChainedDurable,
    /// `expect` with `ack: "durable"`: asks, waits, and never sends again.
    Asking,
    /// The same, on any state (`expect: 0`).
    AskingAny,
}

impl Style {
    /// It says what it was made on by `after`, and sends again.
    pub fn is_chained(self) -> bool {
        matches!(self, Self::Chained | Self::ChainedDurable)
    }
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

/// Bad luck of every kind that a game has to live with, once each.
const STORM: Faults = Faults { kills: 1, zombies: 1, cuts: 1, lost_answers: 1, stops: 0, evictions: 0, timeouts: 0 };

impl Scenario {
    /// Two clients that chain their intents, and everything once.
    pub const TOGETHER: Self = Self {
        intents: [2, 1],
        styles: [Style::Chained; 2],
        ring: 2,
        jump: 4,
        unflushed_max: 2,
        in_flight_max: 2,
        faults: STORM,
    };
    /// The only actor of its character, two crashes, and a stop.
    pub const ALONE: Self = Self { intents: [3, 0], faults: Faults { kills: 2, stops: 1, ..STORM }, ..Self::TOGETHER };
    /// The only actor, which waits for commits that may take too long.
    pub const ALONE_DURABLE: Self = Self {
        intents: [3, 0],
        styles: [Style::ChainedDurable; 2],
        faults: Faults { timeouts: 1, ..STORM },
        ..Self::TOGETHER
    };
    /// The only actor, which sends more than may be unflushed.
    pub const OVERLOADED: Self = Self {
        intents: [4, 0],
        jump: 2,
        unflushed_max: 1,
        in_flight_max: 3,
        faults: Faults { lost_answers: 0, ..STORM },
        ..Self::TOGETHER
    };
    /// Two intents each, and a crash: enough to push the other's ids out of the ring.
    pub const PAIR_KILLED: Self =
        Self { intents: [2, 2], faults: Faults { zombies: 0, cuts: 0, lost_answers: 0, ..STORM }, ..Self::TOGETHER };
    /// Two intents each, and a zombie.
    pub const PAIR_ZOMBIE: Self =
        Self { intents: [2, 2], faults: Faults { kills: 0, cuts: 0, lost_answers: 0, ..STORM }, ..Self::TOGETHER };
    /// Both wait for commits.
    pub const TOGETHER_DURABLE: Self = Self {
        styles: [Style::ChainedDurable; 2],
        faults: Faults { zombies: 0, lost_answers: 0, timeouts: 1, ..STORM },
        ..Self::TOGETHER
    };
    /// A game beside a client that asks and waits.
    pub const ASKING: Self = Self {
        styles: [Style::Chained, Style::Asking],
        faults: Faults { cuts: 0, lost_answers: 0, ..STORM },
        ..Self::TOGETHER
    };
    /// Clean stops and evictions between the crashes.
    pub const STOPPING: Self =
        Self { intents: [1, 1], faults: Faults { lost_answers: 0, stops: 1, evictions: 1, ..STORM }, ..Self::TOGETHER };

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
