//! Metrics, logs and traces.

mod characters;
mod collector;
mod gateway;
mod http;
mod install;
mod moves;
mod process;
mod refusals;
mod table;
mod traces;
mod trading;

pub use characters::*;
pub use gateway::*;
pub use http::{LoginOutcome, audit_dropped, login, request, tls_handshake};
pub use install::{Metrics, TelemetryError, install, start_logs};
pub use moves::{Move, copies, shard_moved, shards_owned};
pub use refusals::{Limit, Who, log_refusals, refused};
pub use traces::{adopt, finish, flush_span, load_span, request_span};
pub use trading::{parcel_received, traders};
