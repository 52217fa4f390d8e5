//! The books of one character.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use self::stored::Stored;
use crate::{OFFERS_MAX, RECEIPTS_MAX, RECEIPTS_OF_ONE_MAX, SENT_MAX};

/// Goods on their way to another character.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Parcel<C, G> {
    /// The receiver.
    pub to: C,
    /// The goods.
    pub goods: G,
    /// The receiver's offer that it accepts, if it is no gift.
    pub accepts: Option<Accepts<G>>,
}

/// The acceptance of an offer.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Accepts<G> {
    /// The number of the offer.
    pub offer: u64,
    /// The goods that the sender expects for the parcel. If the offer holds others, the parcel is refused: so nobody can
    /// be talked into accepting something else than it was told.
    pub expects: G,
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

/// The receiver's answer to a parcel.
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
    /// Call [`Books::receive`].
    Receive {
        /// Its number.
        number: u64,
        /// The parcel.
        parcel: Parcel<C, G>,
    },
    /// Call [`Books::settle`].
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

/// The books have no place for it: a bound was reached, or the number is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoPlace;

/// A character's part in gifts and trades, stored in its row.
///
/// Numbers name parcels and offers. The owner of the books chooses them, and never uses one again, not even after a
/// crash: a number must not be in the row of the other side for another parcel.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "Stored<C, G>", into = "Stored<C, G>")]
#[serde(bound(serialize = "C: Copy + Ord + Serialize, G: Clone + Serialize"))]
#[serde(bound(deserialize = "C: Ord + Deserialize<'de>, G: Deserialize<'de>"))]
pub struct Books<C: Ord, G> {
    sent: BTreeMap<u64, Parcel<C, G>>,
    /// By sender and number.
    receipts: BTreeMap<(C, u64), Receipt<G>>,
    offers: BTreeMap<u64, Offer<C, G>>,
    /// Goods of settled parcels and of offers that were withdrawn, until they fit into the character.
    waiting: BTreeMap<u64, G>,
}

impl<C: Ord, G> Default for Books<C, G> {
    fn default() -> Self {
        Self { sent: BTreeMap::new(), receipts: BTreeMap::new(), offers: BTreeMap::new(), waiting: BTreeMap::new() }
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

    /// The character's own goods that wait until they fit, by the number of their parcel or offer.
    pub fn waiting(&self) -> &BTreeMap<u64, G> {
        &self.waiting
    }

    /// Returns true if there is nothing in them.
    pub fn is_empty(&self) -> bool {
        self.is_settled() && self.offers.is_empty() && self.waiting.is_empty()
    }

    /// The characters whose rows say what is to be done next: the receivers of parcels, and the senders of those that
    /// have a receipt.
    pub fn others(&self) -> BTreeSet<C> {
        let receivers = self.sent.values().map(|parcel| parcel.to);
        receivers.chain(self.receipts.keys().map(|(from, _)| *from)).collect()
    }

    /// Returns true if no parcel needs these books any more. A character whose books are not settled must stay in the
    /// database, even if it was deleted.
    pub fn is_settled(&self) -> bool {
        self.sent.is_empty() && self.receipts.is_empty()
    }

    /// Returns true if a bound keeps a further parcel from being sent.
    pub fn is_full_of_parcels(&self) -> bool {
        self.sent.len() + self.waiting.len() >= SENT_MAX
    }

    /// Returns true if a bound keeps a further offer from being made.
    pub fn is_full_of_offers(&self) -> bool {
        self.offers.len() + self.waiting.len() >= OFFERS_MAX
    }

    /// Sends a parcel. Its goods leave the character in the same change.
    ///
    /// # Errors
    ///
    /// [`NoPlace`] if [`SENT_MAX`] parcels are not settled or wait, or if the number is in use.
    pub fn send(&mut self, number: u64, parcel: Parcel<C, G>) -> Result<(), NoPlace> {
        self.check(number, self.is_full_of_parcels())?;
        self.sent.insert(number, parcel);
        Ok(())
    }

    /// Makes an offer. The goods that it holds leave the character in the same change.
    ///
    /// # Errors
    ///
    /// [`NoPlace`] if [`OFFERS_MAX`] offers are open or goods wait, or if the number is in use.
    pub fn offer(&mut self, number: u64, offer: Offer<C, G>) -> Result<(), NoPlace> {
        self.check(number, self.is_full_of_offers())?;
        self.offers.insert(number, offer);
        Ok(())
    }

    fn check(&self, number: u64, is_full: bool) -> Result<(), NoPlace> {
        let in_use = self.sent.contains_key(&number) || self.offers.contains_key(&number);
        if is_full || in_use || self.waiting.contains_key(&number) { Err(NoPlace) } else { Ok(()) }
    }

    /// Ends an offer, so that its goods wait. [Unpack](Self::unpack) them in the same change. Returns false if it is not
    /// open.
    pub fn withdraw(&mut self, number: u64) -> bool {
        let offer = self.offers.remove(&number);
        offer.map(|offer| self.waiting.insert(number, offer.held)).is_some()
    }

    /// Ends the offers that are over at `now_ms`, so that their goods wait. Returns true if there were any.
    pub fn expire(&mut self, now_ms: i64) -> bool {
        let over = self.offers.extract_if(.., |_, offer| offer.until_ms <= now_ms);
        let waiting = over.map(|(number, offer)| (number, offer.held));
        let before = self.waiting.len();
        self.waiting.extend(waiting);
        self.waiting.len() > before
    }

    /// Forgets the goods that are the character's own, because it was deleted. Parcels and receipts stay until they are
    /// settled.
    pub fn drop_own(&mut self) {
        self.offers.clear();
        self.waiting.clear();
    }

    /// Puts waiting goods into the character, as far as they fit. `put_in` puts in all of them, or returns false.
    pub fn unpack(&mut self, mut put_in: impl FnMut(&G) -> bool) {
        self.waiting.retain(|_, goods| !put_in(goods));
    }

    /// What must be done with the parcels between these books and those of another character, as they were read in the
    /// database: `None` if it has no row.
    ///
    /// Reads of a row must be used in the order of what they saw: a parcel that was forgotten must not appear again. The
    /// rest of the rules is in `docs/trades.md`.
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
        let receive = new.take(self.room_for(other));
        let receive = receive.map(|(&number, parcel)| Task::Receive { number, parcel: parcel.clone() });
        let kept = self.receipts.keys().filter(|(from, _)| *from == other);
        let gone = kept.filter(|(_, number)| books.is_none_or(|books| !books.sent.contains_key(number)));
        let forget = gone.map(|&(_, number)| Task::Forget { number });
        settled.chain(receive).chain(forget).collect()
    }

