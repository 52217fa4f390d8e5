//! A model of how Castellan recovers.
pub mod client;
pub mod connection;
mod conversation;
pub mod database;
mod flushing;
pub mod history;
mod lease;
pub mod promises;
pub mod protocol;
pub mod rules;
pub mod scenario;
pub mod server;
pub mod system;
#[cfg(test)]
mod searches;
