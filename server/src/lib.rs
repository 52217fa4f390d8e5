//! The character server.
//!
//! # The journey of an intent
//!
//! A connection is upgraded in [`http`] and handed, as a bare TCP stream, to one of the socket threads
//! ([`socket::Workers`]). There `socket::transport` reads what is there into the thread's buffer, and
//! `socket::session` takes it message by message, decodes each with [`castellan_protocol::Codec`] and hands the frame
//! to `socket::inbound`. That checks the rate, says whose character it is about and whether the session's role may
//! send it ([`auth::Policy`]), and calls [`shard::Shards::try_change`].
//!
//! That takes the lock of the user's shard and lets the pure `shard::core` decide: is the character there, was this id
//! applied before, was it made on the present state, do the rules (`castellan_srd`) allow it. They change it where it
//! lies, or leave it as it was; its version is one higher, and the answer is encoded straight into the buffer that is
//! sent. The lock is released; nobody was asked, nothing was awaited. Watchers find a line in their [`shard::Mailbox`] and write the newest state
//! when they get to it.
//!
//! The [`flush::Flusher`] sweeps over the shards once a second, and first of all to those where somebody waits for a
//! commit: it collects the newest state of each dirty character and hands them, batch by batch, to [`storage`], which
//! writes a batch in one transaction that proves the leases. What became durable is put into the mailboxes of those
//! who wait.
//!
//! `ARCHITECTURE.md` has the picture, the invariants, and what happens when the power goes.

pub mod app;
pub mod auth;
pub mod clock;
pub mod command;
pub mod config;
pub mod crash;
pub mod flush;
pub mod http;
pub use castellan_authority::planted;
pub mod priority;
pub mod program;
pub mod rate;
pub mod shard;
pub mod socket;
pub mod storage;
pub mod telemetry;
