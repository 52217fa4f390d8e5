//! The offers that traders have seen, and the sum of all their goods, which no trade may change.

use std::collections::BTreeMap;

use castellan_srd::wire::{Accept, Action, Cancel, CharacterId, Coin, Give, Goods, Offer};
use parking_lot::Mutex;
use rand::{Rng, RngExt};

use super::checker::Contradiction;
use super::scenario::Deed;
use super::sheet::{OpenOffer, Sheet};
use super::transition::{Counted, worth_cp};

/// How long an offer is open, in seconds. Some end before anybody accepts.
const OFFER_SECONDS: i64 = 30;

/// The bazaar of a run: all its traders trade with each other.
#[derive(Debug, Default)]
pub(super) struct Bazaar {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    traders: Vec<CharacterId>,
    offers: BTreeMap<CharacterId, Vec<OpenOffer>>,
    /// The goods that all of them should have together.
    expected: Wealth,
    /// The goods of the traders who have closed their stalls.
    found: Wealth,
    /// True if there were parcels or offers before this run: then nobody knows the sum.
    uncertain: bool,
    /// The traders that have neither offers nor parcels any more.
    settled: usize,
    /// The traders in `found`.
    closed: usize,
}

/// The goods of a character, or of several.
#[derive(Debug, Default, Clone, Copy)]
struct Wealth {
    units: i64,
    copper: i64,
}

impl Wealth {
    fn add(&mut self, units: i64, copper: i64) {
        self.units += units;
        self.copper += copper;
    }

    /// Adds all goods of a character without parcels and offers.
    fn add_all(&mut self, sheet: &Sheet) {
        self.add(sheet.inventory.units, worth_cp(sheet.currency));
        for Goods { items, currency } in sheet.waiting.iter().map(|waiting| &waiting.goods) {
            self.add(items.values().sum(), currency.iter().map(|(coin, coins)| coin.copper() * coins).sum());
        }
    }
}

impl Bazaar {
    /// Adds a trader with the first state of this run.
    pub(super) fn join(&self, sheet: &Sheet) {
        let mut inner = self.inner.lock();
        inner.traders.push(sheet.id);
        inner.expected.add_all(sheet);
        inner.uncertain |= !(sheet.offers.is_empty() && sheet.parcels.is_empty());
    }

    /// A trader's action has been applied.
    pub(super) fn applied(&self, effect: Counted) {
        self.inner.lock().expected.add(effect.units, effect.copper);
    }

    /// Shows the others what a trader offers now.
    pub(super) fn show(&self, sheet: &Sheet) {
        let mut inner = self.inner.lock();
        if sheet.offers.is_empty() {
            inner.offers.remove(&sheet.id);
        } else {
            inner.offers.insert(sheet.id, sheet.offers.clone());
        }
    }

    /// The action of a trader's deed; `None` if it has nobody to trade with, or nothing.
    pub(super) fn action(&self, deed: Deed, rng: &mut impl Rng, state: &Sheet) -> Option<Action> {
        let inner = self.inner.lock();
        let me = state.id;
        match deed {
            Deed::Give => {
                let goods = some_goods(rng, state)?;
                Some(Action::Give(Give { to: other(rng, &inner.traders, me)?, goods }))
            }
            Deed::Offer => {
                let gives = some_goods(rng, state)?;
                let wants = if gives.items.is_empty() { torch() } else { coins(rng.random_range(1..=3)) };
                let to = if rng.random_bool(0.5) { Some(other(rng, &inner.traders, me)?) } else { None };
                Some(Action::Offer(Offer { to, gives, wants, seconds: OFFER_SECONDS }))
            }
            Deed::Accept => {
                let others = inner.offers.iter().filter(|(by, _)| **by != me);
                let all = others.flat_map(|(by, offers)| offers.iter().map(|offer| (*by, offer)));
                let is_for_me = |offer: &OpenOffer| offer.to.is_none_or(|to| to == me) && has(state, &offer.wants);
                let open: Vec<_> = all.filter(|(_, offer)| is_for_me(offer)).collect();
                let (from, offer) = *pick(rng, &open)?;
                let (gives, gets) = (offer.wants.clone(), offer.gives.clone());
                Some(Action::Accept(Accept { from, offer: offer.number, gives, gets }))
            }
            Deed::Cancel => Some(Action::Cancel(Cancel { offer: pick(rng, &state.offers)?.number })),
            _ => None,
        }
    }

    /// A trader has neither offers nor parcels, and begins no others.
    pub(super) fn settle(&self) {
        self.inner.lock().settled += 1;
    }

    /// Returns true once nothing is on its way to anybody.
    pub(super) fn is_settled(&self) -> bool {
        let inner = self.inner.lock();
        inner.settled == inner.traders.len()
    }

