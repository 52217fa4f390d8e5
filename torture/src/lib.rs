//! Pulls the plug, under load, in every way that it is promised to survive; then counts.
//!
//! A run has a real server process, a real PostgreSQL, and real clients (`client_sim::player`) that each keep a ledger
//! on disk. A schedule, decided by a seed, goes through faults ([`schedule::Fault`]). The players reach the server
//! through one proxy ([`front`]) and the server its database through another ([`database_proxy`]), so that both kinds of
//! connections can be cut where it hurts. At the end everything is left to settle, the server is stopped, and the
//! check ([`check`]) compares the ledgers with everything that was ever written.
//!
//! Every intent leaves something that can be counted (`client_sim::player::trace`), and a trigger in the test's
//! database notes every row that is written ([`history`]). So for each single intent it is decided, not estimated,
//! whether it is in the database never, once or twice, and between which two writes it came in.

pub mod check;
pub mod children;
pub mod clock;
mod database;
pub mod database_proxy;
pub mod disk;
pub mod evidence;
mod faults;
pub mod folder;
pub mod front;
pub mod history;
mod memory;
pub mod panics;
pub mod planted;
pub mod report;
pub mod run;
pub mod schedule;
pub mod servers;
