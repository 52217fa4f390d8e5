//! Whether strangers can reach this server.
//!
//! While only this machine reaches a server, logins may create accounts, guests may come, and players may send every action. Once
//! strangers reach it, each needs an explicit setting. The settings tell most of it (`config::Listen::is_exposed`), but
//! not that a proxy on the same machine stands before it. That shows only in its requests.

use std::sync::atomic::{AtomicBool, Ordering};

/// Whether strangers can reach this server. It never becomes unexposed again.
#[derive(Debug)]
pub struct Exposure(AtomicBool);

impl Exposure {
    /// As the settings tell it.
    pub const fn new(is_exposed: bool) -> Self {
        Self(AtomicBool::new(is_exposed))
    }

    /// Returns true if strangers can reach this server.
    pub fn is_exposed(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// From now on, strangers can. Returns true the first time.
    pub fn expose(&self) -> bool {
        !self.0.swap(true, Ordering::Relaxed)
    }
}
