//! This program's own cost and lateness, which decide if its figures are reliable.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use serde::Serialize;

use super::series::Percentiles;

/// Linux counts processor time in ticks of 1/100 s, on every architecture.
const TICKS_PER_SECOND: f64 = 100.0;

/// Fields of a `stat` file after the name in parentheses, counted from 0. Source: proc_pid_stat(5).
const USER_TICKS: usize = 11;
const SYSTEM_TICKS: usize = 12;

/// A busier thread has no time left for the next due intents.
const BUSY_CORES_MAX: f64 = 0.9;

/// Lateness that never matters, in milliseconds.
const LATE_MS: f64 = 1.0;

/// Largest share of the measured latency that may be the generator's own lateness, both as 99th percentiles.
const LATE_SHARE_MAX: f64 = 0.2;

/// Processor time used so far by each thread of this process, in seconds; empty if the system does not report it.
#[derive(Debug, Clone, Default)]
pub(super) struct Usage(BTreeMap<u64, f64>);

impl Usage {
    /// Reads the current usage.
    pub(super) fn now() -> Self {
        let Ok(tasks) = fs::read_dir("/proc/self/task") else { return Self::default() };
        let of = |task: std::io::Result<fs::DirEntry>| {
            let task = task.ok()?;
            let stat = fs::read_to_string(task.path().join("stat")).ok()?;
            Some((task.file_name().to_str()?.parse().ok()?, seconds(&stat)?))
        };
        Self(tasks.filter_map(of).collect())
    }

    /// Processor time since then, in cores: all threads together, and the busiest thread.
    ///
    /// `None` if the system does not report it.
    pub(super) fn cores_since(&self, before: &Self, elapsed: Duration) -> Option<(f64, f64)> {
        let each = self.0.iter().map(|(thread, seconds)| seconds - before.0.get(thread).unwrap_or(&0.0));
        let cores: Vec<f64> = each.map(|seconds| seconds / elapsed.as_secs_f64().max(0.001)).collect();
        (!cores.is_empty()).then(|| (cores.iter().sum(), cores.iter().copied().fold(0.0, f64::max)))
    }
}

/// Processor time in a `stat` file.
fn seconds(stat: &str) -> Option<f64> {
    let fields: Vec<_> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |field: usize| fields.get(field)?.parse::<f64>().ok();
    Some((ticks(USER_TICKS)? + ticks(SYSTEM_TICKS)?) / TICKS_PER_SECOND)
}

/// Peak memory of this process, in bytes; `None` if the system does not report it.
pub(super) fn memory_peak_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let kib = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?.split_whitespace().next()?;
    Some(kib.parse::<u64>().ok()? * 1024)
}

/// The generator in a report.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Generator {
    /// Time from an intent's due time until its player handled it.
    pub(super) lateness: Percentiles,
    /// All threads together.
    pub(super) cores: Option<f64>,
    pub(super) busiest_thread_cores: Option<f64>,
    pub(super) memory_peak_bytes: Option<u64>,
    /// Reasons why the figures are unreliable, one sentence each; empty if they are reliable.
    pub(super) doubts: Vec<String>,
}

impl Generator {
    /// Judges the generator by its own lateness and processor time, and by the latency that it measured.
    pub(super) fn judge(lateness: Percentiles, latency: &Percentiles, cores: Option<(f64, f64)>) -> Self {
        let mut doubts = Vec::new();
        let busiest_thread_cores = cores.map(|(_, busiest)| busiest);
        if let Some(busiest) = busiest_thread_cores.filter(|busiest| *busiest > BUSY_CORES_MAX) {
            doubts.push(format!("one of the generator's threads used {busiest:.2} cores; raise --threads"));
        }
        let late = lateness.p99_ms;
        if late > LATE_MS && late > latency.p99_ms * LATE_SHARE_MAX {
            let of = latency.p99_ms;
            let mut doubt =
                format!("at p99 the generator itself was {late:.2} ms late, a large part of the measured {of:.2} ms");
            if busiest_thread_cores.is_some_and(|busiest| busiest < BUSY_CORES_MAX / 2.0) {
                doubt.push_str(", although it was mostly idle: something else keeps the processor busy");
            }
            doubts.push(doubt);
        }
        Self {
            lateness,
            cores: cores.map(|(all, _)| all),
            busiest_thread_cores,
            memory_peak_bytes: memory_peak_bytes(),
            doubts,
        }
    }

    /// Returns true if the generator was not the bottleneck.
    pub(super) fn is_believable(&self) -> bool {
        self.doubts.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_or_late_generator_is_unreliable() {
        for (late_ms, latency_ms, busiest, doubts) in [
            (0.1, 0.2, 0.5, 0),
            (0.9, 1.0, 0.5, 0),
            (5.0, 100.0, 0.5, 0),
            (5.0, 20.0, 0.5, 1),
            (0.1, 0.2, 0.95, 1),
            (50.0, 60.0, 0.99, 2),
        ] {
            let percentiles = |p99_ms| Percentiles { p99_ms, ..Percentiles::default() };
            let generator = Generator::judge(percentiles(late_ms), &percentiles(latency_ms), Some((1.2, busiest)));
            assert_eq!(generator.doubts.len(), doubts, "{late_ms} of {latency_ms} ms, {busiest} cores");
            assert_eq!(generator.is_believable(), doubts == 0);
        }
    }

    #[test]
    fn processor_time_is_measured_by_thread() {
        let stat = "7 (a (b) c) S 1 7 7 0 -1 4194560 100 0 0 0 150 50 0 0 20 0 3 0 100 1000 10";
        assert_eq!(seconds(stat), Some(2.0));
        let usage = |threads: &[(u64, f64)]| Usage(threads.iter().copied().collect());
        let (all, busiest) = usage(&[(1, 3.0), (2, 5.0)])
            .cores_since(&usage(&[(1, 2.0)]), Duration::from_secs(10))
            .expect("there are threads");
        assert_eq!((all, busiest), (0.6, 0.5));
        assert_eq!(usage(&[]).cores_since(&usage(&[]), Duration::from_secs(1)), None);
    }
}
