//! The limit on failed logins: by name and address together, by name, and by address.
//!
//! The first one always holds. The other two would let strangers keep an account's owner out: attackers who try one
//! name from many addresses, or somebody who shares the owner's address. So they spare a login from a network from which
//! the account has logged in before. Its sessions in the database say which networks these are, on every server and
//! after a restart.
//!
//! Not governor's: its check always counts, and here only a failed login counts, after its check.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::time::Duration;

use parking_lot::Mutex;

use super::accounts::AccountName;
use super::error::AuthError;
use crate::config;
use crate::network::Network;

/// Most keys tracked at a time, for each of the three limits.
///
/// An attacker who fills one table still hits the limits of the others, and the hashing pool bounds all.
const KEYS_MAX: usize = 100_000;

/// Failed logins.
pub(super) struct Attempts {
    by_both: Mutex<Failures<(String, Network)>>,
    by_name: Mutex<Failures<String>>,
    by_address: Mutex<Failures<Network>>,
}

impl Attempts {
    pub(super) fn new(settings: &config::Auth) -> Self {
        let window = settings.failures_window;
        Self {
            by_both: Mutex::new(Failures::new(settings.failures_per_name_and_address, window)),
            by_name: Mutex::new(Failures::new(settings.failures_per_name, window)),
            by_address: Mutex::new(Failures::new(settings.failures_per_address, window)),
        }
    }

    /// Checks that a login may be tried now.
    ///
    /// `is_known` tells if the account has logged in from this network before. It is called only if that matters.
    pub(super) async fn check(
        &self,
        name: &AccountName,
        address: IpAddr,
        now_ms: i64,
        is_known: impl AsyncFnOnce() -> Result<bool, AuthError>,
    ) -> Result<(), AuthError> {
        let (name, network) = (name.key(), Network::of(address));
        let by_name_ms = self.by_name.lock().wait_ms(&name, now_ms);
        let by_address_ms = self.by_address.lock().wait_ms(&network, now_ms);
        let by_both_ms = self.by_both.lock().wait_ms(&(name, network), now_ms);
        let shared_ms = by_name_ms.max(by_address_ms);
        // One who must wait anyway costs no look into the database.
        let spared = by_both_ms == 0 && shared_ms > 0 && is_known().await?;
        match if spared { 0 } else { by_both_ms.max(shared_ms) } {
            0 => Ok(()),
            retry_after_ms => Err(AuthError::TooManyAttempts { retry_after_ms }),
        }
    }

    /// Checks that somebody who has no name yet may fail once more.
    pub(super) fn check_address(&self, address: IpAddr, now_ms: i64) -> Result<(), AuthError> {
        match self.by_address.lock().wait_ms(&Network::of(address), now_ms) {
            0 => Ok(()),
            retry_after_ms => Err(AuthError::TooManyAttempts { retry_after_ms }),
        }
    }

    /// Records a failed login of somebody who has no name.
    pub(super) fn failed_from(&self, address: IpAddr, now_ms: i64) {
        self.by_address.lock().note(Network::of(address), now_ms);
    }

    /// Records a failed login.
    pub(super) fn failed(&self, name: &AccountName, address: IpAddr, now_ms: i64) {
        let (name, network) = (name.key(), Network::of(address));
        self.by_name.lock().note(name.clone(), now_ms);
        self.by_address.lock().note(network, now_ms);
        self.by_both.lock().note((name, network), now_ms);
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
        // The clock may have been set back since. Nobody waits for longer than the window.
        u64::try_from((room_from_ms - now_ms).min(self.window_ms)).unwrap_or(0)
    }

    fn note(&mut self, key: K, now_ms: i64) {
        if self.paid_off_ms.len() >= KEYS_MAX && !self.paid_off_ms.contains_key(&key) {
            self.paid_off_ms.retain(|_, paid_off_ms| *paid_off_ms > now_ms);
            if self.paid_off_ms.len() >= KEYS_MAX {
                return;
            }
        }
        let paid_off_ms = self.paid_off_ms.entry(key).or_insert(now_ms);
        *paid_off_ms = (*paid_off_ms).clamp(now_ms, now_ms + self.window_ms) + self.step_ms;
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
    fn a_clock_that_is_set_back_makes_nobody_wait_for_longer_than_the_window() {
        let mut failures = Failures::new(1, WINDOW);
        failures.note("ada", 1_000_000);
        assert_eq!(failures.wait_ms(&"ada", 0), 100_000);
        failures.note("ada", 0);
        assert_eq!(failures.wait_ms(&"ada", 200_000), 0);
    }

    #[tokio::test]
    async fn only_strangers_wait_because_of_others() {
        let attempts = Attempts {
            by_both: Mutex::new(Failures::new(2, WINDOW)),
            by_name: Mutex::new(Failures::new(3, WINDOW)),
            by_address: Mutex::new(Failures::new(3, WINDOW)),
        };
        let name = |text: &str| AccountName::new(text).expect("a name");
        let address = |text: &str| text.parse::<IpAddr>().expect("an address");
        let may = async |who: &str, from: &str, is_known: Option<bool>| {
            let is_known = async || Ok(is_known.expect("asked only if it matters"));
            attempts.check(&name(who), address(from), 0, is_known).await.is_ok()
        };
        for from in ["2001:db8::1", "2001:db8::2", "192.0.2.1"] {
            attempts.failed(&name("Ada"), address(from), 0);
        }
        assert!(!may("ADA", "2001:db8::ffff", None).await, "two failures from one network, in any spelling");
        assert!(!may("ada", "192.0.2.1", Some(false)).await, "three failures of one name");
        assert!(may("ada", "192.0.2.1", Some(true)).await);
        assert!(may("bob", "2001:db8::1", None).await, "two failures from a network");
        attempts.failed(&name("eve"), address("2001:db8::3"), 0);
        assert!(!may("bob", "2001:db8::1", Some(false)).await, "three failures from a network");
        assert!(may("bob", "2001:db8::1", Some(true)).await);
        assert!(may("bob", "2001:db8:0:1::1", None).await, "another network");
    }
}
