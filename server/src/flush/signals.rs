//! Signals that wake the flusher between the steps of its sweep, and its state for others.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::Notify;

/// The signals that the flusher shares with those who wait for it.
#[derive(Debug, Default)]
pub struct Signals {
    pub(super) waiting: Notify,
    /// How many began to wait for a commit since the last commit started.
    waits: AtomicUsize,
    /// How many of them the flusher waits for.
    expected: AtomicUsize,
    away: AtomicBool,
    unreachable: AtomicBool,
}

impl Signals {
    /// Someone began to wait for a commit. The flusher starts as soon as the expected number has joined.
    pub fn waiting(&self) {
        let waits = self.waits.fetch_add(1, Ordering::SeqCst) + 1;
        if waits == 1 || waits == self.expected.load(Ordering::SeqCst) {
            self.waiting.notify_one();
        }
    }

    /// Waits until `expected` wait for a commit.
    pub(super) async fn gathered(&self, expected: usize) {
        self.expected.store(expected, Ordering::SeqCst);
        while self.waits.load(Ordering::SeqCst) < expected {
            self.waiting.notified().await;
        }
    }

    /// Notes that the flusher starts a commit. Returns how many wait for it.
    pub(super) fn set_out(&self) -> usize {
        self.waits.swap(0, Ordering::SeqCst)
    }

    /// Returns true if the last write failed because the database could not be reached.
    pub fn is_database_away(&self) -> bool {
        self.away.load(Ordering::Relaxed)
    }

    /// Returns true if the last look at the leases failed because the database could not be reached.
    pub fn is_database_unreachable(&self) -> bool {
        self.unreachable.load(Ordering::Relaxed)
    }

    /// Notes whether the database could be reached. Returns true if that is news.
    pub fn set_database_unreachable(&self, unreachable: bool) -> bool {
        self.unreachable.swap(unreachable, Ordering::Relaxed) != unreachable
    }

    pub(super) fn set_database_away(&self, away: bool) {
        self.away.store(away, Ordering::Relaxed);
    }
}
