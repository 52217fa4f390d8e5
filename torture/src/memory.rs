//! The servers' memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::process::Command;
use tokio::task::JoinHandle;

/// Time between two readings.
const INTERVAL: Duration = Duration::from_secs(1);

/// Reads the memory of the present servers until dropped.
pub(crate) struct MemoryWatch {
    processes: Arc<Mutex<Vec<u32>>>,
    peak_kib: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl MemoryWatch {
    pub(crate) fn start() -> Self {
        let (processes, peak_kib) = (Arc::new(Mutex::default()), Arc::new(AtomicU64::new(0)));
        let task = tokio::spawn(watch(Arc::clone(&processes), Arc::clone(&peak_kib)));
        Self { processes, peak_kib, task }
    }

    /// Switches to these processes.
    pub(crate) fn look_at(&self, processes: impl IntoIterator<Item = u32>) {
        *self.processes.lock() = processes.into_iter().collect();
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

async fn watch(processes: Arc<Mutex<Vec<u32>>>, peak_kib: Arc<AtomicU64>) {
    let mut ticks = tokio::time::interval(INTERVAL);
    loop {
        ticks.tick().await;
        let processes = processes.lock().iter().map(u32::to_string).collect::<Vec<_>>().join(",");
        // An ended process has no line, and a machine without `ps` gives no answer.
        let Ok(output) = Command::new("ps").args(["-o", "rss=", "-p", &processes]).output().await else { continue };
        let readings =
            String::from_utf8_lossy(&output.stdout).lines().filter_map(|line| line.trim().parse().ok()).max();
        peak_kib.fetch_max(readings.unwrap_or_default(), Ordering::Relaxed);
    }
}