    /// How many more parcels of one sender can be received now.
    fn room_for(&self, from: C) -> usize {
        let of_one = self.receipts.keys().filter(|(sender, _)| *sender == from).count();
        let of_all = RECEIPTS_MAX.saturating_sub(self.receipts.len());
        of_all.min(RECEIPTS_OF_ONE_MAX.saturating_sub(of_one))
    }

    /// The offer that a parcel accepts, if it may: the offer is open, it is not over at `now_ms`, the sender may accept
    /// it, the parcel holds what is wanted, and the offer what is expected.
    fn accepted_by(&self, from: C, parcel: &Parcel<C, G>, now_ms: i64) -> Option<u64> {
        let Accepts { offer: number, expects } = parcel.accepts.as_ref()?;
        let offer = self.offers.get(number)?;
        let is_open = offer.to.is_none_or(|to| to == from) && now_ms < offer.until_ms;
        (is_open && offer.wanted == parcel.goods && offer.held == *expects).then_some(*number)
    }

    /// Takes a parcel or refuses it, and keeps the receipt. `put_in` puts the goods into the character in the same change,
    /// or returns false; it is not called if the parcel accepts something else than an open offer. Returns true if the
    /// parcel was taken.
    ///
    /// # Errors
    ///
    /// [`NoPlace`] if there is no room for the receipt, or if there is one already. Nothing has changed.
    pub fn receive(
        &mut self,
        from: C,
        number: u64,
        parcel: &Parcel<C, G>,
        now_ms: i64,
        put_in: impl FnOnce(&G) -> bool,
    ) -> Result<bool, NoPlace> {
        if self.room_for(from) == 0 || self.receipts.contains_key(&(from, number)) {
            return Err(NoPlace);
        }
        let accepted = self.accepted_by(from, parcel, now_ms);
        let is_welcome = parcel.accepts.is_none() || accepted.is_some();
        let is_taken = is_welcome && put_in(&parcel.goods);
        let receipt = if is_taken {
            let offer = accepted.and_then(|offer| self.offers.remove(&offer));
            Receipt::Taken(offer.map(|offer| offer.held))
        } else {
            Receipt::Refused
        };
        self.receipts.insert((from, number), receipt);
        Ok(is_taken)
    }

    /// Settles a parcel as its receipt says. If the sender gets goods, they wait: [unpack](Self::unpack) them in the same
    /// change. So a parcel is settled whether they fit or not, and the receiver can forget it.
    pub fn settle(&mut self, number: u64, receipt: Receipt<G>) {
        let Some(parcel) = self.sent.remove(&number) else { return };
        let goods = match receipt {
            Receipt::Taken(goods) => goods,
            Receipt::Refused => Some(parcel.goods),
        };
        goods.map(|goods| self.waiting.insert(number, goods));
    }

    /// Forgets the receipt about a parcel that its sender has settled.
    pub fn forget(&mut self, from: C, number: u64) {
        self.receipts.remove(&(from, number));
    }
}

mod stored;
#[cfg(test)]
mod tests;
