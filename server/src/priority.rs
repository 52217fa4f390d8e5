//! Who waits for whom where there are fewer cores than there is work.

/// How far the threads behind the sockets stand back, in steps of niceness.
///
/// A socket thread then gets the core as soon as it has something to answer, where it would wait for milliseconds
/// behind a batch that is being written; and a flusher on a core that the sockets fill still gets a tenth of it.
/// Source: sched(7), "The nice value".
#[cfg(target_os = "linux")]
const STEPS: i32 = 10;

/// Lets the calling thread, and those that it starts from here on, stand back behind the sockets' threads.
pub fn stand_back() {
    // Elsewhere niceness is the whole process's.
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::nice(STEPS) {
        tracing::debug!(%error, "a thread behind the sockets has their priority");
    }
}
