//! Adds up what the traders have, after every write, in the order of the writes.
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
        if !row.books.is_empty() {
            verdict.doubt(Rule::Stuck, format!("the books of {} are not settled: {:?}", row.character, row.books));
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

/// What was seen in rows.
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
