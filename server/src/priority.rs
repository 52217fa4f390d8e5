//! Which threads yield to which when there is more work than cores.

use std::time::Duration;

/// Time slice of a socket thread without real-time priority: the shortest that Linux gives.
const TURN: Duration = Duration::from_micros(100);

/// Niceness of the threads behind the sockets, in steps.
///
/// A socket thread with something to answer then soon has a claim to the core again, and its short turns let it run at
/// once. A flusher on a core that the sockets fill still gets a tenth of it.
/// Source: sched(7), "The nice value".
#[cfg(target_os = "linux")]
const STEPS: i32 = 10;

/// Gives the calling thread real-time priority: it runs as soon as it has something to do, before all threads without.
/// Linux leaves those a twentieth of a core that such threads fill.
///
/// # Errors
///
/// If the system does not allow it: the process needs `CAP_SYS_NICE`, or a limit `RTPRIO` of at least 1.
/// Source: sched(7), "SCHED_FIFO: First in-first out scheduling", "Limiting the CPU usage of real-time and deadline
/// processes", "Privileges and resource limits".
#[cfg(target_os = "linux")]
pub fn come_first() -> std::io::Result<()> {
    use preempt_rt::sched::{Pid, PreemptRtError, Scheduler, SchedulerParams, set_scheduler};
    set_scheduler(Pid::current_thread(), Scheduler::SCHED_FIFO, SchedulerParams { priority: 1 }).map_err(|error| {
        match error {
            PreemptRtError::Errno(number) => std::io::Error::from_raw_os_error(number),
            other => std::io::Error::other(other),
        }
    })
}

/// Only Linux is supported.
#[cfg(not(target_os = "linux"))]
pub fn come_first() -> std::io::Result<()> {
    Err(std::io::ErrorKind::Unsupported.into())
}

/// Gives the calling thread short turns: when it wakes up, it no longer waits until a background thread has used up its
/// slice, which is 2.8 ms on one core. Needs no privilege; only Linux 6.12 and later do it.
pub fn take_short_turns() {
    if let Err(error) = castellan_slice::shorten(TURN) {
        tracing::debug!(%error, "cannot shorten the time slice of a socket thread");
    }
}

/// Lowers the priority of the calling thread, and of those that it starts from now on, below the sockets' threads.
pub fn stand_back() {
    // On other systems niceness belongs to the whole process.
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::nice(STEPS) {
        tracing::debug!(%error, "cannot lower the priority of a background thread");
    }
}
