//! Coins: paying, change, proceeds.

use castellan_protocol::RejectionCode;
use castellan_protocol::limits::COINS_MAX;

use super::violation::Violation;

/// A kind of coin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coin {
    /// Copper, the unit of all prices.
    Copper,
    /// Silver: 10 copper.
    Silver,
    /// Electrum: 50 copper.
    Electrum,
    /// Gold: 100 copper.
    Gold,
    /// Platinum: 1,000 copper.
    Platinum,
}

impl Coin {
    /// All of them, the smallest first.
    pub const ALL: [Self; 5] = [Self::Copper, Self::Silver, Self::Electrum, Self::Gold, Self::Platinum];

    /// What it is worth in copper. Source: SRD 5.1, "Equipment", "Coinage".
    pub const fn copper(self) -> i64 {
        match self {
            Self::Copper => 1,
            Self::Silver => 10,
            Self::Electrum => 50,
            Self::Gold => 100,
            Self::Platinum => 1000,
        }
    }

    /// Its name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Copper => "cp",
            Self::Silver => "sp",
            Self::Electrum => "ep",
            Self::Gold => "gp",
            Self::Platinum => "pp",
        }
    }
}

/// Coins of each kind, each 0 to 2,000,000,000.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Purse([i64; 5]);

impl Purse {
    /// Coins in the order of [`Coin::ALL`]; `None` where one is out of its bounds.
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

    /// What all coins are worth, in copper.
    pub fn copper(&self) -> i64 {
        Coin::ALL.iter().map(|coin| self.coins(*coin) * coin.copper()).sum()
    }

    /// Adds coins of one kind, or takes them where `delta` is below 0.
    ///
    /// # Errors
    ///
    /// `insufficient_funds`, `limit_exceeded`.
    pub(super) fn change(&mut self, coin: Coin, delta: i64) -> Result<(), Violation> {
        let count = self.coins(coin).saturating_add(delta);
        if count < 0 {
            let message = format!("{}: {} are too few", coin.as_str(), self.coins(coin));
            return Err(Violation::new(RejectionCode::InsufficientFunds, message));
        }
        if count > COINS_MAX {
            return Err(Violation::limit(format!("{}: at most {COINS_MAX} coins of a kind", coin.as_str())));
        }
        self.0[coin as usize] = count;
        Ok(())
    }

    /// Pays a price in copper with the smallest coins first; change comes back in gold, silver and copper.
    ///
    /// # Errors
    ///
    /// `insufficient_funds`; `limit_exceeded` where the change does not fit.
    pub(super) fn pay(&mut self, price_cp: i64) -> Result<(), Violation> {
        if self.copper() < price_cp {
            let message = format!("it costs {price_cp} cp, and all coins are worth {} cp", self.copper());
            return Err(Violation::new(RejectionCode::InsufficientFunds, message));
        }
        let mut due_cp = price_cp;
        for coin in Coin::ALL {
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

    /// Puts an amount of copper in as gold, silver and copper, as few coins as that takes.
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

    /// Coins as cp, sp, ep, gp, pp.
    #[track_caller]
    fn check_pay(coins: [i64; 5], price_cp: i64, left: [i64; 5]) {
        let mut purse = Purse::from_coins(coins).expect("within bounds");
        purse.pay(price_cp).expect("enough");
        assert_eq!(purse.0, left);
    }

    #[test]
    fn pays_with_the_smallest_coins_first() {
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
    fn refuses_what_all_coins_together_do_not_buy() {
        let mut purse = Purse::from_coins([99, 0, 0, 0, 0]).expect("within bounds");
        assert_eq!(purse.pay(100).map_err(|refused| refused.code), Err(RejectionCode::InsufficientFunds));
    }

    #[test]
    fn change_does_not_pass_the_limit() {
        let mut purse = Purse::from_coins([0, 0, 0, COINS_MAX, 1]).expect("within bounds");
        assert_eq!(purse.pay(COINS_MAX * 100 + 1).map_err(|refused| refused.code), Ok(()));
        let mut purse = Purse::from_coins([0, COINS_MAX, 0, 0, 0]).expect("within bounds");
        assert_eq!(purse.receive(10).map_err(|refused| refused.code), Err(RejectionCode::LimitExceeded));
    }
}
