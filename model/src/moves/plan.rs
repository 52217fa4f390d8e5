//! The settings of a search: its bounds, the rule that is left out, its goal.

use super::rule::Rule;
use crate::protocol::Quest;
use crate::rules::Rules;
use crate::scenario::{Faults as Calm, Scenario, Style};

/// The largest number of each event in one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Events {
    /// Planned moves.
    pub moves: u8,
    /// Releases: a node hands the shard to nobody.
    pub releases: u8,
    /// Moves that are called off, and replacements of gateways.
    pub undos: u8,
    /// Characters that are sent ahead to the other node.
    pub copies: u8,
    /// Takeovers from a live node, which was frozen, or cut off from the database.
    pub zombies: u8,
    /// `kill -9` of a node.
    pub kills: u8,
    /// Starts of a new process on a node that was killed.
    pub restarts: u8,
    /// `kill -9` of a gateway, which starts again at once.
    pub gateway_kills: u8,
    /// Gateways that are replaced by another process, which goes on with their sockets.
    pub replacements: u8,
    /// Links that break.
    pub cuts: u8,
    /// Statements with a lost answer, executed or not.
    pub lost_answers: u8,
    /// Words between a gateway and a node that are lost, though the link lives.
    pub lost_words: u8,
    /// Words that are said again, at any later time.
    pub repeated_words: u8,
    /// Deadlines that pass too early.
    pub early_deadlines: u8,
}

/// The bounds of one search.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// The clients and the character.
    pub clients: Scenario,
    /// The gateway of each client.
    pub gateways: [u8; 2],
    /// The possible events.
    pub events: Events,
    /// Room for answers that a client has not read; `None` for clients that read at once.
    ///
    /// With it, clients read as late as they can: after every deadline, if they like.
    pub room: Option<usize>,
}

impl Bounds {
    /// One client with this many intents, and no events.
    pub const fn one(intents: usize) -> Self {
        Self { clients: clients([intents, 0]), gateways: [0, 0], events: NONE, room: None }
    }

    /// Two clients at one gateway, and no events.
    pub const fn two(first: usize, second: usize) -> Self {
        Self { clients: clients([first, second]), gateways: [0, 0], events: NONE, room: None }
    }

    /// The same with these events.
    #[must_use]
    pub const fn with(self, events: Events) -> Self {
        Self { events, ..self }
    }

    /// The same clients, with `ack: "durable"`.
    #[must_use]
    pub const fn durable(self) -> Self {
        Self { clients: Scenario { styles: [Style::ChainedDurable; 2], ..self.clients }, ..self }
    }

    /// The same with clients that read late, and room for one answer.
    #[must_use]
    pub const fn slow_readers(self) -> Self {
        Self { room: Some(1), ..self }
    }

    /// The same with the second client at a gateway of its own.
    #[must_use]
    pub const fn two_gateways(self) -> Self {
        Self { gateways: [0, 1], ..self }
    }
}

/// No events.
pub const NONE: Events = Events {
    moves: 0,
    releases: 0,
    undos: 0,
    copies: 0,
    zombies: 0,
    kills: 0,
    restarts: 0,
    gateway_kills: 0,
    replacements: 0,
    cuts: 0,
    lost_answers: 0,
    lost_words: 0,
    repeated_words: 0,
    early_deadlines: 0,
};

const CALM: Calm = Calm { kills: 0, zombies: 0, cuts: 0, lost_answers: 0, stops: 0, evictions: 0, timeouts: 0 };

const fn clients(intents: [usize; 2]) -> Scenario {
    Scenario {
        intents,
        styles: [Style::Chained; 2],
        ring: 8,
        jump: 8,
        unflushed_max: 7,
        in_flight_max: 2,
        faults: CALM,
    }
}

/// A search.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// The bounds.
    pub bounds: Bounds,
    /// The rule that is left out.
    pub left_out: Option<Rule>,
    /// The goal.
    pub quest: Quest,
}

impl Plan {
    /// Returns true if a rule is left out.
    pub fn lacks(&self, rule: Rule) -> bool {
        self.left_out == Some(rule)
    }

    /// The rules for clients and characters: all of them.
    pub fn rules(&self) -> &'static Rules {
        &Rules::ALL
    }
}
