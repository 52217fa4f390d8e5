//! Who waits for whom where there are fewer cores than there is work.

/// How far the threads behind the sockets stand back, in steps of niceness.
///
/// A socket thread that has something to answer then waits for the slice of a batch that is being written, 1.4 ms on
/// two cores, and not for several; and a flusher on a core that the sockets fill still gets a tenth of it.
/// Source: sched(7), "The nice value".
#[cfg(target_os = "linux")]
const STEPS: i32 = 10;

/// Has the calling thread run before everything that is not in real time: as soon as it has something to do, whatever
/// else is under way on its core. Linux leaves the others a twentieth of a core that such threads fill.
///
/// # Errors
///
/// Where the system does not let this process: it needs `CAP_SYS_NICE`, or a limit `RTPRIO` of at least 1.
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

/// Nothing but Linux is known well enough.
#[cfg(not(target_os = "linux"))]
pub fn come_first() -> std::io::Result<()> {
    Err(std::io::ErrorKind::Unsupported.into())
}

/// Lets the calling thread, and those that it starts from here on, stand back behind the sockets' threads.
pub fn stand_back() {
    // Elsewhere niceness is the whole process's.
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::nice(STEPS) {
        tracing::debug!(%error, "cannot lower the priority of a background thread");
    }
}
