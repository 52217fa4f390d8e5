//! Points of a flush at which a test has the server die. Without the feature `faults` it passes them.

/// Dies here, as by a lost machine, where `CASTELLAN_CRASH_AT` says so: `after_writes:3` is the third time that the
/// point of this name is passed.
#[cfg(feature = "faults")]
pub fn point(name: &str) {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    static WHERE: LazyLock<Option<(String, u32)>> = LazyLock::new(|| {
        #[expect(clippy::disallowed_methods, reason = "no setting: nobody but a test may find it")]
        let wanted = std::env::var("CASTELLAN_CRASH_AT").ok()?;
        let (name, time) = wanted.split_once(':')?;
        Some((name.to_owned(), time.parse().ok()?))
    });
    static PASSED: AtomicU32 = AtomicU32::new(0);
    if let Some((wanted, time)) = &*WHERE
        && wanted == name
        && PASSED.fetch_add(1, Ordering::SeqCst) + 1 == *time
    {
        std::process::abort();
    }
}

/// Nothing happens.
#[cfg(not(feature = "faults"))]
pub const fn point(_: &str) {}
