//! A shorter time slice for a thread that has little to do at a time, but must do it soon.
//!
//! This is the only crate with unsafe code: two system calls that no maintained library offers.

use std::io;
use std::time::Duration;

#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "system calls; each fills or reads one structure of the calling thread")]
mod attributes;

/// Asks Linux for this time slice for the calling thread, and leaves its policy and niceness as they are.
///
/// A thread that wakes up then runs before a thread with a longer slice has used up its own; its share of the core
/// stays the same. Linux keeps a slice between 0.1 and 100 ms. Before Linux 6.12 the request has no effect, and
/// threads in real time have no slice.
/// Source: sched_setattr(2); Linux, `__setparam_fair` and `PREEMPT_SHORT` in `kernel/sched/`.
///
/// # Errors
///
/// The operating system's error, for example if a sandbox does not let a process change how it is scheduled.
/// `Unsupported` on other systems.
#[cfg(target_os = "linux")]
pub fn shorten(slice: Duration) -> io::Result<()> {
    let mut attributes = attributes::get()?;
    attributes.sched_runtime = u64::try_from(slice.as_nanos()).unwrap_or(u64::MAX);
    attributes::set(&attributes)
}

/// Only Linux is supported.
#[cfg(not(target_os = "linux"))]
pub fn shorten(_: Duration) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    /// The version of the running kernel.
    fn kernel() -> (u32, u32) {
        let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").expect("a release");
        let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|number| number.parse().expect("a number"));
        (numbers.next().expect("a version"), numbers.next().expect("a minor version"))
    }

    #[test]
    fn a_shorter_slice_is_the_only_thing_that_changes() {
        // Niceness and slice belong to a thread, so other tests keep theirs.
        let (niceness, before, after) = std::thread::spawn(|| {
            let niceness = rustix::process::nice(3).expect("a thread may always step back");
            let before = attributes::get().expect("attributes");
            shorten(Duration::from_micros(100)).expect("a thread may always shorten its slice");
            (niceness, before, attributes::get().expect("attributes"))
        })
        .join()
        .expect("no panic");
        if kernel() >= (6, 12) {
            assert_ne!(before.sched_runtime, 100_000, "this machine's own slice is longer");
            assert_eq!(after.sched_runtime, 100_000);
        }
        assert_eq!(before.sched_nice, niceness, "these attributes are the thread's own");
        assert_eq!((after.sched_nice, after.sched_policy), (before.sched_nice, before.sched_policy));
        assert_eq!((after.sched_flags, after.sched_priority), (before.sched_flags, before.sched_priority));
    }
}
