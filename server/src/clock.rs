//! The clock and the source of randomness. Both are handed in, so that tests can set them.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// Tells the time, in milliseconds since the Unix epoch.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// Fills a buffer with unpredictable bytes.
pub type Entropy = Arc<dyn Fn(&mut [u8]) + Send + Sync>;

/// The machine's clock.
#[allow(clippy::disallowed_methods, reason = "this is the edge where the time comes in")]
pub fn system_clock() -> Clock {
    Arc::new(|| {
        // A clock before 1970 counts as 1970.
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    })
}

/// The machine's source of randomness.
#[allow(clippy::disallowed_methods, reason = "this is the edge where randomness comes in")]
pub fn system_entropy() -> Entropy {
    Arc::new(|bytes| getrandom::fill(bytes).expect("the operating system has random bytes"))
}
