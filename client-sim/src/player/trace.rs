//! What each intent leaves behind, so that every one of them can be counted in the state that it went into.
//!
//! A character is acted on by one or two clients, its lanes. The `n`-th intent of a lane, from 0, takes the slot
//! `n mod 64`. Three slots of four add one unit of an item that no other slot and no other lane has; the fourth adds
//! coins of a kind of the lane's own, a power of four that no other slot of that kind has. Between two stored states a
//! lane has fewer than 64 intents, because a client keeps fewer than that unstored, so the difference of two states
//! tells of each single intent how often it is in there: a slot's item is there 0, 1, 2 … times, and so is its digit
//! to the base of four.

use castellan_protocol::{Action, AddItem, Currency, InventoryEntry, ModifyCurrency};

/// Intents of a lane until a slot comes up again.
pub const SLOTS: u64 = 64;

/// Clients that may act on one character.
pub const LANES: usize = 2;

/// Slots of a lane that add an item.
const ITEM_SLOTS: usize = 48;

/// Items of the catalogue; the first half is lane 0's. A fighter starts with none of them, and with no coins.
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

/// Kinds of coins: two a lane.
const COINS: [&str; 2 * LANES] = ["cp", "sp", "ep", "gp"];

/// What one intent leaves behind: so much more of one counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trace {
    counter: usize,
    amount: i64,
}

impl Trace {
    /// Of the `n`-th intent of a lane.
    pub const fn of(lane: u8, n: u64) -> Self {
        let (lane, slot) = (lane as usize % LANES, (n % SLOTS) as usize);
        if slot % 4 == 3 {
            let digit = slot / 4;
            Self { counter: ITEMS.len() + 2 * lane + digit % 2, amount: 1 << (2 * (digit / 2)) }
        } else {
            Self { counter: ITEM_SLOTS * lane + slot - slot / 4, amount: 1 }
        }
    }

    /// The action that leaves it behind.
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
    /// As a character's state shows them.
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

    /// Adds what an intent leaves behind.
    pub fn add(&mut self, trace: Trace) {
        self.0[trace.counter] += trace.amount;
    }

    /// All coins, in pieces.
    pub fn coins(&self) -> i64 {
        self.0[ITEMS.len()..].iter().sum()
    }

    /// Where these differ from what was expected, for a person; `None` where they do not.
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

    fn applied(traces: impl IntoIterator<Item = Trace>) -> Counters {
        let mut counters = Counters::default();
        traces.into_iter().for_each(|trace| counters.add(trace));
        counters
    }

    #[test]
    fn items_are_of_one_slot_of_one_lane() {
        assert_eq!(ITEMS.iter().collect::<BTreeSet<_>>().len(), ITEMS.len());
        let all = (0..2).flat_map(|lane| (0..SLOTS).map(move |n| Trace::of(lane, n)));
        let different: BTreeSet<_> = all.map(|trace| (trace.counter, trace.amount)).collect();
        assert_eq!(different.len(), 128);
    }

    #[test]
    fn what_was_lost_or_done_twice_shows_within_a_window() {
        let window = || (7..7 + SLOTS).map(|n| Trace::of(1, n));
        let whole = applied(window());
        assert_eq!(whole.difference(&applied(window())), None);
        for n in 7..7 + SLOTS {
            let lost = applied((7..7 + SLOTS).filter(|other| *other != n).map(|n| Trace::of(1, n)));
            let twice = applied(window().chain([Trace::of(1, n)]));
            let swapped = applied(window().skip(1).chain([Trace::of(1, n)]));
            assert!(lost.difference(&whole).is_some() && twice.difference(&whole).is_some());
            assert!(n == 7 || swapped.difference(&whole).is_some(), "7 lost and {n} twice are not the same");
        }
    }

    #[test]
    fn a_state_shows_what_was_added() {
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
