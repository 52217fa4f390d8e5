//! The move of a shard between two nodes. Read `docs/cluster.md` first.
//!
//! The model beside this module asks if the rules of recovery keep the promise. This one asks if they still do when a
//! shard moves, and if anybody notices a planned move. It shares the character, the row and the clients, with all their
//! rules, and puts gateways and links between clients and nodes. The life of the shard in a node and the routing in a
//! gateway are not modelled: the steps call the state machines of `castellan-cluster`, which the server will run.
//!
//! ```text
//!  client a ──┐                          ┌── pipe ── node 0: ShardLife, entry, flush, transfer ──┐
//!             ├── gateway: Routing ──────┤                    │ copies, news                     ├── row, lease
//!  client b ──┘   (one or two)           └── pipe ── node 1: ShardLife, entry, flush, transfer ──┘
//! ```
//!
//! - [`cluster`]: everything at one moment. [`link`]: what is in transit between a gateway and a node.
//! - [`step`]: the steps. `nodes` and `gateways` perform them, and the effects of the state machines.
//! - [`plan`]: the settings of a search. [`rule`]: the rules that can be left out. The state machines keep all rules;
//!   to leave one out, a step lies to them, or does not do what they say.
//! - [`promises`]: the promises. [`milestones`]: the situations that a search must reach.
//!
//! # Chance
//!
//! [`plan::Events`] lists what may happen in any state, as often as a search allows: moves, releases, undos, characters
//! that are sent ahead; nodes and gateways that are killed; links that break, with each end noticing it for itself;
//! statements with lost answers; words that are lost, or said again at any later time; deadlines that pass too early. A
//! takeover from a live node stands for a node that was frozen, and for one that cannot reach the database: both are
//! slow in some of their steps, and a search tries every order of steps.
//!
//! A move, a release, an undo, a copy, a repeated word and the replacement of a gateway are no faults. As long as there
//! was no fault no socket may close, so no client has a reason to send anything again.
//!
//! # Searches
//!
//! With all rules, the tests in `searches.rs` search all these states and find no broken promise. The clients have one
//! to three intents.
//!
//! | clients | events | states |
//! | --- | --- | --- |
//! | 1 | 2 moves, undo | 510,155 |
//! | 2 | move, undo, copy | 62,766 |
//! | 1 | 2 releases, undo | 27,614 |
//! | 1 | release, node killed, new process, lost answer | 324,109 |
//! | 1 | move, undo, copy, repeated word | 230,595 |
//! | 1 | move, copy, node killed, new process | 556,519 |
//! | 1 | move, undo, frozen node, lost answer | 249,764 |
//! | 1 | move, frozen node, node killed | 464,910 |
//! | 1 | move, node killed, link cut | 560,982 |
//! | 1 | move, lost word, early deadline | 150,182 |
//! | 1 | 2 moves, undo, 2 early deadlines | 2,058,219 |
//! | 2, at two gateways | move, undo | 185,773 |
//! | 1 | move, node killed, gateway killed | 377,253 |
//! | 1 | move, gateway replaced, undo | 52,139 |
//! | 2, at two gateways, which wait for commits | 2 gateways replaced | 33,492 |
//! | 1 | gateway replaced, node killed | 7,057 |
//! | 1 | gateway replaced, lost word, repeated word, early deadline | 62,465 |
//! | 1, which waits for commits | move, node killed, lost answer | 44,868 |
//! | 2 | move, node killed | 125,385 |
//! | 2, which read late | move | 225,056 |
//! | 1, which reads late | move, node killed | 119,622 |
//!
//! In smaller searches, from every state the steps without faults lead to rest: the owner serves, no move is under way,
//! and all clients know all outcomes. So a move that fails is finished or undone, and nobody waits for ever.
//!
//! `cargo test -p castellan-model --features long` searches 19 million states more, in two minutes or three.
//!
//! # Not modelled
//!
//! - Several shards and characters: a shard's state machines know nothing of other shards.
//! - A third node. A restarted one plays its part: another process, with another idea of the lease.
//! - Time, beyond deadlines that pass early or at last. The promises must hold without clocks, and do; how a dead node
//!   is told from a slow one is modelled in [`crate::membership`].
//! - Dead letters, watches, seats (`?client=`), REST, the database that is away for all.

pub mod cluster;
mod gateways;
pub mod link;
pub mod milestones;
mod model;
mod nodes;
pub mod plan;
pub mod promises;
pub mod rule;
pub mod step;

#[cfg(test)]
mod left_out;
#[cfg(test)]
mod searches;
