//! What one session, one address and one user may ask for in a time.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use castellan_protocol::{RejectionCode, SessionId, UserId};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::client_address::ClientAddress;
use super::problem::Problem;
use crate::auth::Session;
use crate::config;
use crate::network::Network;
use crate::rate::{Bucket, Rate};
use crate::telemetry::{self, Limit, Who};

/// Most keys tracked at a time in one table. A key with a full bucket need not be tracked.
const KEYS_MAX: usize = 65_536;

/// Fewest keys at which full buckets are forgotten.
const SWEEP_MIN: usize = 1_024;

/// The remaining rate of each session, address and user.
pub struct Rates {
    requests: Buckets<SessionId>,
    anonymous: Buckets<Network>,
    handshakes: Buckets<Network>,
    creations: Buckets<UserId>,
    guests: Buckets<Network>,
}

impl Rates {
    /// Takes the rates from the settings.
    pub fn new(listen: &config::Listen, socket: &config::Socket) -> Self {
        Self {
            requests: Buckets::new(Rate::new(listen.rate_per_second, listen.rate_burst)),
            anonymous: Buckets::new(Rate::new(listen.anonymous_per_second, listen.anonymous_burst)),
            handshakes: Buckets::new(Rate::new(socket.handshakes_per_second, socket.handshakes_burst)),
            creations: Buckets::new(Rate::daily(listen.creations_per_day)),
            guests: Buckets::new(Rate::daily(listen.guests_per_day)),
        }
    }

    /// Counts a request of a session.
    ///
    /// # Errors
    ///
    /// The refusal, if the session exceeds its rate.
    pub(super) fn request(&self, session: &Session) -> Result<(), Problem> {
        let taken = self.requests.take(session.id, Instant::now());
        taken.map_err(|wait| refusal(Limit::Requests, Who::User(session.user), wait, "you are sending too fast"))
    }

    /// Counts a request without a session.
    ///
    /// # Errors
    ///
    /// The refusal, if the client's network exceeds its rate.
    pub(super) fn anonymous(&self, client: ClientAddress) -> Result<(), Problem> {
        let message = "too many requests without a session from your address";
        by_address(&self.anonymous, client, Limit::AnonymousRequests, message)
    }

    /// Counts an attempt to open a socket.
    ///
    /// # Errors
    ///
    /// The refusal, if the client's network exceeds its rate.
    pub(super) fn handshake(&self, client: ClientAddress) -> Result<(), Problem> {
        by_address(&self.handshakes, client, Limit::Handshakes, "too many new sockets from your address")
    }

    /// Counts a creation of a user. If nothing is made, call [`Rates::not_created`].
    ///
    /// # Errors
    ///
    /// The time until the user may create another character.
    pub(super) fn creation(&self, user: UserId) -> Result<(), Duration> {
        self.creations.take(user, Instant::now())
    }

    /// Counts a new guest. If none is made, call [`Rates::no_guest`].
    ///
    /// # Errors
    ///
    /// The refusal, if the client's network has made its guests of the day.
    pub(super) fn guest(&self, client: ClientAddress) -> Result<(), Problem> {
        by_address(&self.guests, client, Limit::Guests, "too many guests from your address today")
    }

    /// Takes back a guest that was not made.
    pub(super) fn no_guest(&self, client: ClientAddress) {
        self.guests.give_back(&client.network());
    }

    /// Takes back a creation that made nothing.
    pub(super) fn not_created(&self, user: UserId) {
        self.creations.give_back(&user);
    }
}

fn by_address(
    buckets: &Buckets<Network>,
    client: ClientAddress,
    limit: Limit,
    message: &'static str,
) -> Result<(), Problem> {
    let network = client.network();
    buckets.take(network, Instant::now()).map_err(|wait| refusal(limit, Who::Network(network), wait, message))
}

fn refusal(limit: Limit, who: Who, wait: Duration, message: &'static str) -> Problem {
    telemetry::refused(limit, who);
    let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1);
    Problem::new(RejectionCode::RATE_LIMITED, message).retry_after_ms(wait_ms)
}

/// A bucket for each key that has used some of it.
///
/// governor's keyed limiter (0.10.4) is as fast, 64 ns to our 68 ns, but cannot tell a tracked key from a new one, so a
/// full table would have to refuse both.
struct Buckets<K> {
    rate: Rate,
    table: Mutex<Table<K>>,
}

struct Table<K> {
    buckets: HashMap<K, Bucket>,
    /// The number of buckets at which those that are full again are forgotten.
    sweep_at: usize,
}

impl<K: Eq + Hash> Buckets<K> {
    fn new(rate: Rate) -> Self {
        let table = Table { buckets: HashMap::new(), sweep_at: SWEEP_MIN };
        Self { rate, table: Mutex::new(table) }
    }

    fn take(&self, key: K, now: Instant) -> Result<(), Duration> {
        let Table { buckets, sweep_at } = &mut *self.table.lock();
        if buckets.len() >= *sweep_at && !buckets.contains_key(&key) {
            buckets.retain(|_, bucket| !bucket.is_full(&self.rate, now));
            // Twice as many, so that the work for each key stays the same however many there are.
            *sweep_at = (buckets.len() * 2).clamp(SWEEP_MIN, KEYS_MAX);
            if buckets.len() >= KEYS_MAX {
                return Err(Duration::from_secs(1));
            }
        }
        buckets.entry(key).or_insert_with(|| Bucket::new(&self.rate, now)).take(&self.rate, now)
    }

    fn give_back(&self, key: &K) {
        if let Some(bucket) = self.table.lock().buckets.get_mut(key) {
            bucket.give_back(&self.rate);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_tracked_keys_is_bounded_and_a_full_bucket_makes_room() {
        let rates = Buckets::new(Rate::new(10, 2));
        let start = Instant::now();
        for number in 0..KEYS_MAX {
            assert_eq!(rates.take(number, start), Ok(()));
        }
        assert!(rates.take(KEYS_MAX, start).is_err(), "no room for one more");
        assert_eq!(rates.take(0, start), Ok(()), "a tracked key is still served");
        let later = start + Duration::from_millis(100);
        assert_eq!(rates.take(KEYS_MAX, later), Ok(()));
        assert_eq!(rates.table.lock().buckets.len(), 2, "the bucket that is not full yet, and the new one");
    }
}
