//! When to come back after a connection has ended, and what to do before: `docs/protocol.md#close-codes`.

use std::time::Duration;

/// Longest wait between two attempts without a hint from the server.
pub const WAIT_MAX: Duration = Duration::from_secs(30);

/// Longest wait that a hint from the server may ask for.
pub const HINT_MAX: Duration = Duration::from_secs(300);

/// How a connection, or an attempt to connect, ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The server sent a close frame.
    Closed {
        /// The close code.
        code: u16,
        /// The hint of an earlier `closing`.
        retry_after: Option<Duration>,
    },
    /// The connection broke, or the server was unreachable.
    Lost {
        /// The hint of an earlier `closing` or of `Retry-After`.
        retry_after: Option<Duration>,
    },
    /// The server answered the upgrade with this HTTP status.
    Refused {
        /// The status.
        status: u16,
        /// The hint of `Retry-After`.
        retry_after: Option<Duration>,
    },
}

/// What to do before the next attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum First {
    /// Nothing: the token is still valid.
    Nothing,
    /// Get a newer token with the refresh token.
    Refresh,
    /// Log in with name and password.
    LogIn,
}

/// The decision after a connection has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Reconnect.
    Again {
        /// Wait this long.
        wait: Duration,
        /// Do this first.
        first: First,
    },
    /// Do not reconnect: it would end the same way.
    Never,
}

/// Counts failed attempts.
#[derive(Debug, Clone, Default)]
pub struct Backoff {
    failures: u32,
    /// The tokens were renewed since a connection was ready the last time.
    renewed: bool,
}

impl Backoff {
    /// A connection became ready: the next wait is short again.
    pub fn served(&mut self) {
        *self = Self::default();
    }

    /// Decides what to do. `random` is uniform, at least 0 and below 1.
    ///
    /// Without a hint the wait is random, up to a second; the limit doubles with each failure up to [`WAIT_MAX`]. The
    /// first time since a connection was ready, an expired token or a revoked session is renewed at once, whatever
    /// failed before: the server has just answered.
    pub fn next(&mut self, ended: Ended, random: f64) -> Next {
        let failures = self.failures;
        self.failures = failures.saturating_add(1);
        let ceiling = Duration::from_secs(1).saturating_mul(1 << failures.min(5)).min(WAIT_MAX);
        let spread = ceiling.mul_f64(random.clamp(0.0, 1.0));
        let again = |hint: Option<Duration>| hint.map_or(spread, |hint| hint.min(HINT_MAX));
        let mut renew = |first| {
            let wait = if std::mem::replace(&mut self.renewed, true) { spread } else { Duration::ZERO };
            Next::Again { wait, first }
        };
        match ended {
            Ended::Closed { code: 4501, .. } => renew(First::LogIn),
            Ended::Closed { code: 4502, .. } | Ended::Refused { status: 401, .. } => renew(First::Refresh),
            Ended::Closed { code: 1009 | 4500..=4599, .. } => Next::Never,
            Ended::Refused { status: 429 | 500..=599, retry_after } => {
                Next::Again { wait: again(retry_after), first: First::Nothing }
            }
            Ended::Refused { .. } => Next::Never,
            Ended::Closed { retry_after, .. } | Ended::Lost { retry_after } => {
                Next::Again { wait: again(retry_after), first: First::Nothing }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(wait_ms: u64) -> Duration {
        Duration::from_millis(wait_ms)
    }

    fn check(ended: Ended, expected: Next) {
        assert_eq!(Backoff::default().next(ended, 0.5), expected, "{ended:?}");
    }

    #[test]
    fn the_range_of_a_close_code_decides_about_reconnecting() {
        let again = |wait, first| Next::Again { wait: ms(wait), first };
        for code in [1000, 1001, 1006, 1011, 4400, 4401, 4402, 4403, 4404, 4499, 4600] {
            check(Ended::Closed { code, retry_after: None }, again(500, First::Nothing));
            check(Ended::Closed { code, retry_after: Some(ms(1234)) }, again(1234, First::Nothing));
        }
        for code in [1009, 4500, 4503, 4599] {
            check(Ended::Closed { code, retry_after: Some(ms(10)) }, Next::Never);
        }
        check(Ended::Closed { code: 4501, retry_after: None }, again(0, First::LogIn));
        check(Ended::Closed { code: 4502, retry_after: None }, again(0, First::Refresh));
        check(Ended::Refused { status: 401, retry_after: None }, again(0, First::Refresh));
        check(Ended::Refused { status: 429, retry_after: Some(ms(2000)) }, again(2000, First::Nothing));
        check(Ended::Refused { status: 503, retry_after: None }, again(500, First::Nothing));
        check(Ended::Refused { status: 403, retry_after: None }, Next::Never);
        check(Ended::Lost { retry_after: None }, again(500, First::Nothing));
    }

    #[test]
    fn waits_double_up_to_half_a_minute_and_reset_after_a_success() {
        let mut backoff = Backoff::default();
        let mut wait = || match backoff.next(Ended::Lost { retry_after: None }, 1.0) {
            Next::Again { wait, .. } => wait.as_millis(),
            Next::Never => panic!("a lost connection must be retried"),
        };
        assert_eq!(
            [wait(), wait(), wait(), wait(), wait(), wait(), wait()],
            [1000, 2000, 4000, 8000, 16000, 30000, 30000]
        );
        backoff.served();
        let next = backoff.next(Ended::Lost { retry_after: None }, 0.0);
        assert_eq!(next, Next::Again { wait: ms(0), first: First::Nothing });
    }

    #[test]
    fn tokens_are_renewed_at_once_after_any_failures_and_then_with_a_wait() {
        let mut backoff = Backoff::default();
        for _ in 0..5 {
            backoff.next(Ended::Lost { retry_after: None }, 1.0);
        }
        let expired = Ended::Closed { code: 4502, retry_after: None };
        assert_eq!(backoff.next(expired, 1.0), Next::Again { wait: ms(0), first: First::Refresh });
        let revoked = Ended::Closed { code: 4501, retry_after: None };
        assert_eq!(backoff.next(revoked, 1.0), Next::Again { wait: WAIT_MAX, first: First::LogIn });
        backoff.served();
        assert_eq!(backoff.next(revoked, 1.0), Next::Again { wait: ms(0), first: First::LogIn });
    }
}
