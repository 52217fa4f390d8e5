//! How Linux schedules the calling thread, as the kernel's structure.

use std::io;

use libc::{SYS_sched_getattr, SYS_sched_setattr, c_long, c_uint, sched_attr, syscall};

/// Bytes of the structure: those of its first version, which all kernels know.
const SIZE: c_uint = size_of::<sched_attr>() as c_uint;

/// The calling thread.
const THIS_THREAD: libc::pid_t = 0;

/// Both calls have flags; none is defined.
const NO_FLAGS: c_uint = 0;

/// Returns the attributes of the calling thread.
pub(super) fn get() -> io::Result<sched_attr> {
    let mut attributes = sched_attr {
        size: SIZE,
        sched_policy: 0,
        sched_flags: 0,
        sched_nice: 0,
        sched_priority: 0,
        sched_runtime: 0,
        sched_deadline: 0,
        sched_period: 0,
    };
    // SAFETY: the kernel writes at most `SIZE` bytes to the pointer, which is that of a structure of this size that
    // nobody else uses. It has only integers, so all bytes are valid.
    let result = unsafe { syscall(SYS_sched_getattr, THIS_THREAD, &raw mut attributes, SIZE, NO_FLAGS) };
    check(result).map(|()| attributes)
}

/// Replaces the attributes of the calling thread.
pub(super) fn set(attributes: &sched_attr) -> io::Result<()> {
    let attributes = sched_attr { size: SIZE, ..*attributes };
    // SAFETY: the kernel reads `size` bytes from the pointer, and that is the structure's size. It writes there only the
    // size that it knows, if that is smaller, and `attributes` is our own copy.
    let result = unsafe { syscall(SYS_sched_setattr, THIS_THREAD, &raw const attributes, NO_FLAGS) };
    check(result)
}

fn check(result: c_long) -> io::Result<()> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
