//! The trace of each intent, by which every single intent can be counted in a state.
//!
//! One or two clients act on a character; each is a lane. The `n`-th intent of a lane, from 0, takes slot `n mod 64`.
//! Three slots of four add one unit of an item that no other slot and no other lane uses. The fourth adds coins of a
//! kind that only this lane uses: a power of four that no other slot of that kind uses. A client keeps fewer than 64
//! intents, so a lane has fewer than 64 intents between two stored states. The difference of two states therefore shows
//! how often each intent was applied: by the count of the slot's item, or by its digit in base four.

use castellan_srd::wire::{Action, AddItem, Currency, InventoryEntry, ModifyCurrency};

/// Number of slots of a lane.
pub const SLOTS: u64 = 64;

/// Most clients that act on one character.
pub const LANES: usize = 2;

/// Number of a lane's slots that add an item.
const ITEM_SLOTS: usize = 48;

/// Items of the catalogue; the first half belongs to lane 0. A fighter starts with none of them and no coins.
const ITEMS: [&str; ITEM_SLOTS * LANES] = [
    "abacus",
    "acid-vial",
    "alchemists-fire-flask",
    "alms-box",
    "arrow",
    "block-of-incense",
    "blowgun-needle",
    "censer",
    "crossbow-bolt",
    "sling-bullet",
    "amulet",
    "antitoxin-vial",
    "crystal",
    "orb",
    "rod",
    "staff",
    "wand",
    "backpack",
    "ball-bearings-bag-of-1000",
    "barrel",
    "basket",
    "bedroll",
    "bell",
    "blanket",
    "block-and-tackle",
    "book",
    "bottle-glass",
    "bucket",
    "caltrops",
    "candle",
    "case-crossbow-bolt",
    "case-map-or-scroll",
    "chain-10-feet",
    "chalk-1-piece",
    "chest",
    "clothes-common",
    "clothes-costume",
    "clothes-fine",
    "clothes-travelers",
    "component-pouch",
    "crowbar",
    "sprig-of-mistletoe",
    "totem",
    "wooden-staff",
    "yew-wand",
    "emblem",
    "fishing-tackle",
    "flask-or-tankard",
    "grappling-hook",
    "hammer",
    "hammer-sledge",
    "holy-water-flask",
    "hourglass",
    "hunting-trap",
    "ink-1-ounce-bottle",
    "ink-pen",
    "jug-or-pitcher",
    "climbers-kit",
    "disguise-kit",
    "forgery-kit",
    "herbalism-kit",
    "healers-kit",
    "mess-kit",
    "poisoners-kit",
    "ladder-10-foot",
    "lamp",
    "lantern-bullseye",
    "lantern-hooded",
    "little-bag-of-sand",
    "lock",
    "magnifying-glass",
    "manacles",
    "mirror-steel",
    "oil-flask",
    "paper-one-sheet",
    "parchment-one-sheet",
    "perfume-vial",
    "pick-miners",
    "piton",
    "poison-basic-vial",
    "pole-10-foot",
    "pot-iron",
    "pouch",
    "quiver",
    "ram-portable",
    "rations-1-day",
    "reliquary",
    "robes",
    "rope-hempen-50-feet",
    "rope-silk-50-feet",
    "sack",
    "scale-merchants",
    "sealing-wax",
    "shovel",
    "signal-whistle",
    "signet-ring",
];

/// Kinds of coins, two per lane.
const COINS: [&str; 2 * LANES] = ["cp", "sp", "ep", "gp"];

/// The trace of one intent: an amount added to one counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trace {
    counter: usize,
    amount: i64,
}

impl Trace {
    /// The trace of the `n`-th intent of a lane.
    pub const fn of(lane: u8, n: u64) -> Self {
        let (lane, slot) = (lane as usize % LANES, (n % SLOTS) as usize);
        if slot % 4 == 3 {
            let digit = slot / 4;
            Self { counter: ITEMS.len() + 2 * lane + digit % 2, amount: 1 << (2 * (digit / 2)) }
        } else {
            Self { counter: ITEM_SLOTS * lane + slot - slot / 4, amount: 1 }
        }
    }

