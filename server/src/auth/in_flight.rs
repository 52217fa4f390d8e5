//! The limit on logins that are under way at the same time, so that nobody fills the queue for hashing alone.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;

use parking_lot::Mutex;

use super::error::AuthError;
use crate::network::Network;

/// The logins under way.
pub(super) struct InFlight {
    per_name: u32,
    per_address: u32,
    counts: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    /// Of a name from one address: others must not be able to keep its owner out.
    by_name: HashMap<(String, Network), u32>,
    by_address: HashMap<Network, u32>,
}

/// A login under way; it has ended when this is dropped.
pub(super) struct UnderWay<'a> {
    in_flight: &'a InFlight,
    key: (String, Network),
}

impl InFlight {
    pub(super) fn new(per_name: u32, per_address: u32) -> Self {
        Self { per_name, per_address, counts: Mutex::default() }
    }

    /// Begins a login. `name` is the same for all spellings.
    ///
    /// # Errors
    ///
    /// `TooManyAtOnce`.
    pub(super) fn begin(&self, name: String, address: IpAddr) -> Result<UnderWay<'_>, AuthError> {
        let key = (name, Network::of(address));
        let mut counts = self.counts.lock();
        if counts.by_name.get(&key).is_some_and(|logins| *logins >= self.per_name) {
            return Err(AuthError::TooManyAtOnce { of_one_name: true });
        }
        if counts.by_address.get(&key.1).is_some_and(|logins| *logins >= self.per_address) {
            return Err(AuthError::TooManyAtOnce { of_one_name: false });
        }
        *counts.by_name.entry(key.clone()).or_default() += 1;
        *counts.by_address.entry(key.1).or_default() += 1;
        Ok(UnderWay { in_flight: self, key })
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let mut counts = self.in_flight.counts.lock();
        end(&mut counts.by_name, &self.key);
        end(&mut counts.by_address, &self.key.1);
    }
}

fn end<K: Eq + Hash>(counts: &mut HashMap<K, u32>, key: &K) {
    let Some(count) = counts.get_mut(key) else { return };
    *count -= 1;
    if *count == 0 {
        counts.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_and_an_address_have_so_many_logins_under_way_and_others_their_own() {
        let in_flight = InFlight::new(2, 3);
        let begin = |name: &str, last: u8| in_flight.begin(name.to_owned(), [192, 0, 2, last].into());
        let of_one_name = |result: Result<UnderWay<'_>, AuthError>| match result {
            Err(AuthError::TooManyAtOnce { of_one_name }) => Some(of_one_name),
            _ => None,
        };
        let ada = [begin("ada", 1).expect("room"), begin("ada", 1).expect("room")];
        assert_eq!(of_one_name(begin("ada", 1)), Some(true));
        let elsewhere = begin("ada", 2).expect("another address");
        let bob = begin("bob", 1).expect("another name");
        assert_eq!(of_one_name(begin("carl", 1)), Some(false));
        drop(ada);
        drop(begin("carl", 1).expect("room again"));
        drop((elsewhere, bob));
        let counts = in_flight.counts.lock();
        assert!(counts.by_name.is_empty() && counts.by_address.is_empty());
    }
}
