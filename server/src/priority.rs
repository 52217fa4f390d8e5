//! Which threads yield to which when there is more work than cores.

/// Niceness of the threads behind the sockets, in steps.
///
/// A socket thread with something to answer then waits for one slice of a batch, 1.4 ms on two cores, and not for
/// several. A flusher on a core that the sockets fill still gets a tenth of it.
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

/// Lowers the priority of the calling thread, and of those that it starts from now on, below the sockets' threads.
pub fn stand_back() {
    // On other systems niceness belongs to the whole process.
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::nice(STEPS) {
        tracing::debug!(%error, "cannot lower the priority of a background thread");
    }
}
