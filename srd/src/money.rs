//! Coins: paying, change, proceeds.

use crate::code;
use crate::request::limits::COINS_MAX;

use castellan_game::Violation;

use crate::request::Coin;

impl Coin {
    /// Its value in copper. Source: SRD 5.1, "Equipment", "Coinage".
    pub const fn copper(self) -> i64 {
        match self {
            Self::Copper => 1,
            Self::Silver => 10,
            Self::Electrum => 50,
            Self::Gold => 100,
            Self::Platinum => 1000,
        }
    }
}

/// Coins by kind, 0 to 2,000,000,000 of each.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Purse([i64; 5]);

impl Purse {
    /// Coins in the order of [`Coin::ALL`]; `None` if a number is out of bounds.
    pub(super) fn from_coins(coins: [i64; 5]) -> Option<Self> {
        coins.iter().all(|count| (0..=COINS_MAX).contains(count)).then_some(Self(coins))
    }

    /// Coins of one kind.
    pub const fn coins(&self, coin: Coin) -> i64 {
        self.0[coin as usize]
    }

    /// Coins of all kinds together.
    pub fn count(&self) -> i64 {
        self.0.iter().sum()
    }

    /// Value of all coins, in copper.
    pub fn copper(&self) -> i64 {
        Coin::ALL.iter().map(|coin| self.coins(*coin) * coin.copper()).sum()
    }

    /// Adds coins of one kind, or removes them if `delta` is negative.
    ///
    /// # Errors
    ///
    /// `insufficient_funds`, `limit_exceeded`.
    pub(super) fn change(&mut self, coin: Coin, delta: i64) -> Result<(), Violation> {
        let count = self.coins(coin).saturating_add(delta);
        if count < 0 {
            let message = format!("{}: the purse has only {}", coin.as_str(), self.coins(coin));
            return Err(Violation::new(code::INSUFFICIENT_FUNDS, message));
        }
        if count > COINS_MAX {
            return Err(Violation::limit(format!("{}: at most {COINS_MAX} coins of one kind", coin.as_str())));
        }
        self.0[coin as usize] = count;
        Ok(())
    }

    /// Pays a price in copper, smallest coins first. Change comes in gold, silver and copper.
    ///
    /// # Errors
    ///
    /// `insufficient_funds`; `limit_exceeded` if the change does not fit.
    pub(super) fn pay(&mut self, price_cp: i64) -> Result<(), Violation> {
        if self.copper() < price_cp {
            let message = format!("the price is {price_cp} cp; all coins together are worth {} cp", self.copper());
            return Err(Violation::new(code::INSUFFICIENT_FUNDS, message));
        }
        let mut due_cp = price_cp;
        for &coin in Coin::ALL {
            if due_cp <= 0 {
                break;
            }
            let needed = (due_cp + coin.copper() - 1) / coin.copper();
            let given = needed.min(self.coins(coin));
            self.0[coin as usize] -= given;
            due_cp -= given * coin.copper();
        }
        self.receive(-due_cp)
    }

    /// Adds an amount of copper as gold, silver and copper, with as few coins as possible.
    ///
    /// # Errors
    ///
    /// `limit_exceeded`.
    pub(super) fn receive(&mut self, amount_cp: i64) -> Result<(), Violation> {
        let mut left_cp = amount_cp;
        for coin in [Coin::Gold, Coin::Silver, Coin::Copper] {
            self.change(coin, left_cp / coin.copper())?;
            left_cp %= coin.copper();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Coins in the order cp, sp, ep, gp, pp.
    #[track_caller]
    fn check_pay(coins: [i64; 5], price_cp: i64, left: [i64; 5]) {
        let mut purse = Purse::from_coins(coins).expect("within bounds");
        purse.pay(price_cp).expect("enough");
        assert_eq!(purse.0, left);
    }

    #[test]
    fn a_price_is_paid_with_the_smallest_coins_first() {
        check_pay([0, 0, 0, 10, 0], 1000, [0, 0, 0, 0, 0]);
        check_pay([0, 5, 0, 42, 0], 100, [0, 5, 0, 41, 0]);
        check_pay([7, 3, 1, 2, 0], 37, [0, 0, 1, 2, 0]);
        check_pay([0, 0, 0, 0, 1], 1, [9, 9, 0, 9, 0]);
        check_pay([5, 1, 0, 0, 0], 10, [5, 0, 0, 0, 0]);
        check_pay([0, 0, 1, 0, 0], 30, [0, 2, 0, 0, 0]);
        check_pay([1, 2, 3, 4, 5], 0, [1, 2, 3, 4, 5]);
        check_pay([0, 0, 0, 1, 1], 150, [0, 5, 0, 9, 0]);
    }

    #[test]
    fn a_price_above_the_value_of_all_coins_is_refused() {
        let mut purse = Purse::from_coins([99, 0, 0, 0, 0]).expect("within bounds");
        assert_eq!(purse.pay(100).map_err(|refused| refused.code), Err(code::INSUFFICIENT_FUNDS));
    }

    #[test]
    fn change_never_exceeds_the_limit_of_coins() {
        let mut purse = Purse::from_coins([0, 0, 0, COINS_MAX, 1]).expect("within bounds");
        assert_eq!(purse.pay(COINS_MAX * 100 + 1).map_err(|refused| refused.code), Ok(()));
        let mut purse = Purse::from_coins([0, COINS_MAX, 0, 0, 0]).expect("within bounds");
        assert_eq!(
            purse.receive(10).map_err(|refused| refused.code),
            Err(castellan_protocol::RejectionCode::LIMIT_EXCEEDED)
        );
    }
}
