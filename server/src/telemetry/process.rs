//! Metrics of this process and its machine. The process metrics have the names that Prometheus' own clients use.
//!
//! metrics-process 2.4.3 has the same names and four more that nobody here looks at. It would replace 20 lines, none of
//! those about the machine, and put 27 more packages into `Cargo.lock`.

use std::fs;
use std::thread::available_parallelism;

use metrics::gauge;

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
    if let Some(kib) = number_behind("/proc/self/status", "VmRSS:") {
        gauge!("process_resident_memory_bytes").set(kib * 1_024.0);
    }
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        gauge!("process_open_fds").set(open.count() as f64);
    }
    if let (Some(booted), Some([started])) = (number_behind("/proc/stat", "btime "), ticks([START_TICKS])) {
        gauge!("process_start_time_seconds").set(booted + started / TICKS_PER_SECOND);
    }
}

/// The processor time in Prometheus' text format: counters of the crate `metrics` hold whole numbers only.
pub(super) fn processor_time(doc: &str) -> String {
    const NAME: &str = "process_cpu_seconds_total";
    let Some([user, system]) = ticks([USER_TICKS, SYSTEM_TICKS]) else { return String::new() };
    let seconds = (user + system) / TICKS_PER_SECOND;
    format!("# HELP {NAME} {doc}\n# TYPE {NAME} counter\n{NAME} {seconds}\n")
}

/// Fields of `/proc/self/stat`.
fn ticks<const N: usize>(wanted: [usize; N]) -> Option<[f64; N]> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let mut found = [0.0; N];
    for (place, index) in found.iter_mut().zip(wanted) {
        *place = fields.get(index)?.parse().ok()?;
    }
    Some(found)
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
        assert!(ticks([START_TICKS]).is_some_and(|[started]| started > 0.0));
        assert_eq!(ticks([999]), None);
        let text = processor_time("Time.");
        let (_, seconds) = text.trim().rsplit_once(' ').expect("a value at the end");
        assert!(seconds.parse::<f64>().is_ok_and(|seconds| seconds >= 0.0), "{text}");
    }
}
