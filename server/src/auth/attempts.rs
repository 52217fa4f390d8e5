//! The limit on failed logins.
//!
//! Not governor's: its check always counts, and here only a failed login counts, after its check.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use parking_lot::Mutex;

use super::accounts::AccountName;
use super::error::AuthError;

/// Most names, and most addresses, tracked at a time.
///
/// An attacker who fills one table still hits the limit of the other, and the hashing pool bounds both.
const KEYS_MAX: usize = 100_000;

/// Failed logins by name and by address.
pub(super) struct Attempts {
    by_name: Mutex<Failures<String>>,
    by_address: Mutex<Failures<IpAddr>>,
}

impl Attempts {
    pub(super) fn new(per_name: u32, per_address: u32, window: Duration) -> Self {
        Self {
            by_name: Mutex::new(Failures::new(per_name, window)),
            by_address: Mutex::new(Failures::new(per_address, window)),
        }
    }

    /// Checks that a login may be tried now.
    pub(super) fn check(&self, name: &AccountName, address: IpAddr, now_ms: i64) -> Result<(), AuthError> {
        let by_name = self.by_name.lock().wait_ms(&name.key(), now_ms);
        let by_address = self.by_address.lock().wait_ms(&network(address), now_ms);
        match by_name.max(by_address) {
            0 => Ok(()),
            retry_after_ms => Err(AuthError::TooManyAttempts { retry_after_ms }),
        }
    }

    /// Records a failed login.
    pub(super) fn failed(&self, name: &AccountName, address: IpAddr, now_ms: i64) {
        self.by_name.lock().note(name.key(), now_ms);
        self.by_address.lock().note(network(address), now_ms);
    }
}

/// The part of an address that an attacker cannot vary: a whole IPv4 address, or the /64 of an IPv6 address.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
    }
}

/// Failures by key. Each one is paid off after `window / limit`.
struct Failures<K> {
    /// Milliseconds after which one failure is paid off.
    step_ms: i64,
    window_ms: i64,
    /// Time at which all failures of a key are paid off, in milliseconds since the epoch.
    paid_off_ms: HashMap<K, i64>,
}

impl<K: Eq + Hash> Failures<K> {
    fn new(limit: u32, window: Duration) -> Self {
        let window_ms = i64::try_from(window.as_millis()).unwrap_or(i64::MAX);
        let step_ms = (window_ms / i64::from(limit.max(1))).max(1);
        Self { step_ms, window_ms: step_ms * i64::from(limit.max(1)), paid_off_ms: HashMap::new() }
    }

    /// Milliseconds until one more failure is allowed; 0 if it is allowed now.
    fn wait_ms(&self, key: &K, now_ms: i64) -> u64 {
        let Some(paid_off_ms) = self.paid_off_ms.get(key) else { return 0 };
        let room_from_ms = paid_off_ms + self.step_ms - self.window_ms;
        u64::try_from(room_from_ms - now_ms).unwrap_or(0)
    }

    fn note(&mut self, key: K, now_ms: i64) {
        if self.paid_off_ms.len() >= KEYS_MAX && !self.paid_off_ms.contains_key(&key) {
            self.paid_off_ms.retain(|_, paid_off_ms| *paid_off_ms > now_ms);
            if self.paid_off_ms.len() >= KEYS_MAX {
                return;
            }
        }
        let paid_off_ms = self.paid_off_ms.entry(key).or_insert(now_ms);
        *paid_off_ms = (*paid_off_ms).max(now_ms) + self.step_ms;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_secs(100);

    #[test]
    fn a_window_allows_its_limit_of_failures_and_then_one_per_step() {
        let mut failures = Failures::new(10, WINDOW);
        for _ in 0..10 {
            assert_eq!(failures.wait_ms(&"ada", 0), 0);
            failures.note("ada", 0);
        }
        assert_eq!(failures.wait_ms(&"ada", 0), 10_000);
        assert_eq!(failures.wait_ms(&"ada", 9_999), 1);
        assert_eq!(failures.wait_ms(&"ada", 10_000), 0);
        assert_eq!(failures.wait_ms(&"bob", 0), 0);
        failures.note("ada", 10_000);
        assert_eq!(failures.wait_ms(&"ada", 10_000), 10_000);
        assert_eq!(failures.wait_ms(&"ada", 1_000_000), 0);
    }

    #[test]
    fn the_table_is_bounded_and_forgets_failures_that_are_paid_off() {
        let mut failures = Failures::new(10, WINDOW);
        for key in 0..KEYS_MAX {
            failures.note(key, 0);
        }
        failures.note(KEYS_MAX, 0);
        assert_eq!(failures.paid_off_ms.len(), KEYS_MAX);
        failures.note(KEYS_MAX, 10_000);
        assert_eq!(failures.paid_off_ms.len(), 1);
    }

    #[test]
    fn the_case_of_a_name_and_the_host_half_of_an_address_make_no_difference() {
        let attempts = Attempts::new(1, 1, WINDOW);
        let name = |text| AccountName::new(text).expect("a name");
        let address = |text: &str| text.parse::<IpAddr>().expect("an address");
        attempts.failed(&name("Ada"), address("2001:db8::1"), 0);
        assert!(attempts.check(&name("ADA"), address("192.0.2.1"), 0).is_err());
        assert!(attempts.check(&name("bob"), address("2001:db8::ffff"), 0).is_err());
        assert!(attempts.check(&name("bob"), address("2001:db8:0:1::1"), 0).is_ok());
    }
}
