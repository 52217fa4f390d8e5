//! Checks the effect of an action on a state. Not the rules of the game, but facts that follow from them.

use castellan_srd::wire::{Action, Coin, Currency, Goods};

use super::sheet::{Life, Sheet};

/// The known changes of totals by an applied action.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counted {
    pub(crate) experience: i64,
    pub(crate) units: i64,
    /// The worth of coins that somebody earns or pays.
    pub(crate) copper: i64,
}

/// Returns the known changes of totals by an applied action.
pub(crate) fn counted(action: &Action) -> Counted {
    let units = |units| Counted { units, ..Counted::default() };
    match action {
        Action::GainExperience(gain) => Counted { experience: gain.amount, ..Counted::default() },
        Action::ModifyCurrency(modify) => {
            let of = |coins: Option<i64>| coins.unwrap_or(0);
            let (cp, sp, ep) = (of(modify.cp), of(modify.sp), of(modify.ep));
            let copper = worth_cp(Currency { cp, sp, ep, gp: of(modify.gp), pp: of(modify.pp) });
            Counted { copper, ..Counted::default() }
        }
        Action::AddItem(add) => units(add.quantity),
        Action::BuyItem(buy) => units(buy.quantity),
        Action::RemoveItem(remove) => units(-remove.quantity),
        Action::SellItem(sell) => units(-sell.quantity),
        Action::UseItem(_) => units(-1),
        _ => Counted::default(),
    }
}

/// Checks one step. The error describes the wrong change.
pub(crate) fn check(before: &Sheet, action: &Action, after: &Sheet) -> Result<(), String> {
    hitpoints(before, action, after)?;
    let counted = counted(action);
    same("experience", before.experience + counted.experience, after.experience)?;
    // With any change, offers that are over give their goods back.
    if before.offers.is_empty() && before.waiting.is_empty() {
        coins(before, action, after)?;
        let units = counted.units - given(action).map_or(0, |goods| goods.items.values().sum());
        same("the number of carried units", before.inventory.units + units, after.inventory.units)?;
    }
    let equips = matches!(
        action,
        Action::EquipItem(_)
            | Action::UnequipItem(_)
            | Action::RemoveItem(_)
            | Action::SellItem(_)
            | Action::UseItem(_)
    );
    if !equips && before.equipment != after.equipment {
        return Err("the equipment changed".to_owned());
    }
    Ok(())
}

/// The goods that leave the character with an action.
fn given(action: &Action) -> Option<&Goods> {
    match action {
        Action::Give(give) => Some(&give.goods),
        Action::Offer(offer) => Some(&offer.gives),
        Action::Accept(accept) => Some(&accept.gives),
        _ => None,
    }
}

fn same(what: &str, expected: i64, found: i64) -> Result<(), String> {
    if expected == found { Ok(()) } else { Err(format!("{what} should be {expected}, but is {found}")) }
}

fn hitpoints(before: &Sheet, action: &Action, after: &Sheet) -> Result<(), String> {
    let (mut hitpoints, mut temporary) = (before.hitpoints, before.temporary_hitpoints);
    match action {
        Action::ModifyHitpoints(modify) if modify.delta < 0 => {
            let damage = modify.delta.saturating_neg();
            let taken = damage.min(temporary);
            temporary -= taken;
            hitpoints = (hitpoints - (damage - taken)).max(0);
        }
        Action::ModifyHitpoints(modify) => hitpoints = hitpoints.saturating_add(modify.delta).min(after.max_hitpoints),
        Action::GrantTemporaryHitpoints(grant) => temporary = temporary.max(grant.amount),
        Action::LongRest(_) => (hitpoints, temporary) = (after.max_hitpoints, 0),
        // Their effect depends on dice or the catalogue; only the bounds below are checked.
        Action::RollDeathSave(_)
        | Action::Revive(_)
        | Action::UseItem(_)
        | Action::LevelUp(_)
        | Action::ShortRest(_)
        | Action::AddCondition(_)
        | Action::RemoveCondition(_)
        | Action::EquipItem(_)
        | Action::UnequipItem(_)
        | Action::Attune(_)
        | Action::EndAttunement(_) => (hitpoints, temporary) = (after.hitpoints, after.temporary_hitpoints),
        _ => {}
    }
    if !(0..=after.max_hitpoints).contains(&after.hitpoints) {
        return Err(format!("{} hit points of at most {}", after.hitpoints, after.max_hitpoints));
    }
    if after.hitpoints > 0 && after.life != Life::Conscious {
        return Err(format!("{} hit points, but {:?}", after.hitpoints, after.life));
    }
    same("hit points", hitpoints, after.hitpoints)?;
    same("temporary hit points", temporary, after.temporary_hitpoints)
}

