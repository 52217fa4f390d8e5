//! Refusals by limits on what one client may use: a metric for each, and a line in the log at most once a minute.

use std::fmt;
use std::sync::LazyLock;
use std::time::Duration;

use castellan_protocol::UserId;
use metrics::{Counter, counter};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::network::Network;

/// Shortest time between two lines about the same limit.
const QUIET: Duration = Duration::from_secs(60);

/// Who was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// Somebody at an address.
    Network(Network),
    /// A user.
    User(UserId),
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(network) => write!(f, "{network}"),
            Self::User(user) => write!(f, "user {user}"),
        }
    }
}

macro_rules! limits {
    ($( $(#[doc = $doc:literal])+ $limit:ident, $label:literal, $setting:literal; )+) => {
        /// A limit on what one client may use.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Limit { $( $(#[doc = $doc])+ $limit, )+ }

        /// All limits: their labels in the metric, and the settings that raise them.
        const LIMITS: &[(&str, &str)] = &[ $( ($label, $setting), )+ ];
    };
}

limits! {
    /// Open HTTP connections of all clients. Whoever holds the most is refused, or gives up an idle one.
    Connections, "connections", "http.connections_max";
    /// Open HTTP connections from one address.
    ConnectionsPerAddress, "connections_per_address", "http.connections_per_address";
    /// HTTP requests of one session per second.
    Requests, "requests", "http.rate_per_second";
    /// HTTP requests without a session from one address per second.
    AnonymousRequests, "anonymous_requests", "http.anonymous_per_second";
    /// Characters that one user creates per day.
    Creations, "creations", "http.creations_per_day";
    /// Guests that one address makes per day.
    Guests, "guests", "http.guests_per_day";
    /// Logins under way, of one name from one address.
    LoginsPerName, "logins_per_name", "auth.logins_per_name";
    /// Logins under way from one address.
    LoginsPerAddress, "logins_per_address", "auth.logins_per_address";
    /// Live sessions of one user. A login ends the oldest one.
    Sessions, "sessions", "auth.sessions_per_user";
    /// Attempts to open a socket from one address per second.
    Handshakes, "handshakes", "socket.handshakes_per_second";
    /// Open sockets of all users. Whoever holds the most is refused, or loses one.
    Sockets, "sockets", "socket.connections_max";
    /// Open sockets of one user.
    SocketsPerUser, "sockets_per_user", "socket.connections_per_user";
    /// Open sockets from one address.
    SocketsPerAddress, "sockets_per_address", "socket.connections_per_address";
}

/// The refusals by one limit.
struct Refusals {
    counter: Counter,
    news: Mutex<News>,
}

#[derive(Default)]
struct News {
    /// Not yet in the log.
    count: u64,
    latest: Option<Who>,
    logged_at: Option<Instant>,
}

static REFUSALS: LazyLock<Vec<Refusals>> = LazyLock::new(|| {
    let refusals = |(label, _): &(&'static str, &str)| Refusals {
        counter: counter!("castellan_refused_total", "limit" => *label),
        news: Mutex::default(),
    };
    LIMITS.iter().map(refusals).collect()
});

/// A limit has refused somebody.
pub fn refused(limit: Limit, who: Who) {
    let refusals = &REFUSALS[limit as usize];
    refusals.counter.increment(1);
    let mut news = refusals.news.lock();
    news.count += 1;
    news.latest = Some(who);
}

/// Logs the refusals that are not in the log yet. Call it every second.
pub fn log_refusals() {
    for (refusals, (label, setting)) in REFUSALS.iter().zip(LIMITS) {
        if let Some((count, latest)) = refusals.news.lock().take(Instant::now()) {
            tracing::warn!(limit = label, setting, count, %latest, "a limit has refused clients");
        }
    }
}

impl News {
    /// The refusals for a line, if it is time for one.
    fn take(&mut self, now: Instant) -> Option<(u64, Who)> {
        if self.logged_at.is_some_and(|logged_at| now < logged_at + QUIET) {
            return None;
        }
        let latest = self.latest.take()?;
        self.logged_at = Some(now);
        Some((std::mem::take(&mut self.count), latest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_logged_together_and_once_a_minute() {
        let who = |number| Who::Network(Network::of([192, 0, 2, number].into()));
        let mut news = News::default();
        let start = Instant::now();
        assert_eq!(news.take(start), None, "nobody was refused");
        let refuse = |news: &mut News, number| {
            news.count += 1;
            news.latest = Some(who(number));
        };
        refuse(&mut news, 1);
        assert_eq!(news.take(start), Some((1, who(1))));
        refuse(&mut news, 2);
        refuse(&mut news, 3);
        assert_eq!(news.take(start + QUIET - Duration::from_secs(1)), None);
        assert_eq!(news.take(start + QUIET), Some((2, who(3))), "what came in between is not lost");
        assert_eq!(news.take(start + 3 * QUIET), None);
    }
}
