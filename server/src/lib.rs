//! The character server.

pub mod app;
pub mod auth;
pub mod clock;
pub mod command;
pub mod config;
pub mod crash;
pub mod flush;
pub mod http;
pub mod planted;
pub mod rules;
pub mod shard;
pub mod socket;
pub mod storage;
pub mod telemetry;