fn coins(before: &Sheet, action: &Action, after: &Sheet) -> Result<(), String> {
    let (had, has) = (before.currency, after.currency);
    let right = match action {
        Action::ModifyCurrency(modify) => {
            let add = |coins: i64, delta: Option<i64>| coins + delta.unwrap_or(0);
            let cp = add(had.cp, modify.cp);
            let (sp, ep) = (add(had.sp, modify.sp), add(had.ep, modify.ep));
            has == Currency { cp, sp, ep, gp: add(had.gp, modify.gp), pp: add(had.pp, modify.pp) }
        }
        Action::BuyItem(_) => worth_cp(has) < worth_cp(had),
        Action::SellItem(_) => worth_cp(has) >= worth_cp(had),
        _ => {
            let gone = |coin| given(action).and_then(|goods| goods.currency.get(&coin)).copied().unwrap_or(0);
            let (cp, sp, ep) =
                (had.cp - gone(Coin::Copper), had.sp - gone(Coin::Silver), had.ep - gone(Coin::Electrum));
            has == Currency { cp, sp, ep, gp: had.gp - gone(Coin::Gold), pp: had.pp - gone(Coin::Platinum) }
        }
    };
    if right { Ok(()) } else { Err(format!("coins went from {had:?} to {has:?}")) }
}

/// Value of coins, in copper.
pub(crate) fn worth_cp(coins: Currency) -> i64 {
    coins.cp + 10 * coins.sp + 50 * coins.ep + 100 * coins.gp + 1000 * coins.pp
}

#[cfg(test)]
mod tests {
    use super::super::sheet::tests::sheet;
    use super::*;
    use crate::load::sheet::Sheet;
    use castellan_srd::wire::*;

    /// Checks one step from 10 of 12 hit points, 3 temporary ones and 5 gold pieces.
    fn step(action: &Action, change: impl FnOnce(&mut Sheet)) -> Result<(), String> {
        let mut before = sheet(1, 0);
        before.temporary_hitpoints = 3;
        let mut after = before.clone();
        change(&mut after);
        check(&before, action, &after)
    }

    fn hit(delta: i64) -> Action {
        Action::ModifyHitpoints(ModifyHitpoints { delta, critical: false })
    }

    #[test]
    fn damage_takes_temporary_hit_points_first() {
        let lost = |hitpoints: i64, temporary: i64| {
            move |after: &mut Sheet| (after.hitpoints, after.temporary_hitpoints) = (hitpoints, temporary)
        };
        assert_eq!(step(&hit(-2), lost(10, 1)), Ok(()));
        assert_eq!(step(&hit(-5), lost(8, 0)), Ok(()));
        assert_eq!(step(&hit(9), lost(12, 3)), Ok(()));
        assert!(step(&hit(-5), lost(5, 3)).is_err());
        assert!(step(&hit(-5), lost(7, 0)).is_err());
        assert!(step(&hit(9), lost(19, 3)).is_err());
        assert!(step(&hit(i64::MIN), lost(10, 3)).is_err());
        assert!(
            step(&hit(-50), |after| (after.hitpoints, after.temporary_hitpoints, after.life) = (0, 0, Life::Dead))
                .is_ok()
        );
        assert!(step(&Action::LongRest(LongRest {}), lost(12, 0)).is_ok());
        assert!(step(&Action::LongRest(LongRest {}), lost(11, 0)).is_err());
    }

    #[test]
    fn coins_change_by_exactly_the_deal() {
        let pay = Action::ModifyCurrency(ModifyCurrency { cp: None, sp: Some(4), ep: None, gp: Some(-2), pp: None });
        assert_eq!(step(&pay, |after| (after.currency.sp, after.currency.gp) = (4, 3)), Ok(()));
        assert!(step(&pay, |after| after.currency.gp = 3).is_err());
        let buy = Action::BuyItem(BuyItem { item: "torch".to_owned(), quantity: 2 });
        let bought = |gp: i64| {
            move |after: &mut Sheet| (after.currency.gp, after.inventory.units) = (gp, after.inventory.units + 2)
        };
        assert_eq!(step(&buy, bought(4)), Ok(()));
        assert!(step(&buy, bought(5)).is_err(), "a torch for nothing");
        assert!(step(&buy, |after| after.currency.gp = 4).is_err(), "paid, and no torch");
        assert!(step(&hit(1), |after| (after.hitpoints, after.currency.gp) = (11, 6)).is_err());
    }

    #[test]
    fn a_deal_takes_exactly_its_goods() {
        let goods = Goods { items: [("torch".to_owned(), 1)].into(), currency: [(Coin::Gold, 2)].into() };
        let give = Action::Give(Give { to: sheet(1, 0).id, goods });
        let given = |units: i64, gp: i64| {
            move |after: &mut Sheet| (after.inventory.units, after.currency.gp) = (after.inventory.units - units, gp)
        };
        assert_eq!(step(&give, given(1, 3)), Ok(()));
        assert!(step(&give, given(0, 3)).is_err());
        assert!(step(&give, given(1, 5)).is_err());
        assert!(step(&give, given(1, 2)).is_err());
    }

    #[test]
    fn an_action_changes_nothing_else() {
        let rename = Action::Rename(Rename { name: "N".to_owned() });
        assert_eq!(step(&rename, |_| ()), Ok(()));
        assert!(step(&rename, |after| after.hitpoints = 9).is_err());
        assert!(step(&rename, |after| after.experience = 9).is_err());
        assert!(step(&rename, |after| after.inventory.units = 9).is_err());
        assert!(step(&rename, |after| after.equipment = Digest::default()).is_err());
    }

    use super::super::sheet::Digest;
}
