//! What wakes the flusher between the steps of its sweep, and what others may know of it.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::Notify;

/// Shared by the flusher and those who wait for it.
#[derive(Debug, Default)]
pub struct Signals {
    pub(super) waiting: Notify,
    /// Those who began to wait for a commit since the flusher last set out.
    waits: AtomicUsize,
    /// As many of them as the flusher waits for.
    expected: AtomicUsize,
    away: AtomicBool,
}

impl Signals {
    /// Somebody began to wait for a commit: the flusher sets out as soon as those have joined who are expected.
    pub fn waiting(&self) {
        let waits = self.waits.fetch_add(1, Ordering::SeqCst) + 1;
        if waits == 1 || waits == self.expected.load(Ordering::SeqCst) {
            self.waiting.notify_one();
        }
    }

    /// Waits until so many wait for a commit.
    pub(super) async fn gathered(&self, expected: usize) {
        self.expected.store(expected, Ordering::SeqCst);
        while self.waits.load(Ordering::SeqCst) < expected {
            self.waiting.notified().await;
        }
    }

    /// The flusher sets out. Returns how many had begun to wait for the commit.
    pub(super) fn set_out(&self) -> usize {
        self.waits.swap(0, Ordering::SeqCst)
    }

    /// Whether the last write failed because the database was not to be had.
    pub fn is_database_away(&self) -> bool {
        self.away.load(Ordering::Relaxed)
    }

    pub(super) fn set_database_away(&self, away: bool) {
        self.away.store(away, Ordering::Relaxed);
    }
}
