//! Which action comes next: a player who fights, trades and rests. Pure, from a seeded source of chance.

use castellan_client::protocol::{
    Action, AddItem, BuyItem, EquipItem, GainExperience, GrantTemporaryHitpoints, LongRest, ModifyCurrency,
    ModifyHitpoints, RemoveItem, Revive, SellItem, Slot, UnequipItem,
};
use rand::{Rng, RngExt};

use super::sheet::{Life, Sheet};

/// The next action of a player who last saw `state`.
///
/// Most succeed. Those that were chosen on a state that has moved on since may be turned down by the rules, as with
/// real players.
pub(crate) fn next_action(rng: &mut impl Rng, state: &Sheet) -> Action {
    if state.life == Life::Dead {
        return Action::Revive(Revive { hitpoints: 1 });
    }
    if state.hitpoints == 0 {
        return heal(rng.random_range(1..=8));
    }
    match rng.random_range(0..100) {
        0..30 => Action::ModifyHitpoints(ModifyHitpoints { delta: -rng.random_range(1..=4), critical: false }),
        30..50 => heal(rng.random_range(1..=6)),
        50..55 => Action::GrantTemporaryHitpoints(GrantTemporaryHitpoints { amount: rng.random_range(1..=8) }),
        55..65 => coins(rng.random_range(1..=9)),
        65..70 if state.currency.gp > 0 => coins(-1),
        70..78 => Action::GainExperience(GainExperience { amount: rng.random_range(1..=5) }),
        78..83 => Action::AddItem(AddItem { item: torch(), quantity: 2 }),
        83..86 => Action::RemoveItem(RemoveItem { item: torch(), quantity: 1 }),
        86..90 if state.currency.gp > 0 => Action::BuyItem(BuyItem { item: torch(), quantity: 1 }),
        90..92 => Action::SellItem(SellItem { item: torch(), quantity: 1 }),
        92..95 => Action::EquipItem(EquipItem { item: "dagger".to_owned(), slot: Some(Slot::OffHand) }),
        95..97 if !state.equipment.is_empty_map() => Action::UnequipItem(UnequipItem { slot: Slot::OffHand }),
        97..99 => Action::LongRest(LongRest {}),
        _ => coins(5),
    }
}

/// What a new character is given before the load begins, so that most actions can succeed.
pub(crate) fn outfit() -> [Action; 3] {
    let dagger = AddItem { item: "dagger".to_owned(), quantity: 1 };
    [Action::AddItem(dagger), Action::AddItem(AddItem { item: torch(), quantity: 10 }), coins(50)]
}

fn torch() -> String {
    "torch".to_owned()
}

fn heal(amount: i64) -> Action {
    Action::ModifyHitpoints(ModifyHitpoints { delta: amount, critical: false })
}

fn coins(gp: i64) -> Action {
    Action::ModifyCurrency(ModifyCurrency { cp: None, sp: None, ep: None, gp: Some(gp), pp: None })
}

#[cfg(test)]
mod tests {
    use super::super::sheet::tests::sheet;
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;
    use std::collections::BTreeSet;

    #[test]
    fn the_dead_are_revived_and_the_fallen_healed() {
        let mut rng = StdRng::seed_from_u64(1);
        let mut state = sheet(1, 0);
        state.hitpoints = 0;
        assert!(matches!(next_action(&mut rng, &state), Action::ModifyHitpoints(modify) if modify.delta > 0));
        state.life = Life::Dead;
        assert!(matches!(next_action(&mut rng, &state), Action::Revive(_)));
    }

    #[test]
    fn the_same_seed_gives_the_same_mix() {
        let run = |seed| {
            let mut rng = StdRng::seed_from_u64(seed);
            (0..1000).map(|_| next_action(&mut rng, &sheet(1, 0))).collect::<Vec<_>>()
        };
        assert_eq!(run(1), run(1));
        assert_ne!(run(1), run(2));
        let kinds: BTreeSet<_> = run(1).iter().map(Action::kind).collect();
        assert_eq!(kinds.len(), 11, "{kinds:?}");
    }
}
