//! The stored form of books: lists, because the keys of a JSON object are texts.

use serde::{Deserialize, Serialize};

use super::{Accepts, Books, Offer, Parcel, Receipt};

#[derive(Serialize, Deserialize)]
#[serde(bound(deserialize = "C: Deserialize<'de>, G: Deserialize<'de>"))]
pub(super) struct Stored<C, G> {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    sent: Vec<Sent<C, G>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    receipts: Vec<Kept<C, G>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    offers: Vec<Open<C, G>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    waiting: Vec<Waiting<G>>,
}

#[derive(Serialize, Deserialize)]
struct Sent<C, G> {
    number: u64,
    to: C,
    goods: G,
    #[serde(default = "none", skip_serializing_if = "Option::is_none")]
    accepts: Option<Accepts<G>>,
}

#[derive(Serialize, Deserialize)]
struct Kept<C, G> {
    from: C,
    number: u64,
    is_taken: bool,
    /// The goods that the sender gets for it.
    #[serde(default = "none", skip_serializing_if = "Option::is_none")]
    goods: Option<G>,
}

#[derive(Serialize, Deserialize)]
struct Open<C, G> {
    number: u64,
    #[serde(default = "none", skip_serializing_if = "Option::is_none")]
    to: Option<C>,
    held: G,
    wanted: G,
    until_ms: i64,
}

#[derive(Serialize, Deserialize)]
struct Waiting<G> {
    number: u64,
    goods: G,
}

/// The default of a missing field, which needs no default of its type.
fn none<T>() -> Option<T> {
    None
}

impl<C: Copy + Ord, G: Clone> From<Books<C, G>> for Stored<C, G> {
    fn from(books: Books<C, G>) -> Self {
        let Books { sent, receipts, offers, waiting } = books;
        let sent = sent.into_iter().map(|(number, Parcel { to, goods, accepts })| Sent { number, to, goods, accepts });
        let receipts = receipts.into_iter().map(|((from, number), receipt)| match receipt {
            Receipt::Taken(goods) => Kept { from, number, is_taken: true, goods },
            Receipt::Refused => Kept { from, number, is_taken: false, goods: None },
        });
        let open = |(number, Offer { to, held, wanted, until_ms })| Open { number, to, held, wanted, until_ms };
        let waiting = waiting.into_iter().map(|(number, goods)| Waiting { number, goods });
        Self {
            sent: sent.collect(),
            receipts: receipts.collect(),
            offers: offers.into_iter().map(open).collect(),
            waiting: waiting.collect(),
        }
    }
}

impl<C: Ord, G> From<Stored<C, G>> for Books<C, G> {
    fn from(stored: Stored<C, G>) -> Self {
        let parcel = |Sent { number, to, goods, accepts }| (number, Parcel { to, goods, accepts });
        let receipt = |Kept { from, number, is_taken, goods }| {
            ((from, number), if is_taken { Receipt::Taken(goods) } else { Receipt::Refused })
        };
        let offer = |Open { number, to, held, wanted, until_ms }| (number, Offer { to, held, wanted, until_ms });
        Self {
            sent: stored.sent.into_iter().map(parcel).collect(),
            receipts: stored.receipts.into_iter().map(receipt).collect(),
            offers: stored.offers.into_iter().map(offer).collect(),
            waiting: stored.waiting.into_iter().map(|Waiting { number, goods }| (number, goods)).collect(),
        }
    }
}