    /// Counts the goods of a trader at the end. After the last one, checks the sum.
    pub(super) fn close(&self, sheet: &Sheet) -> Result<(), Contradiction> {
        let mut inner = self.inner.lock();
        inner.found.add_all(sheet);
        inner.closed += 1;
        if inner.closed < inner.traders.len() {
            return Ok(());
        }
        if inner.uncertain {
            eprintln!("client-sim: the traders' goods were not added up: some had offers or parcels before this run");
            return Ok(());
        }
        let sums = [
            ("the number of units of all traders", inner.expected.units, inner.found.units),
            ("the worth of all traders' coins, in copper,", inner.expected.copper, inner.found.copper),
        ];
        match sums.into_iter().find(|(_, expected, found)| expected != found) {
            Some((what, expected, found)) => Err(Contradiction::Total { what, expected, found }),
            None => Ok(()),
        }
    }
}

/// A torch or a few gold pieces that the character has.
fn some_goods(rng: &mut impl Rng, state: &Sheet) -> Option<Goods> {
    // One of the units is a dagger, which it may hold.
    let torches = state.inventory.units > 1 && rng.random_bool(0.3);
    match state.currency.gp {
        _ if torches => Some(torch()),
        0 => None,
        gp => Some(coins(rng.random_range(1..=gp.min(3)))),
    }
}

fn has(state: &Sheet, goods: &Goods) -> bool {
    goods.currency.get(&Coin::Gold).is_none_or(|gp| *gp <= state.currency.gp)
}

fn torch() -> Goods {
    Goods { items: [("torch".to_owned(), 1)].into(), ..Goods::default() }
}

fn coins(gp: i64) -> Goods {
    Goods { currency: [(Coin::Gold, gp)].into(), ..Goods::default() }
}

fn other(rng: &mut impl Rng, traders: &[CharacterId], me: CharacterId) -> Option<CharacterId> {
    // A second try, so that it rarely comes to nothing.
    [(); 2].into_iter().find_map(|()| pick(rng, traders).copied().filter(|trader| *trader != me))
}

fn pick<'a, T>(rng: &mut impl Rng, list: &'a [T]) -> Option<&'a T> {
    if list.is_empty() { None } else { list.get(rng.random_range(0..list.len())) }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;
    use uuid::Uuid;

    use super::super::sheet::tests::sheet;
    use super::*;

    /// A trader with a dagger, two torches and 5 gold pieces.
    fn trader(number: u128) -> Sheet {
        let mut sheet = sheet(1, 0);
        sheet.id = CharacterId::from_uuid(Uuid::from_u128(number));
        sheet
    }

    #[test]
    fn the_goods_of_all_together_must_stay_the_same() {
        let close = |change: fn(&mut Sheet, &mut Sheet)| {
            let bazaar = Bazaar::default();
            let (mut one, mut two) = (trader(1), trader(2));
            [&one, &two].into_iter().for_each(|trader| bazaar.join(trader));
            bazaar.applied(Counted { units: 1, copper: 100, ..Counted::default() });
            two.inventory.units += 1;
            two.currency.gp += 1;
            change(&mut one, &mut two);
            assert!(!bazaar.is_settled());
            (0..2).for_each(|_| bazaar.settle());
            assert!(bazaar.is_settled());
            assert_eq!(bazaar.close(&one), Ok(()), "nobody knows the sum yet");
            bazaar.close(&two)
        };
        assert_eq!(close(|_, _| {}), Ok(()));
        let trade = |one: &mut Sheet, two: &mut Sheet| (one.currency.gp, two.currency.gp) = (1, 10);
        assert_eq!(close(trade), Ok(()));
        assert!(close(|one, _| one.currency.gp -= 1).is_err(), "swallowed");
        assert!(close(|_, two| two.inventory.units += 1).is_err(), "copied");
    }

    #[test]
    fn a_trader_gives_what_it_has_and_accepts_the_offers_of_others() {
        let mut rng = StdRng::seed_from_u64(3);
        let (bazaar, mut one, two) = (Bazaar::default(), trader(1), trader(2));
        assert_eq!(bazaar.action(Deed::Give, &mut rng, &one), None, "there is nobody else");
        [&one, &two].into_iter().for_each(|trader| bazaar.join(trader));
        for _ in 0..100 {
            match bazaar.action(Deed::Give, &mut rng, &one) {
                Some(Action::Give(give)) => assert!(give.to == two.id && has(&one, &give.goods), "{give:?}"),
                other => assert_eq!(other, None),
            }
        }
        assert_eq!(bazaar.action(Deed::Accept, &mut rng, &two), None, "there are no offers");
        assert_eq!(bazaar.action(Deed::Cancel, &mut rng, &one), None, "it has none");
        one.offers = vec![OpenOffer { number: 7, to: None, gives: torch(), wants: coins(6) }];
        bazaar.show(&one);
        assert_eq!(bazaar.action(Deed::Accept, &mut rng, &one), None, "it is its own");
        assert_eq!(bazaar.action(Deed::Accept, &mut rng, &two), None, "it has 5 gold pieces");
        one.offers[0].wants = coins(2);
        bazaar.show(&one);
        let accept = Accept { from: one.id, offer: 7, gives: coins(2), gets: torch() };
        assert_eq!(bazaar.action(Deed::Accept, &mut rng, &two), Some(Action::Accept(accept)));
        assert_eq!(bazaar.action(Deed::Cancel, &mut rng, &one), Some(Action::Cancel(Cancel { offer: 7 })));
    }
}
