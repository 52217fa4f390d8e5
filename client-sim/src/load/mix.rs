//! Chooses the next action of a player who fights, trades and rests. Pure, with a seeded random generator.

use std::collections::BTreeMap;

use castellan_srd::wire::{
    Action, AddItem, BuyItem, EquipItem, GainExperience, GrantTemporaryHitpoints, LongRest, ModifyCurrency,
    ModifyHitpoints, RemoveItem, Revive, SellItem, Slot, UnequipItem,
};
use rand::{Rng, RngExt};

use super::bazaar::Bazaar;
use super::scenario::Deed;
use super::sheet::{Life, Sheet};

/// The weighted deeds of a player, ready for random draws.
#[derive(Debug)]
pub(crate) struct Mix {
    /// Each deed with the sum of its weight and all before it.
    deeds: Vec<(u32, Deed)>,
}

impl Mix {
    /// A mix with these weights. At least one must be above 0.
    pub(crate) fn new(weights: &BTreeMap<Deed, u32>) -> Self {
        let mut sum = 0;
        let deeds = weights.iter().filter(|(_, weight)| **weight > 0).map(|(deed, weight)| {
            sum += weight;
            (sum, *deed)
        });
        Self { deeds: deeds.collect() }
    }

    /// The next action of a player who last saw `state`.
    ///
    /// Most succeed. An action chosen on an outdated state may be refused by the rules, as with real players.
    pub(crate) fn next_action(&self, rng: &mut impl Rng, state: &Sheet, bazaar: Option<&Bazaar>) -> Action {
        if state.life == Life::Dead {
            return Action::Revive(Revive { hitpoints: 1 });
        }
        if state.hitpoints == 0 {
            return heal(rng.random_range(1..=8));
        }
        let sum = self.deeds.last().map_or(1, |(sum, _)| *sum);
        let drawn = rng.random_range(0..sum);
        let index = self.deeds.partition_point(|(sum, _)| *sum <= drawn);
        let deed = self.deeds.get(index).map_or(Deed::Earn, |(_, deed)| *deed);
        let deal = bazaar.and_then(|bazaar| bazaar.action(deed, rng, state));
        deal.unwrap_or_else(|| action(deed, rng, state))
    }
}

/// The action of a deed. Earns some coins instead of a deed that cannot succeed in this state.
fn action(deed: Deed, rng: &mut impl Rng, state: &Sheet) -> Action {
    let has_gold = state.currency.gp > 0;
    match deed {
        Deed::Damage => Action::ModifyHitpoints(ModifyHitpoints { delta: -rng.random_range(1..=4), critical: false }),
        Deed::Heal => heal(rng.random_range(1..=6)),
        Deed::GrantTemporaryHitpoints => {
            Action::GrantTemporaryHitpoints(GrantTemporaryHitpoints { amount: rng.random_range(1..=8) })
        }
        Deed::Earn => coins(rng.random_range(1..=9)),
        Deed::Pay if has_gold => coins(-1),
        Deed::GainExperience => Action::GainExperience(GainExperience { amount: rng.random_range(1..=5) }),
        Deed::AddItem => Action::AddItem(AddItem { item: torch(), quantity: 2 }),
        Deed::RemoveItem => Action::RemoveItem(RemoveItem { item: torch(), quantity: 1 }),
        Deed::BuyItem if has_gold => Action::BuyItem(BuyItem { item: torch(), quantity: rng.random_range(1..=3) }),
        Deed::SellItem => Action::SellItem(SellItem { item: torch(), quantity: 1 }),
        Deed::EquipItem => Action::EquipItem(EquipItem { item: "dagger".to_owned(), slot: Some(Slot::OffHand) }),
        Deed::UnequipItem if !state.equipment.is_empty_map() => {
            Action::UnequipItem(UnequipItem { slot: Slot::OffHand })
        }
        Deed::LongRest => Action::LongRest(LongRest {}),
        Deed::Pay | Deed::BuyItem | Deed::UnequipItem => coins(5),
        // There is nobody to trade with, or nothing.
        Deed::Give | Deed::Offer | Deed::Accept | Deed::Cancel => coins(1),
    }
}

/// The first actions of a new character, with which most later ones can succeed.
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
    use super::super::scenario::Scenario;
    use super::super::sheet::tests::sheet;
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;
    use std::collections::BTreeSet;

    fn casual() -> Mix {
        let scenario = Scenario::delivered("casual").expect("delivered").expect("good");
        Mix::new(&scenario.groups[0].conduct.weights)
    }

    #[test]
    fn a_dead_character_is_revived_and_a_fallen_one_healed() {
        let mut rng = StdRng::seed_from_u64(1);
        let mut state = sheet(1, 0);
        state.hitpoints = 0;
        let fallen = casual().next_action(&mut rng, &state, None);
        assert!(matches!(fallen, Action::ModifyHitpoints(modify) if modify.delta > 0));
        state.life = Life::Dead;
        assert!(matches!(casual().next_action(&mut rng, &state, None), Action::Revive(_)));
    }

    #[test]
    fn the_same_seed_gives_the_same_mix() {
        let run = |seed| {
            let mut rng = StdRng::seed_from_u64(seed);
            (0..1000).map(|_| casual().next_action(&mut rng, &sheet(1, 0), None)).collect::<Vec<_>>()
        };
        assert_eq!(run(1), run(1));
        assert_ne!(run(1), run(2));
        let kinds: BTreeSet<_> = run(1).iter().map(Action::kind).collect();
        assert_eq!(kinds.len(), 11, "{kinds:?}");
    }

    #[test]
    fn deeds_are_as_frequent_as_their_weights() {
        let weights = [(Deed::Damage, 0), (Deed::Heal, 3), (Deed::GainExperience, 1)].into_iter().collect();
        let mix = Mix::new(&weights);
        let mut rng = StdRng::seed_from_u64(1);
        let actions: Vec<_> = (0..4000).map(|_| mix.next_action(&mut rng, &sheet(1, 0), None)).collect();
        let heals = actions.iter().filter(|action| matches!(action, Action::ModifyHitpoints(m) if m.delta > 0)).count();
        let gains = actions.iter().filter(|action| matches!(action, Action::GainExperience(_))).count();
        assert_eq!(heals + gains, 4000);
        assert!((2900..=3100).contains(&heals), "{heals} of 4000 × 3/4");
    }
}
