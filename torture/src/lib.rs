//! Injects every fault that the server promises to survive, under load, and then checks the data.
//!
//! A run has a real server process, a real PostgreSQL, and real clients (`client_sim::recorded`) that each keep a record
//! on disk. A seed decides the schedule of faults ([`schedule::Fault`]). The players reach the server
//! through one proxy ([`front`]) and the server its database through another ([`database_proxy`]), so that both kinds of
//! connections can be cut at the worst moment. At the end the players wait until everything is durable, the server is
//! stopped, and the check ([`check`]) compares the records with everything that was ever written.
//!
//! With `--cluster` there are three nodes and two gateways instead of the server. Then every node has a proxy
//! of its own to the database, and another for its links ([`link_proxy`]).
//!
//! Every intent leaves a countable trace (`client_sim::recorded::trace`), and a trigger in the test's database records
//! every row that is written ([`history`]). So the check knows for each intent, without estimating, if it was stored
//! never, once or twice, and between which two writes.

pub mod check;
pub mod children;
pub mod clock;
mod cluster;
mod database;
pub mod database_proxy;
pub mod disk;
pub mod evidence;
mod faults;
pub mod folder;
pub mod front;
pub mod history;
mod judgement;
pub mod link_proxy;
mod memory;
mod options;
pub mod panics;
mod period;
pub mod planted;
mod players;
pub mod replicas;
pub mod report;
pub mod run;
pub mod schedule;
pub mod servers;
mod stage;
pub mod wares;
mod world;
