//! Items and coins that leave one character and enter another.

use castellan_game::{Amounts, Goods as _, Touched, Violation};

use crate::catalogue::Catalogue;
use crate::character::Character;
use crate::request::limits::COINS_MAX;
use crate::request::{Coin, Goods};

impl castellan_game::Goods for Goods {
    fn amounts(&self) -> Amounts {
        let items = self.items.iter().map(|(item, units)| (item.clone(), *units));
        let coins = self.currency.iter().map(|(coin, coins)| (coin.as_str().to_owned(), *coins));
        items.chain(coins).map(|(kind, amount)| (kind, u64::try_from(amount).unwrap_or_default())).collect()
    }
}

impl Goods {
    /// Checks goods that somebody wants: the catalogue must know the items.
    ///
    /// # Errors
    ///
    /// [`Violation`] if nobody can have them.
    pub fn check_wanted(&self, catalogue: &Catalogue) -> Result<(), Violation> {
        self.check()?;
        self.items.iter().try_for_each(|(item, units)| crate::actions::check_units(item, *units, catalogue))?;
        match self.currency.iter().find(|(_, coins)| **coins > COINS_MAX) {
            Some((coin, _)) => Err(Violation::limit(format!("{}: must be at most {COINS_MAX}", coin.as_str()))),
            None => Ok(()),
        }
    }

    /// Takes the goods out of a character. Bound items, worn units and the last unit of an item that it is attuned to stay.
    ///
    /// # Errors
    ///
    /// [`Violation`] if a rule refuses it. The character is unchanged.
    pub fn take_out(&self, character: &mut Character, catalogue: &Catalogue) -> Result<Touched, Violation> {
        self.check()?;
        character.attempt(|character| {
            crate::actions::must_live(character)?;
            for (item, units) in &self.items {
                crate::actions::hand_out(character, item, *units, catalogue)?;
            }
            self.currency.iter().try_for_each(|(coin, coins)| character.vitals.purse.change(*coin, -coins))
        })
    }

    /// Puts the goods into a character. Their items may have left the catalogue since they were taken out.
    ///
    /// # Errors
    ///
    /// [`Violation`] if a rule refuses it. The character is unchanged.
    pub fn put_in(&self, character: &mut Character) -> Result<Touched, Violation> {
        self.check()?;
        character.attempt(|character| {
            crate::actions::must_live(character)?;
            for (item, units) in &self.items {
                crate::actions::hand_in(character, item, *units)?;
            }
            self.currency.iter().try_for_each(|(coin, coins)| character.vitals.purse.change(*coin, *coins))
        })
    }

    fn check(&self) -> Result<(), Violation> {
        if self.items.is_empty() && self.currency.is_empty() {
            return Err(Violation::malformed("goods: name at least one item or coin"));
        }
        match self.currency.iter().find(|(_, coins)| **coins < 1) {
            Some((coin, _)) => Err(Violation::malformed(format!("{}: must be at least 1", coin.as_str()))),
            None => Ok(()),
        }
    }
}

/// All items and coins of a character.
pub(crate) fn holdings(character: &Character) -> Amounts {
    let mut held = Goods::default();
    for stack in character.inventory().stacks() {
        *held.items.entry(stack.item().as_str().to_owned()).or_default() += i64::from(stack.quantity());
    }
    let coins = Coin::ALL.iter().map(|coin| (*coin, character.purse().coins(*coin)));
    held.currency = coins.filter(|(_, coins)| *coins > 0).collect();
    held.amounts()
}
