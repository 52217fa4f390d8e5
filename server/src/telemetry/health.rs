//! Metrics of what a process is, and of what it leans on.

use std::time::Duration;

use metrics::{Gauge, gauge};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::config::COMMIT;

/// When this process renewed its heartbeat, if it has one.
static RENEWED_AT: Mutex<Option<Instant>> = Mutex::new(None);

/// The process has this role: `serve`, `node` or `gateway`.
pub fn role(role: &'static str) {
    let labels = [("role", role), ("version", env!("CARGO_PKG_VERSION")), ("commit", COMMIT)];
    gauge!("castellan_build_info", &labels).set(1.0);
}

/// The process has renewed its heartbeat, with a statement that was sent then.
pub fn heartbeat_renewed(asked_at: Instant) {
    *RENEWED_AT.lock() = Some(asked_at);
}

/// Brings the metrics up to date.
pub(super) fn publish() {
    if let Some(at) = *RENEWED_AT.lock() {
        gauge!("castellan_lease_age_seconds").set(at.elapsed().as_secs_f64());
    }
}

/// The slowest standby that can be seen is so far behind; `None` if there is none.
pub fn replica_lag(lag: Option<Duration>) {
    gauge!("castellan_replica_lag_seconds").set(lag.map_or(f64::NAN, |lag| lag.as_secs_f64()));
}

/// Counts an open HTTP connection until it is dropped.
pub struct HttpConnection(Gauge);

impl HttpConnection {
    /// A connection was opened.
    pub fn open() -> Self {
        let open = gauge!("castellan_http_connections_open");
        open.increment(1);
        Self(open)
    }
}

impl Drop for HttpConnection {
    fn drop(&mut self) {
        self.0.decrement(1);
    }
}
