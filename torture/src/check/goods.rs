//! Adds up the traders' goods after every write, in the order of the writes.
//!
//! A step of a gift or a trade depends only on rows that were committed before, so the sum is right between any two
//! writes. `docs/trades.md` has the rule by which goods are counted.

use std::collections::{BTreeMap, BTreeSet};

use castellan_srd::wire::CharacterId;
use castellan_trade::Receipt;

use super::{Rule, Verdict};
use crate::evidence::{Evidence, Write};
use crate::wares::Wares;

/// Wrong sums that are reported; one fault makes many.
const REPORTED_MAX: usize = 3;

pub(super) fn add_up(evidence: &Evidence, verdict: &mut Verdict) {
    if evidence.traders.is_empty() {
        return;
    }
    let expected = evidence.traders.iter().fold(Wares::default(), |sum, _| sum + Wares::FIRST);
    let mut newest: BTreeMap<CharacterId, &Write> = BTreeMap::new();
    let mut seen = Seen::default();
    let (mut all_have_begun, mut reported) = (false, 0);
    let mut before = Wares::default();
    for write in evidence.writes.iter().filter(|write| evidence.traders.contains(&write.character)) {
        newest.insert(write.character, write);
        seen.look_at(write);
        let sum = sum(&newest);
        verdict.sums += 1;
        all_have_begun |= sum == expected;
        if all_have_begun && sum != expected && sum != before && reported < REPORTED_MAX {
            reported += 1;
            let id = write.character;
            let version = write.version;
            verdict.complain(Rule::Goods, format!("{sum:?} with version {version} of {id}, instead of {expected:?}"));
        }
        before = sum;
    }
    (verdict.deals, verdict.trades) = (seen.deals.len() as u64, seen.trades.len() as u64);
    if !all_have_begun {
        verdict.doubt(Rule::Goods, format!("the traders never had {expected:?} together, but {before:?} at the end"));
    }
    for row in evidence.rows.iter().filter(|row| evidence.traders.contains(&row.character)) {
        // Receipts may still have to be forgotten.
        let (parcels, offers, waiting) = (row.books.sent().len(), row.books.offers().len(), row.books.waiting().len());
        if parcels + offers + waiting > 0 {
            let id = row.character;
            let what = format!("{id} has {parcels} parcels, {offers} offers and {waiting} waiting goods at the end");
            verdict.doubt(Rule::Stuck, what);
        }
    }
}

/// The goods in these rows: each unit is counted in one place.
fn sum(rows: &BTreeMap<CharacterId, &Write>) -> Wares {
    let mut sum = Wares::default();
    for (id, row) in rows {
        sum += row.goods;
        row.books.waiting().values().for_each(|goods| sum += goods.into());
        row.books.offers().values().for_each(|offer| sum += (&offer.held).into());
        for (number, parcel) in row.books.sent() {
            let receipt = rows.get(&parcel.to).and_then(|other| other.books.receipts().get(&(*id, *number)));
            match receipt {
                // The receiver has them.
                Some(Receipt::Taken(for_it)) => for_it.iter().for_each(|goods| sum += goods.into()),
                Some(Receipt::Refused) | None => sum += (&parcel.goods).into(),
            }
        }
    }
    sum
}

/// Deals and trades that rows have shown.
#[derive(Default)]
struct Seen {
    /// By character and number.
    deals: BTreeSet<(CharacterId, u64)>,
    trades: BTreeSet<(CharacterId, u64)>,
}

impl Seen {
    fn look_at(&mut self, write: &Write) {
        let numbers = write.books.sent().keys().chain(write.books.offers().keys());
        self.deals.extend(numbers.map(|number| (write.character, *number)));
        let receipts = write.books.receipts().iter();
        let paid = receipts.filter(|(_, receipt)| matches!(receipt, Receipt::Taken(Some(_))));
        self.trades.extend(paid.map(|(parcel, _)| *parcel));
    }
}

#[cfg(test)]
mod tests {
    use castellan_authority::BooksOf;
    use castellan_srd::Srd;
    use castellan_srd::wire::{Coin, Goods};
    use castellan_trade::Parcel;
    use client_sim::recorded::trace::Counters;
    use uuid::Uuid;

    use super::*;
    use crate::check::check;

    fn id(number: u128) -> CharacterId {
        CharacterId::from_uuid(Uuid::from_u128(number))
    }

    fn coins(gp: i64) -> Goods {
        Goods { currency: [(Coin::Gold, gp)].into(), ..Goods::default() }
    }

    fn write(character: CharacterId, version: u64, gp: i64, books: &BooksOf<Srd>) -> Write {
        Write {
            character,
            version,
            recoveries: 0,
            ids: Vec::new(),
            counters: Counters::default(),
            goods: Wares { gp, ..Wares::FIRST },
            books: books.clone(),
            lease: None,
            writer: None,
        }
    }

    /// A gift of 5 gold pieces from 1 to 2, written step by step. The rules that `spoilt` breaks.
    fn broken(spoil: impl FnOnce(&mut Vec<Write>)) -> Vec<Rule> {
        let (one, two, full) = (id(1), id(2), Wares::FIRST.gp);
        let (none, mut sent, mut received) =
            (BooksOf::<Srd>::default(), BooksOf::<Srd>::default(), BooksOf::<Srd>::default());
        let parcel = Parcel { to: two, goods: coins(5), accepts: None };
        sent.send(7, parcel.clone()).expect("room");
        received.receive(one, 7, &parcel, 0, |_| true).expect("room");
        let mut writes = vec![
            write(one, 6, full, &none),
            write(two, 6, full, &none),
            write(one, 7, full - 5, &sent),
            write(two, 7, full + 5, &received),
            write(one, 8, full - 5, &none),
            write(two, 8, full + 5, &none),
        ];
        spoil(&mut writes);
        let rows = [one, two].into_iter().filter_map(|id| writes.iter().rfind(|write| write.character == id).cloned());
        let evidence = Evidence {
            rows: rows.collect(),
            traders: [one, two].into(),
            writes: writes.clone(),
            ..Evidence::default()
        };
        let mut rules: Vec<Rule> = check(&evidence).findings.iter().map(|finding| finding.rule).collect();
        rules.dedup();
        rules
    }

    #[test]
    fn the_sum_is_right_after_every_step_and_every_missing_step_is_found() {
        assert_eq!(broken(|_| {}), []);
        assert_eq!(broken(|writes| drop(writes.pop())), [], "a receipt may be left");
        assert_eq!(broken(|writes| writes[3].goods.gp -= 5), [Rule::Goods], "swallowed");
        assert_eq!(broken(|writes| writes[2].goods.gp += 5), [Rule::Goods], "copied");
        let unsettled = |writes: &mut Vec<Write>| writes[5].books = writes[2].books.clone();
        assert!(broken(unsettled).contains(&Rule::Stuck));
        let taken_twice = |writes: &mut Vec<Write>| {
            let mut again = writes[3].clone();
            (again.goods.gp, again.version) = (again.goods.gp + 5, 9);
            writes.insert(4, again);
        };
        assert!(broken(taken_twice).contains(&Rule::Goods));
        let richer = |writes: &mut Vec<Write>| writes.iter_mut().step_by(2).for_each(|write| write.goods.gp += 1);
        assert_eq!(broken(richer), [Rule::Goods], "they never had what they should have");
    }
}
