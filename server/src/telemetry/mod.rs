//! Metrics, logs and traces.

mod characters;
mod collector;
mod gateway;
mod health;
mod http;
mod install;
mod moves;
mod printing;
mod process;
mod refusals;
mod spans;
mod table;
mod traces;
mod trading;
mod unflushed;

pub use characters::*;
pub use gateway::*;
pub use health::{HttpConnection, heartbeat_renewed, replica_lag, role};
pub use http::{LoginOutcome, audit_dropped, login, request, tls_handshake};
pub use install::{Metrics, TelemetryError, install, start_logs};
pub use moves::{Move, copies, shard_moved, shards_owned};
pub use printing::{complain, print};
pub use refusals::{Limit, Who, log_refusals, refused};
pub use spans::{
    Parent, TraceId, current_trace, forward, intent_ended, intent_span, load_span, request_span, traceparent,
};
pub use traces::{finish, is_tracing};
pub use trading::{parcel_received, traders};
pub use unflushed::{FlushTrace, changed};
