//! How Castellan recovers, as a model small enough to be searched from end to end. Read ARCHITECTURE.md first.
//!
//! The promise is that nothing answered `applied` is lost or done twice, whatever dies at whatever moment. It rests on
//! rules of the wire (1 to 9 of `docs/protocol.md#versions-ids-recovery`) and invariants of the design (1 to 6 of
//! `ARCHITECTURE.md#what-must-always-hold`) that only work together. Tests try some thousands of moments. The searches
//! here try all of them, within bounds: each order of each step of two clients, two servers and a database, with chance
//! taking part.
//!
//! # What there is
//!
//! One character, whose state is the sequence of intents applied to it ([`history::History`]): whoever looks at it
//! sees at once what was lost, what was done twice, and what came of what.
//!
//! ```text
//!  client a ── link ──┐            ┌── server 0: lease, entry, flush ──┐
//!                     ├── any to ──┤                                   ├── database: row, lease
//!  client b ── link ──┘    any     └── server 1: lease, entry, flush ──┘
//! ```
//!
//! - [`client`]: what a client keeps, and what it makes of answers and ended connections. Rules 3, 4 and 6 to 9.
//! - [`connection`]: answers and notices under way, any of which an ending connection may lose.
//! - [`server`]: the character in memory, how an intent is decided, how far a flush has come. Rules 1, 2, 4 and 5.
//! - [`database`]: the row and the lease; all that a crash leaves.
//! - [`system`]: all of it at one moment, and an onlooker who remembers which state each version has named.
//! - [`protocol`]: which steps there are, for the search.
//! - [`rules`]: what can be left out. [`scenario`]: the bounds. [`promises`]: what must hold.
//!   [`milestones`]: what a search must have come by.
//!
//! # Each step, and what it stands for
//!
//! | step | what happens | from |
//! | --- | --- | --- |
//! | `Connect` | proof of the lease, load if needed, `welcome`, `fetch` | invariants 3, 6 |
//! | `Serve` | an intent is read, looked up, compared, applied or refused, and answered | rules 1, 2, 4, 5; invariants 1, 2, 3 |
//! | `Read` | the client reads an answer; intents are covered, refused, or to be sent again | rules 6, 8 |
//! | `Hear` | the client reads a `durable` notice | rule 6, invariant 5 |
//! | `Look` | the client is shown a state that another has made | rule 4 |
//! | `Disconnect` | the connection is over; everything kept is to be sent again, in order | rule 7 |
//! | `BeginFlush` | the lease is proven and its row locked before anything else, or the server is fenced | invariants 4, 6 |
//! | `Write`, `Commit` | the row is written over a lower version, and committed | invariants 3, 4 |
//! | `LearnCommit` | only now `durable` is said, and answers that waited are given | invariant 5 |
//! | `LoseCommit` | committed or not: the server knows nothing, and saves again | invariant 5 |
//! | `TakeOver` | epoch + 1, a recovery counted unless released; waits for an open flush | invariant 4 |
//! | `Stop`, `Release` | sockets closed, everything flushed, the lease given back if still held | invariants 4, 8 |
//! | `Evict` | a clean character leaves memory | invariant 7 |
//! | `Kill`, `Cut`, `TimeOut` | a process, a connection, the patience for a commit come to an end | |
//!
//! A server that is merely slow, or stopped and continued, is one whose steps do not come for a while: every order is
//! tried, so a zombie is a server that has been taken over and goes on.
//!
//! # What is promised
//!
//! [`promises`] holds them as they are checked in every state. In short: what a client was told is applied and durable
//! is in the row from then on, exactly once; nothing is applied twice; versions never fall in the database and never
//! name two states; `durable` is true when it is said; nothing is written under an epoch that was taken over; a client
//! is never connected to less than it was told is durable; an intent is refused only for the four reasons of rule 9,
//! and so never where its client is the character's only actor; and wherever all comes to rest without more bad luck,
//! every client knows what became of each intent.
//!
//! # What it leaves out
//!
//! Numbers are small: a ring of 1 or 2 ids instead of 64, a jump of 2 or 4 instead of 2^20. The rules do not depend on
//! them beyond their order (unflushed intents stay below the jump), which is why small ones find the same faults sooner.
//!
//! Intents under way to a server need no queue: they are in the order of the client's intents, so reading one late is
//! the same as sending it late, and what is cut off unread leaves no trace. This relies on `?client=`: a server ends a
//! client's older connection before it serves the newer one. `welcome` and the first `fetch` are one step.
//!
//! Not here: dead letters and the spool (invariants 8 and 9 beyond the release), creation and deletion, the rules of
//! the game, several characters, rosters and shards, time. A search says nothing beyond its bounds, and nothing about
//! code that does otherwise than this; for that there are the simulation and the torture.
//!
//! # How to run it
//!
//! `cargo test -p castellan-model` runs all searches, one after the other, on two threads. `-- --nocapture` prints what
//! each found.
//!
//! With all rules (the tests in `searches.rs`), the whole of these, 27 million states, and no promise broken:
//!
//! | scenario | intents | what may happen | states |
//! | --- | --- | --- | --- |
//! | [`ALONE`](scenario::Scenario::ALONE) | 3 | 2 kills, zombie, cut, lost commit, stop | 7,046,494 |
//! | [`ALONE_DURABLE`](scenario::Scenario::ALONE_DURABLE) | 3 | kill, zombie, cut, lost commit, timeout | 514,347 |
//! | [`OVERLOADED`](scenario::Scenario::OVERLOADED) | 4 | kill, zombie, cut; one unflushed at a time | 146,150 |
//! | [`TOGETHER`](scenario::Scenario::TOGETHER) | 2 + 1 | kill, zombie, cut, lost commit | 11,811,578 |
//! | [`PAIR_KILLED`](scenario::Scenario::PAIR_KILLED) | 2 + 2 | kill | 988,880 |
//! | [`PAIR_ZOMBIE`](scenario::Scenario::PAIR_ZOMBIE) | 2 + 2 | zombie | 929,880 |
//! | [`TOGETHER_DURABLE`](scenario::Scenario::TOGETHER_DURABLE) | 2 + 1 | kill, cut, timeout | 1,076,237 |
//! | [`ASKING`](scenario::Scenario::ASKING) | 2 + 1 | kill, zombie; one client uses `expect` | 267,014 |
//! | [`STOPPING`](scenario::Scenario::STOPPING) | 1 + 1 | kill, zombie, cut, stop, eviction | 4,653,275 |
//!
//! With one of the [`rules`] left out (`left_out.rs`) a promise breaks within a few steps, every time. Such a path reads
//! as a story; this is the flush without its lock:
//!
//! ```text
//! Connect(client a, server 0)   a is shown version 1
//! Serve(client a)               a's first intent makes version 2, in memory
//! BeginFlush(server 0)          the lease is proven, but not locked
//! Write(server 0)
//! TakeOver(server 1)            nothing keeps it waiting; server 0 is a zombie from here on
//! Commit(server 0)              written under an epoch that was taken over
//! ```

pub mod client;
pub mod connection;
mod conversation;
pub mod database;
mod flushing;
pub mod history;
mod lease;
pub mod milestones;
pub mod promises;
pub mod protocol;
pub mod rules;
pub mod scenario;
pub mod server;
pub mod system;

#[cfg(test)]
mod left_out;
#[cfg(test)]
mod searches;
