//! The character server.

pub mod storage;
