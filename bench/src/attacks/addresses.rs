//! The loopback addresses of everybody.

use std::net::Ipv4Addr;

/// All attackers.
pub(super) const ATTACKERS: Ipv4Addr = Ipv4Addr::new(127, 9, 9, 9);

/// The operator, who reads the metrics.
pub(super) const OPERATOR: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 7);

/// A player: each has an address, as behind a home router.
pub(super) fn of_player(number: usize) -> Ipv4Addr {
    in_block(1, number)
}

/// Another honest client.
pub(super) fn of_other(number: usize) -> Ipv4Addr {
    in_block(2, number)
}

/// # Panics
///
/// Above 50,000.
fn in_block(block: u8, number: usize) -> Ipv4Addr {
    let third = u8::try_from(number / 200).expect("at most 50,000 addresses");
    Ipv4Addr::new(127, block, third, 1 + (number % 200) as u8)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn nobody_shares_an_address() {
        let all: BTreeSet<_> = (0..10_000).flat_map(|number| [of_player(number), of_other(number)]).collect();
        assert_eq!(all.len(), 20_000);
        assert!(!all.contains(&ATTACKERS) && !all.contains(&OPERATOR));
    }
}
