//! The character server.
//!
//! # The path of an intent
//!
//! [`http`] upgrades a connection and hands it, as a bare TCP stream, to one of the socket threads
//! ([`socket::Workers`]). There `socket::transport` reads what has arrived into the thread's buffer. `socket::session`
//! takes it message by message, decodes each with [`castellan_protocol::Codec`] and hands the frame to
//! `socket::inbound`. That checks the rate, finds the character's owner, checks that the session's role may send the
//! action ([`auth::Policy`]), and calls [`shard::Shards::try_change`].
//!
//! `try_change` locks the user's shard and lets the pure core (`castellan_authority`) decide: Is the character there?
//! Was this id applied before? Is the intent based on the present state? Do the rules of the game
//! ([`castellan_game::Game`]) allow it? The rules change the state in place, or leave it as it was. The version grows
//! by one, and the answer is encoded straight into the buffer that is sent. Then the lock is released. Nothing was
//! awaited. Watchers find the character's id in their [`shard::Mailbox`] and write the newest state when they get to
//! it.
//!
//! The [`flush::Flusher`] sweeps over the shards once a second. Shards in which somebody waits for a commit come first.
//! The flusher collects the newest state of each dirty character and hands these, batch by batch, to [`storage`], which
//! writes a batch in one transaction that proves the leases. Then it puts the durable versions into the mailboxes of
//! those who wait.
//!
//! `ARCHITECTURE.md` has the picture, the invariants, and what happens when the power goes.

pub mod app;
pub mod audit;
pub mod auth;
pub mod clock;
pub mod command;
pub mod config;
pub mod crash;
pub mod fetch;
pub mod flush;
pub mod gateway;
pub mod http;
pub mod link;
pub mod network;
pub mod node;
pub use castellan_authority::planted;
pub mod priority;
pub mod program;
pub mod rate;
pub mod shard;
pub mod socket;
pub mod storage;
pub mod telemetry;
