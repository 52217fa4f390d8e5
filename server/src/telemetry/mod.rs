//! What the server tells about itself: metrics by name and unit, and logs.

mod characters;
mod http;
mod install;
mod process;
mod table;

pub use characters::*;
pub use http::{LoginOutcome, login, request};
pub use install::{Metrics, TelemetryError, install, start_logs};
