//! The clock, read at the edge and handed in.

use std::time::{SystemTime, UNIX_EPOCH};

/// Tells the time of day; a plain function, so that tests can hand in their own.
#[derive(Debug, Clone, Copy)]
pub struct Clock(fn() -> i64);

impl Clock {
    /// The clock of the machine.
    pub const fn system() -> Self {
        Self(system_now_ms)
    }

    /// A clock that says what `now_ms` says, in milliseconds since the Unix epoch.
    pub const fn from_fn(now_ms: fn() -> i64) -> Self {
        Self(now_ms)
    }

    /// Milliseconds since the Unix epoch.
    pub fn now_ms(self) -> i64 {
        (self.0)()
    }
}

/// The one place where the time of day is read.
fn system_now_ms() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX)
}
