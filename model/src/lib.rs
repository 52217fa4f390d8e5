//! A model of Castellan's recovery, small enough to be searched exhaustively. Read ARCHITECTURE.md first.
//!
//! The promise is that nothing answered `applied` is lost or done twice, whatever dies at whatever moment. It rests on
//! rules of the wire (1 to 9 of `docs/protocol.md#versions-ids-recovery`) and invariants of the design (1 to 6 of
//! `ARCHITECTURE.md#what-must-always-hold`) that only work together. Tests try some thousands of moments. The searches
//! here try all of them, within bounds: each order of each step of two clients, two servers and a database, with chance
//! taking part.
//!
//! # Contents
//!
//! One character, whose state is the sequence of its applied intents ([`history::History`]). It shows at once which
//! intents were lost or applied twice, and what each is based on.
//!
//! ```text
//!  client a ── link ──┐            ┌── server 0: lease, entry, flush ──┐
//!                     ├── any to ──┤                                   ├── database: row, lease
//!  client b ── link ──┘    any     └── server 1: lease, entry, flush ──┘
//! ```
//!
//! - [`client`]: a client's kept intents, and its reactions to answers and lost connections. Rules 3, 4 and 6 to 9.
//! - [`connection`]: answers and notices in transit. A broken connection may lose any of them.
//! - [`server`]: the character in memory, the decision about an intent, the progress of a flush. Rules 1, 2, 4 and 5.
//! - [`database`]: the row and the lease, which survive a crash.
//! - [`system`]: everything at one moment, and an onlooker that remembers the state of each version.
//! - [`step`]: the steps, and those that are possible in a state. [`model`]: their results, for the search.
//! - [`protocol`]: the settings of a search.
//! - [`rules`]: the rules that can be left out. [`scenario`]: the bounds. [`promises`]: the promises.
//!   [`milestones`]: the situations that a search must reach.
//!
//! [`moves`] is a second model: a shard that moves between two nodes, behind gateways. [`membership`] is a third: who is
//! alive. [`trades`] is a fourth: goods that leave one character and enter another.
//!
//! # Steps
//!
//! | step | what happens | from |
//! | --- | --- | --- |
//! | `Connect` | proof of the lease, load if needed, `welcome`, `fetch` | invariants 3, 6 |
//! | `Serve` | an intent is read, looked up, compared, applied or refused, and answered | rules 1, 2, 4, 5; invariants 1, 2, 3 |
//! | `Read` | the client reads an answer; intents are covered, refused, or must be sent again | rules 6, 8 |
//! | `Hear` | the client reads a `durable` notice | rule 6, invariant 5 |
//! | `Look` | the client is shown a state that another client produced | rule 4 |
//! | `Disconnect` | the connection has ended; everything kept must be sent again, in order | rule 7 |
//! | `BeginFlush` | the lease is proven and its row locked before anything else, or the server is fenced | invariants 4, 6 |
//! | `Write`, `Commit` | the row replaces a lower version and is committed | invariants 3, 4 |
//! | `LearnCommit` | only now the server sends `durable` and the waiting answers | invariant 5 |
//! | `LoseCommit` | committed or not: the server does not know, and saves again | invariant 5 |
//! | `TakeOver` | epoch + 1, a recovery counted unless released; waits for an open flush | invariant 4 |
//! | `Stop`, `Release` | sockets closed, everything flushed, the lease given back if still held | invariants 4, 8 |
//! | `Evict` | a clean character leaves memory | invariant 7 |
//! | `Kill`, `Cut`, `TimeOut` | a process dies, a connection breaks, the wait for a commit times out | |
//!
//! A slow or suspended server takes no steps for a while. The search tries every order, so a zombie is simply a server
//! that continues after another has taken over its lease.
//!
//! # Promises
//!
//! [`promises`] contains them as they are checked in every state. In short:
//!
//! - An intent that a client was told is applied and durable is in the row from then on, exactly once.
//! - Nothing is applied twice.
//! - Versions never fall in the database and never name two states.
//! - `durable` is true when it is sent.
//! - Nothing is written under an epoch that was taken over.
//! - A client is never connected to a state older than one it was told is durable.
//! - An intent is refused only for the four reasons of rule 9, so never if its client is the character's only actor.
//! - Once everything is quiet and no more faults happen, every client knows the outcome of each intent.
//!
//! # Simplifications
//!
//! Numbers are small: a ring of 1 or 2 ids instead of 64, a jump of 2 or 4 instead of 2^20. The rules depend only on
//! their order (unflushed intents stay below the jump), so small numbers find the same faults sooner.
//!
//! Intents in transit need no queue: they are in the order of the client's intents, so reading one late equals sending
//! it late, and an unread one leaves no trace. This relies on `?client=`: a server ends a client's older connection
//! before it serves the newer one. `welcome` and the first `fetch` are one step.
//!
//! Not modelled: dead letters and the spool (invariants 8 and 9 beyond the release), creation and deletion, the rules
//! of the game, several characters, rosters and shards, time. A search proves nothing beyond its bounds, and nothing
//! about code that differs from the model; the simulation and the torture cover that.
//!
//! # Running it
//!
//! `cargo test -p castellan-model` runs all searches, one after another, on two threads. `-- --nocapture` prints the
//! result of each.
//!
//! With all rules, the tests in `searches.rs` search all these 27 million states and find no broken promise:
//!
//! | scenario | intents | possible faults | states |
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
//! With any of the [`rules`] left out (`left_out.rs`) a promise breaks within a few steps. For example, the flush
//! without its lock:
//!
//! ```text
//! Connect(client a, server 0)   a is shown version 1
//! Serve(client a)               a's first intent produces version 2, in memory
//! BeginFlush(server 0)          the lease is proven, but not locked
//! Write(server 0)
//! TakeOver(server 1)            does not wait for anything; server 0 is now a zombie
//! Commit(server 0)              written under an epoch that was taken over
//! ```

pub mod client;
pub mod connection;
mod conversation;
pub mod database;
mod flushing;
pub mod history;
mod lease;

pub mod membership;
pub mod milestones;
pub mod model;
pub mod moves;
pub mod promises;
pub mod protocol;
pub mod rules;
pub mod scenario;
pub mod server;
pub mod step;
pub mod system;
pub mod trades;

#[cfg(test)]
mod left_out;
#[cfg(test)]
mod search;
#[cfg(test)]
mod searches;
