//! The servers' memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use tokio::process::Command;
use tokio::task::JoinHandle;

/// Time between two readings.
const INTERVAL: Duration = Duration::from_secs(1);

/// Reads the current server's memory until dropped.
pub(crate) struct MemoryWatch {
    process: Arc<AtomicU32>,
    peak_kib: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl MemoryWatch {
    pub(crate) fn start() -> Self {
        let (process, peak_kib) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU64::new(0)));
        let task = tokio::spawn(watch(Arc::clone(&process), Arc::clone(&peak_kib)));
        Self { process, peak_kib, task }
    }

    /// Switches to this process.
    pub(crate) fn look_at(&self, process: u32) {
        self.process.store(process, Ordering::Relaxed);
    }

    /// The largest reading so far, in KiB.
    pub(crate) fn peak_kib(&self) -> u64 {
        self.peak_kib.load(Ordering::Relaxed)
    }
}

impl Drop for MemoryWatch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn watch(process: Arc<AtomicU32>, peak_kib: Arc<AtomicU64>) {
    let mut ticks = tokio::time::interval(INTERVAL);
    loop {
        ticks.tick().await;
        let process = process.load(Ordering::Relaxed).to_string();
        // An ended process has no line, and a machine without `ps` gives no answer.
        let Ok(output) = Command::new("ps").args(["-o", "rss=", "-p", &process]).output().await else { continue };
        if let Ok(kib) = String::from_utf8_lossy(&output.stdout).trim().parse() {
            peak_kib.fetch_max(kib, Ordering::Relaxed);
        }
    }
}
