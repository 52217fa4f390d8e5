//! The books of one character.

use std::collections::BTreeMap;

use crate::{OFFERS_MAX, RECEIPTS_MAX, SENT_MAX};

/// Goods on their way to another character.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Parcel<C, G> {
    /// The receiver.
    pub to: C,
    /// The goods.
    pub goods: G,
    /// The number of the receiver's offer that it accepts, if it is no gift.
    pub accepts: Option<u64>,
}

/// Goods that wait for somebody who gives others for them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Offer<C, G> {
    /// The only character that may accept; `None` if everybody may.
    pub to: Option<C>,
    /// The goods, which have left their owner.
    pub held: G,
    /// What the owner wants for them.
    pub wanted: G,
    /// When it ends, in milliseconds since 1970 (UTC).
    pub until_ms: i64,
}

/// What became of a parcel.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Receipt<G> {
    /// The receiver has the goods. The sender gets these for them; for a gift, none.
    Taken(Option<G>),
    /// The sender gets its goods back.
    Refused,
}

/// Something that must be done with a parcel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Task<C, G> {
    /// Take a parcel or refuse it, and call [`Books::receive`] in the same change.
    Receive {
        /// Its number.
        number: u64,
        /// The parcel.
        parcel: Parcel<C, G>,
    },
    /// Call [`Books::settle`], and put in the goods that it returns in the same change. If they cannot be put in now, do
    /// neither, and try again later.
    Settle {
        /// The parcel's number.
        number: u64,
        /// The receiver's receipt.
        receipt: Receipt<G>,
    },
    /// Call [`Books::forget`].
    Forget {
        /// The parcel's number.
        number: u64,
    },
}

/// A bound was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

/// A character's part in gifts and trades, stored in its row.
///
/// Numbers name parcels and offers. The owner of the books chooses them, and never uses one again, not even after a
/// crash: a number must not be in the row of the other side for another parcel.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Books<C: Ord, G> {
    sent: BTreeMap<u64, Parcel<C, G>>,
    /// By sender and number.
    receipts: BTreeMap<(C, u64), Receipt<G>>,
    offers: BTreeMap<u64, Offer<C, G>>,
}

impl<C: Ord, G> Default for Books<C, G> {
    fn default() -> Self {
        Self { sent: BTreeMap::new(), receipts: BTreeMap::new(), offers: BTreeMap::new() }
    }
}

impl<C: Copy + Ord, G: Clone + PartialEq> Books<C, G> {
    /// The parcels that were sent and are not settled.
    pub fn sent(&self) -> &BTreeMap<u64, Parcel<C, G>> {
        &self.sent
    }

    /// The receipts for the parcels of others, by sender and number.
    pub fn receipts(&self) -> &BTreeMap<(C, u64), Receipt<G>> {
        &self.receipts
    }

    /// The open offers.
    pub fn offers(&self) -> &BTreeMap<u64, Offer<C, G>> {
        &self.offers
    }

    /// Returns true if no parcel needs these books any more. A character whose books are not settled must stay in the
    /// database, even if it was deleted.
    pub fn is_settled(&self) -> bool {
        self.sent.is_empty() && self.receipts.is_empty()
    }

    /// Sends a parcel. Its goods leave the character in the same change.
    ///
    /// # Errors
    ///
    /// [`Full`] if [`SENT_MAX`] parcels are not settled.
    pub fn send(&mut self, number: u64, parcel: Parcel<C, G>) -> Result<(), Full> {
        insert(&mut self.sent, SENT_MAX, number, parcel)
    }

    /// Makes an offer. The goods that it holds leave the character in the same change.
    ///
    /// # Errors
    ///
    /// [`Full`] if [`OFFERS_MAX`] offers are open.
    pub fn offer(&mut self, number: u64, offer: Offer<C, G>) -> Result<(), Full> {
        insert(&mut self.offers, OFFERS_MAX, number, offer)
    }

    /// Takes an offer back. Put its goods in, in the same change. `None` if it is not open.
    pub fn withdraw(&mut self, number: u64) -> Option<G> {
        self.offers.remove(&number).map(|offer| offer.held)
    }

    /// What must be done with the parcels between these books and those of another character, as they were read in the
    /// database: `None` if it has no row.
    ///
    /// Results of two reads of the same row must be used in the order of the reads: a parcel that was forgotten must not
    /// appear again. The rest of the rules is in `docs/trades.md`.
    pub fn tasks(&self, own: C, other: C, books: Option<&Self>) -> Vec<Task<C, G>> {
        let ours = self.sent.iter().filter(|(_, parcel)| parcel.to == other);
        let settled = ours.filter_map(|(&number, _)| {
            let receipt = match books {
                Some(books) => books.receipts.get(&(own, number))?.clone(),
                None => Receipt::Refused,
            };
            Some(Task::Settle { number, receipt })
        });
        let theirs = books.into_iter().flat_map(|books| &books.sent).filter(|(_, parcel)| parcel.to == own);
        let new = theirs.filter(|(number, _)| !self.receipts.contains_key(&(other, **number)));
        let room = RECEIPTS_MAX.saturating_sub(self.receipts.len());
        let receive = new.take(room).map(|(&number, parcel)| Task::Receive { number, parcel: parcel.clone() });
        let kept = self.receipts.keys().filter(|(from, _)| *from == other);
        let gone = kept.filter(|(_, number)| books.is_none_or(|books| !books.sent.contains_key(number)));
        let forget = gone.map(|&(_, number)| Task::Forget { number });
        settled.chain(receive).chain(forget).collect()
    }

    /// The offer that a parcel accepts, if it may: the offer is open, it is not over at `now_ms`, the sender may accept
    /// it, and the parcel holds what is wanted.
    pub fn accepted_by(&self, from: C, parcel: &Parcel<C, G>, now_ms: i64) -> Option<u64> {
        let number = parcel.accepts?;
        let offer = self.offers.get(&number)?;
        let may = offer.to.is_none_or(|to| to == from) && now_ms < offer.until_ms && offer.wanted == parcel.goods;
        may.then_some(number)
    }

    /// Keeps the receipt about a parcel. If it was taken, its goods are put in in the same change.
    ///
    /// `accepted` is the offer for which it was taken; the sender gets what that held.
    pub fn receive(&mut self, from: C, number: u64, is_taken: bool, accepted: Option<u64>) {
        let receipt = match is_taken {
            true => Receipt::Taken(accepted.and_then(|offer| self.withdraw(offer))),
            false => Receipt::Refused,
        };
        self.receipts.insert((from, number), receipt);
    }

    /// Settles a parcel as its receiver has receipts. Returns the goods that this character gets.
    pub fn settle(&mut self, number: u64, receipt: Receipt<G>) -> Option<G> {
        let parcel = self.sent.remove(&number)?;
        match receipt {
            Receipt::Taken(goods) => goods,
            Receipt::Refused => Some(parcel.goods),
        }
    }

    /// Forgets the receipt about a parcel that its sender has settled.
    pub fn forget(&mut self, from: C, number: u64) {
        self.receipts.remove(&(from, number));
    }
}

fn insert<T>(into: &mut BTreeMap<u64, T>, max: usize, number: u64, value: T) -> Result<(), Full> {
    if into.len() >= max {
        return Err(Full);
    }
    into.insert(number, value);
    Ok(())
}

#[cfg(test)]
mod tests;
