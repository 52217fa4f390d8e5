//! Metrics of this process and its machine. The process metrics have the names that Prometheus' own clients use.
//!
//! metrics-process 2.4.3 has the same names and four more that nobody here looks at. It would replace 20 lines, none of
//! those about the machine, and put 27 more packages into `Cargo.lock`.

use std::fs;
use std::thread::available_parallelism;

use metrics::{counter, gauge};

/// Linux counts processor time in ticks of 1/100 s, on every architecture.
const TICKS_PER_SECOND: f64 = 100.0;

/// Fields of `/proc/self/stat` after the name in parentheses, counted from 0. Source: proc_pid_stat(5).
const USER_TICKS: usize = 11;
const SYSTEM_TICKS: usize = 12;
const START_TICKS: usize = 19;

/// Reads all values; without `/proc` only the number of cores.
pub(super) fn observe() {
    if let Ok(cores) = available_parallelism() {
        gauge!("castellan_machine_cores").set(cores.get() as f64);
    }
    if let Some(bytes) = memory() {
        gauge!("castellan_machine_memory_bytes").set(bytes);
    }
    let Ok(stat) = fs::read_to_string("/proc/self/stat") else { return };
    let Some((_, behind)) = stat.rsplit_once(')') else { return };
    let fields: Vec<f64> = behind.split_whitespace().map(|field| field.parse().unwrap_or_default()).collect();
    let field = |index: usize| fields.get(index).copied().unwrap_or_default();
    if let Some(kib) = number_behind("/proc/self/status", "VmRSS:") {
        gauge!("process_resident_memory_bytes").set(kib * 1_024.0);
    }
    // The counter holds whole seconds.
    let cpu_seconds = (field(USER_TICKS) + field(SYSTEM_TICKS)) / TICKS_PER_SECOND;
    counter!("process_cpu_seconds_total").absolute(cpu_seconds as u64);
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        gauge!("process_open_fds").set(open.count() as f64);
    }
    if let Some(booted) = number_behind("/proc/stat", "btime ") {
        gauge!("process_start_time_seconds").set(booted + field(START_TICKS) / TICKS_PER_SECOND);
    }
}

/// The memory that this process may use, in bytes: the smaller of the machine's and its control group's.
fn memory() -> Option<f64> {
    let machine = number_behind("/proc/meminfo", "MemTotal:")? * 1_024.0;
    Some(limit().map_or(machine, |limit| limit.min(machine)))
}

/// `memory.max` of this process's control group (version 2, see cgroups(7)); `None` for `max`.
fn limit() -> Option<f64> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let group = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
    fs::read_to_string(format!("/sys/fs/cgroup{group}/memory.max")).ok()?.trim().parse().ok()
}

/// The first number in the line that begins with `name`.
fn number_behind(path: &str, name: &str) -> Option<f64> {
    let text = fs::read_to_string(path).ok()?;
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn every_field_of_proc_is_found() {
        assert!(number_behind("/proc/self/status", "VmRSS:").is_some_and(|kib| kib > 100.0));
        assert!(number_behind("/proc/stat", "btime ").is_some_and(|seconds| seconds > 1e9));
        assert_eq!(number_behind("/proc/stat", "nothing "), None);
        assert!(memory().is_some_and(|bytes| bytes > 1e8));
    }
}
