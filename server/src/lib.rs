//! The character server.

pub mod auth;
pub mod clock;
pub mod config;
pub mod storage;
