//! The bounds of a search.

use crate::history::INTENTS_MAX;

/// How a client names the base of its intents, and what it waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// `after`: a game over a socket, which sends intents one after another and all again after a reconnect.
    Chained,
    /// Chained, with `ack: "durable"`: the answer follows the commit.
    ChainedDurable,
    /// `expect` with `ack: "durable"`: sends, waits, and never sends again.
    Asking,
    /// Asking, based on any state (`expect: 0`).
    AskingAny,
}

impl Style {
    /// Returns true for clients that use `after` and send again.
    pub fn is_chained(self) -> bool {
        matches!(self, Self::Chained | Self::ChainedDurable)
    }
}

/// The largest number of each fault in one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Faults {
    /// `kill -9` of a server.
    pub kills: u8,
    /// Takeovers from a live server, which becomes a zombie.
    pub zombies: u8,
    /// Connections that break.
    pub cuts: u8,
    /// Commits with a lost answer, successful or not.
    pub lost_answers: u8,
    /// Clean stops.
    pub stops: u8,
    /// Evictions.
    pub evictions: u8,
    /// Expiries of `durable_timeout`.
    pub timeouts: u8,
}

/// The bounds of one search.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scenario {
    /// Number of intents of each client; 0 for an absent client.
    pub intents: [usize; 2],
    /// The style of each client.
    pub styles: [Style; 2],
    /// Remembered request ids: 64 in the server.
    pub ring: usize,
    /// Length of a version jump: 2^20 in the server.
    pub jump: u8,
    /// Most unflushed intents of the character: below the jump.
    pub unflushed_max: u8,
    /// Most unanswered intents of a client: 64 in the server.
    pub in_flight_max: usize,
    /// The possible faults.
    pub faults: Faults,
}

/// Each common fault once.
const STORM: Faults = Faults { kills: 1, zombies: 1, cuts: 1, lost_answers: 1, stops: 0, evictions: 0, timeouts: 0 };

impl Scenario {
    /// Two clients that chain their intents, and each common fault once.
    pub const TOGETHER: Self = Self {
        intents: [2, 1],
        styles: [Style::Chained; 2],
        ring: 2,
        jump: 4,
        unflushed_max: 2,
        in_flight_max: 2,
        faults: STORM,
    };
    /// The character's only actor, with two crashes and a stop.
    pub const ALONE: Self = Self { intents: [3, 0], faults: Faults { kills: 2, stops: 1, ..STORM }, ..Self::TOGETHER };
    /// The only actor, which waits for commits, with a timeout.
    pub const ALONE_DURABLE: Self = Self {
        intents: [3, 0],
        styles: [Style::ChainedDurable; 2],
        faults: Faults { timeouts: 1, ..STORM },
        ..Self::TOGETHER
    };
    /// The only actor, which sends more than the bound on unflushed intents.
    pub const OVERLOADED: Self = Self {
        intents: [4, 0],
        jump: 2,
        unflushed_max: 1,
        in_flight_max: 3,
        faults: Faults { lost_answers: 0, ..STORM },
        ..Self::TOGETHER
    };
    /// Two intents each and a crash: enough to push the other's ids out of the ring.
    pub const PAIR_KILLED: Self =
        Self { intents: [2, 2], faults: Faults { zombies: 0, cuts: 0, lost_answers: 0, ..STORM }, ..Self::TOGETHER };
    /// Two intents each and a zombie.
    pub const PAIR_ZOMBIE: Self =
        Self { intents: [2, 2], faults: Faults { kills: 0, cuts: 0, lost_answers: 0, ..STORM }, ..Self::TOGETHER };
    /// Two clients that wait for commits.
    pub const TOGETHER_DURABLE: Self = Self {
        styles: [Style::ChainedDurable; 2],
        faults: Faults { zombies: 0, lost_answers: 0, timeouts: 1, ..STORM },
        ..Self::TOGETHER
    };
    /// A game, and a client that asks and waits.
    pub const ASKING: Self = Self {
        styles: [Style::Chained, Style::Asking],
        faults: Faults { cuts: 0, lost_answers: 0, ..STORM },
        ..Self::TOGETHER
    };
    /// Crashes with clean stops and evictions.
    pub const STOPPING: Self =
        Self { intents: [1, 1], faults: Faults { lost_answers: 0, stops: 1, evictions: 1, ..STORM }, ..Self::TOGETHER };

    /// The highest version that a run can reach.
    ///
    /// Every takeover jumps once, and every intent counts once in each memory that applies it.
    pub const fn versions_max(&self) -> usize {
        let takeovers = (self.faults.kills + self.faults.zombies) as usize;
        1 + takeovers * self.jump as usize + self.intents[0] + self.intents[1]
    }

    /// Checks the assumptions of every search.
    pub const fn check(&self) {
        assert!(self.unflushed_max < self.jump, "a jump must pass every version that a crash can lose");
        assert!(self.intents[0] <= INTENTS_MAX && self.intents[1] <= INTENTS_MAX, "ids fit four bits");
        assert!(self.ring > 0 && self.in_flight_max > 0);
    }
}
