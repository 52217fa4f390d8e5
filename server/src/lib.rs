//! The character server.

pub mod auth;
pub mod config;
pub mod storage;