    /// The action that leaves this trace.
    pub fn action(self) -> Action {
        match ITEMS.get(self.counter) {
            Some(item) => Action::AddItem(AddItem { item: (*item).to_owned(), quantity: self.amount }),
            None => {
                let of = |index: usize| (self.counter == ITEMS.len() + index).then_some(self.amount);
                Action::ModifyCurrency(ModifyCurrency { cp: of(0), sp: of(1), ep: of(2), gp: of(3), pp: None })
            }
        }
    }
}

/// All counters of a character.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counters(Vec<i64>);

impl Default for Counters {
    fn default() -> Self {
        Self(vec![0; ITEMS.len() + COINS.len()])
    }
}

impl Counters {
    /// Reads the counters from a character's state.
    pub fn read(currency: &Currency, inventory: &[InventoryEntry]) -> Self {
        let mut counters = Self::default();
        for entry in inventory {
            if let Some(index) = ITEMS.iter().position(|item| *item == entry.item) {
                counters.0[index] += entry.quantity;
            }
        }
        counters.0[ITEMS.len()..].copy_from_slice(&[currency.cp, currency.sp, currency.ep, currency.gp]);
        counters
    }

    /// Adds the trace of an intent.
    pub fn add(&mut self, trace: Trace) {
        self.0[trace.counter] += trace.amount;
    }

    /// Number of all coins.
    pub fn coins(&self) -> i64 {
        self.0[ITEMS.len()..].iter().sum()
    }

    /// Describes the differences from the expected counters; `None` if there are none.
    pub fn difference(&self, expected: &Self) -> Option<String> {
        let differences = self.0.iter().zip(&expected.0).enumerate().filter(|(_, (is, should))| is != should);
        let name = |index: usize| ITEMS.get(index).copied().unwrap_or_else(|| COINS[index - ITEMS.len()]);
        let lines: Vec<String> =
            differences.map(|(index, (is, should))| format!("{} {is} instead of {should}", name(index))).collect();
        (!lines.is_empty()).then(|| lines.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_item_is_in_the_catalogue() {
        let catalogue = castellan_srd::Catalogue::embedded();
        let missing: Vec<_> = ITEMS.iter().filter(|item| catalogue.item_named(item).is_none()).collect();
        assert!(missing.is_empty(), "no such items: {missing:?}");
    }

    fn applied(traces: impl IntoIterator<Item = Trace>) -> Counters {
        let mut counters = Counters::default();
        traces.into_iter().for_each(|trace| counters.add(trace));
        counters
    }

    #[test]
    fn every_slot_of_every_lane_has_its_own_trace() {
        assert_eq!(ITEMS.iter().collect::<BTreeSet<_>>().len(), ITEMS.len());
        let all = (0..2).flat_map(|lane| (0..SLOTS).map(move |n| Trace::of(lane, n)));
        let different: BTreeSet<_> = all.map(|trace| (trace.counter, trace.amount)).collect();
        assert_eq!(different.len(), 128);
    }

    #[test]
    fn a_lost_or_repeated_intent_shows_within_a_window() {
        let window = || (7..7 + SLOTS).map(|n| Trace::of(1, n));
        let whole = applied(window());
        assert_eq!(whole.difference(&applied(window())), None);
        for n in 7..7 + SLOTS {
            let lost = applied((7..7 + SLOTS).filter(|other| *other != n).map(|n| Trace::of(1, n)));
            let twice = applied(window().chain([Trace::of(1, n)]));
            let swapped = applied(window().skip(1).chain([Trace::of(1, n)]));
            assert!(lost.difference(&whole).is_some() && twice.difference(&whole).is_some());
            assert!(n == 7 || swapped.difference(&whole).is_some(), "losing 7 and repeating {n} must differ");
        }
    }

    #[test]
    fn counters_are_read_from_a_state() {
        let currency = Currency { cp: 5, gp: 3, ..Currency::default() };
        let entry = |item: &str, quantity| InventoryEntry { item: item.to_owned(), quantity };
        let counters = Counters::read(&currency, &[entry("abacus", 2), entry("torch", 9), entry("abacus", 1)]);
        assert_eq!(counters.coins(), 8);
        assert_eq!(
            counters.difference(&Counters::default()).as_deref(),
            Some("abacus 3 instead of 0, cp 5 instead of 0, gp 3 instead of 0")
        );
    }
}
