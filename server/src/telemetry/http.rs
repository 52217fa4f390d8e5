//! Metrics of HTTP.

use std::time::Duration;

use metrics::{counter, histogram};

/// The outcome of a login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoginOutcome {
    /// A session was started.
    Granted,
    /// Wrong name or password, or registration is closed.
    Refused,
    /// Too many failed logins before.
    Limited,
    /// Too many logins at once.
    Overloaded,
    /// The server or its database failed.
    Failed,
}

/// A login was answered.
pub fn login(outcome: LoginOutcome) {
    let outcome = match outcome {
        LoginOutcome::Granted => "granted",
        LoginOutcome::Refused => "refused",
        LoginOutcome::Limited => "limited",
        LoginOutcome::Overloaded => "overloaded",
        LoginOutcome::Failed => "failed",
    };
    counter!("castellan_logins_total", "outcome" => outcome).increment(1);
}

/// A TLS handshake has ended.
pub fn tls_handshake(is_done: bool) {
    let outcome = if is_done { "done" } else { "failed" };
    counter!("castellan_tls_handshakes_total", "outcome" => outcome).increment(1);
}

/// Events that are missing in the audit: in its table only, or in the log as well.
pub fn audit_dropped(count: usize) {
    counter!("castellan_audit_dropped_total").increment(count as u64);
}

/// A request was answered. `route` is a template such as `/characters/{id}`, `method` one of a closed set.
pub fn request(route: &str, method: &'static str, status: u16, elapsed: Duration) {
    let route = route.to_owned();
    histogram!("castellan_http_request_seconds", "route" => route.clone(), "method" => method).record(elapsed);
    counter!("castellan_http_requests_total", "route" => route, "method" => method, "status" => status.to_string())
        .increment(1);
}
