//! What gifts and trades do to one character: the deals that its client asks for, and the steps of the server.

use std::time::Duration;

use castellan_game::{Deal, Game, Goods, OFFER_SECONDS_MAX};
use castellan_protocol::limits::BOOKS_BYTES_MAX;
use castellan_protocol::{CharacterId, RejectionCode, UserId, Version};
use castellan_trade::{Accepts, Books, NoPlace, OFFERS_MAX, Offer, Parcel, SENT_MAX, Task};

use crate::books::{Ledger, pack_shown};
use crate::effect::{Effect, Effects, Subscriber};
use crate::entry::Entry;
use crate::planted::{self, Bug};
use crate::refusal::Refusal;

/// Most kinds of goods in one parcel, and on each side of an offer.
pub(crate) const KINDS_MAX: usize = 8;

/// Copies of a character's state and books. They count only once they are [put back](Entry::put_back), so a rule that panics
/// leaves both as they were.
pub(crate) struct Desk<'r, G: Game> {
    rules: &'r G::Rules,
    /// The schema that the state must fit.
    schema_version: i32,
    now_ms: i64,
    own: CharacterId,
    is_deleted: bool,
    /// The version of the change that is being made.
    version: Version,
    state: G::State,
    pub(crate) ledger: Ledger<G>,
}

impl<G: Game> Desk<'_, G> {
    fn deal(&mut self, deal: &Deal<'_, G::Goods>) -> Result<(), Refusal> {
        if deal.other() == Some(self.own) {
            return Err(Refusal::malformed("a character cannot deal with itself"));
        }
        match *deal {
            Deal::Give { to, goods } => self.send(Parcel { to, goods: goods.clone(), accepts: None })?,
            Deal::Accept { from, offer, gives, gets } => {
                check_kinds(gets)?;
                if planted::is(Bug::BothSidesDecide) {
                    self.put_in(gets);
                }
                let accepts = Some(Accepts { offer, expects: gets.clone() });
                self.send(Parcel { to: from, goods: gives.clone(), accepts })?;
            }
            Deal::Offer { to, gives, wants, seconds } => {
                if !(1..=OFFER_SECONDS_MAX).contains(&seconds) {
                    return Err(Refusal::malformed(format!("seconds: must be from 1 to {OFFER_SECONDS_MAX}")));
                }
                check_kinds(wants)?;
                G::check_wanted(self.rules, wants)?;
                if self.ledger.books.is_full_of_offers() {
                    return Err(Refusal::limit(format!("a character may have at most {OFFERS_MAX} open offers")));
                }
                self.take_out(gives)?;
                let until_ms = self.now_ms.saturating_add(seconds * 1_000);
                let offer = Offer { to, held: gives.clone(), wanted: wants.clone(), until_ms };
                self.ledger.books.offer(self.version.get(), offer).map_err(|NoPlace| Refusal::flush_behind())?;
            }
            Deal::Cancel { offer } => {
                if !self.ledger.books.withdraw(offer) {
                    return Err(Refusal::new(RejectionCode::NO_SUCH_OFFER, "this character has no such open offer"));
                }
                self.tidy();
                return Ok(());
            }
        }
        let mut shown = Vec::new();
        pack_shown(Some(&self.ledger.books), &mut shown);
        if shown.len() > BOOKS_BYTES_MAX {
            return Err(Refusal::limit(format!(
                "all parcels and offers of a character may take at most {BOOKS_BYTES_MAX} bytes of a frame"
            )));
        }
        Ok(())
    }

    fn send(&mut self, parcel: Parcel<CharacterId, G::Goods>) -> Result<(), Refusal> {
        if self.ledger.books.is_full_of_parcels() {
            return Err(Refusal::limit(format!("a character may have at most {SENT_MAX} parcels on their way")));
        }
        self.take_out(&parcel.goods)?;
        self.tell(parcel.to);
        // Its number is new, so there is a place for it.
        self.ledger.books.send(self.version.get(), parcel).map_err(|NoPlace| Refusal::flush_behind())
    }

    /// Another character must look at the row once it is stored.
    fn tell(&mut self, other: CharacterId) {
        self.ledger.tell(other, self.version);
    }

    fn take_out(&mut self, goods: &G::Goods) -> Result<(), Refusal> {
        check_kinds(goods)?;
        G::take_out(self.rules, &mut self.state, goods)?;
        if self.fits(&self.state) { Ok(()) } else { Err(Refusal::update_unfinished()) }
    }

    fn fits(&self, state: &G::State) -> bool {
        self.schema_version >= G::SCHEMA_VERSION || G::fits(self.schema_version, state)
    }

    /// Puts goods into the character, all of them or none. Returns false if they do not fit.
    fn put_in(&mut self, goods: &G::Goods) -> bool {
        let mut after = self.state.clone();
        let is_in = G::put_in(self.rules, &mut after, goods).is_ok() && self.fits(&after);
        if is_in {
            self.state = after;
        }
        is_in
    }

    /// Takes one step. Returns true if something has changed.
    pub(crate) fn step(&mut self, other: CharacterId, task: Task<CharacterId, G::Goods>) -> bool {
        match task {
            Task::Receive { number, parcel } => {
                let mut books = std::mem::take(&mut self.ledger.books);
                let now_ms = self.now_ms;
                let put_in = |goods: &G::Goods| !self.is_deleted && self.put_in(goods);
                let received = books.receive(other, number, &parcel, now_ms, put_in);
                self.ledger.books = books;
                if received == Err(NoPlace) {
                    return false;
                }
                if planted::is(Bug::ReceiptForgottenEarly) {
                    self.ledger.books.forget(other, number);
                }
                self.tell(other);
            }
            Task::Settle { number, receipt } => {
                self.ledger.books.settle(number, receipt);
                self.tell(other);
            }
            Task::Forget { number } => self.ledger.books.forget(other, number),
        }
        true
    }

    /// Ends the offers that are over, and puts waiting goods into the character as far as they fit. Of a deleted character
    /// both are dropped. Returns true if something has changed.
    pub(crate) fn tidy(&mut self) -> bool {
        let mut books = std::mem::take(&mut self.ledger.books);
        let before = (books.offers().len(), books.waiting().len());
        if self.is_deleted {
            books.drop_own();
        } else {
            books.expire(self.now_ms);
            books.unpack(|goods| self.put_in(goods));
        }
        let acted = before != (books.offers().len(), books.waiting().len());
        self.ledger.books = books;
        acted
    }
}

impl<G: Game, S: Subscriber> Entry<G, S> {
    /// Copies for the change that makes this version.
    pub(crate) fn desk<'r>(
        &self,
        rules: &'r G::Rules,
        schema_version: i32,
        version: Version,
        now_ms: i64,
    ) -> Desk<'r, G> {
        let ledger = self.ledger.as_deref().cloned().unwrap_or_else(|| Ledger::new(Books::default()));
        let (own, is_deleted, state) = (self.id(), self.deleted_at_ms.is_some(), self.state.clone());
        Desk { rules, schema_version, now_ms, own, is_deleted, version, state, ledger }
    }

    /// Puts the copies in place.
    pub(crate) fn put_back(&mut self, desk: Desk<'_, G>) {
        self.state = desk.state;
        self.ledger = (!desk.ledger.is_over()).then(|| Box::new(desk.ledger));
        self.kept.clear();
    }

    /// Carries out a deal that an action asks for. It counts, if the number of deals is limited. The caller notes the change.
    ///
    /// # Errors
    ///
    /// The refusal. Nothing has changed.
    pub(crate) fn deal(
        &mut self,
        rules: &G::Rules,
        schema_version: i32,
        deal: &Deal<'_, G::Goods>,
        is_limited: bool,
        now_ms: i64,
    ) -> Result<(), Refusal> {
        let mut desk = self.desk(rules, schema_version, self.header.version.next(), now_ms);
        desk.deal(deal)?;
        // A cancelled offer gives back what is the character's own.
        if is_limited && !matches!(deal, Deal::Cancel { .. }) {
            desk.ledger.count(now_ms);
        }
        self.put_back(desk);
        Ok(())
    }

    /// Checks that it has made fewer than `most` deals in this minute.
    ///
    /// # Errors
    ///
    /// The time until the next minute.
    pub(crate) fn check_deals(&self, most: u32, now_ms: i64) -> Result<(), Duration> {
        self.ledger.as_ref().map_or(Ok(()), |ledger| ledger.check(most, now_ms))
    }

    /// Counts a deal that came to nothing because it has no receiver: each costs a look into the database.
    pub(crate) fn count_deal(&mut self, now_ms: i64) {
        self.ledger.get_or_insert_with(|| Box::new(Ledger::new(Books::default()))).count(now_ms);
    }

    /// Does what [`Desk::tidy`] does, after another change.
    pub(crate) fn tidy(&mut self, rules: &G::Rules, schema_version: i32, now_ms: i64) {
        let Some(ledger) = &self.ledger else { return };
        let is_over = |offer: &Offer<_, _>| offer.until_ms <= now_ms;
        let has_own = !ledger.books.waiting().is_empty() || ledger.books.offers().values().any(is_over);
        if has_own || self.deleted_at_ms.is_some() {
            let mut desk = self.desk(rules, schema_version, self.header.version, now_ms);
            if desk.tidy() {
                self.put_back(desk);
            }
        }
    }

    /// Returns true if no parcel needs its books any more.
    pub(crate) fn is_settled(&self) -> bool {
        self.ledger.as_ref().is_none_or(|ledger| ledger.books.is_settled())
    }

    /// Hurries it into the database.
    pub(crate) fn hurry(&mut self, hurried: &mut Vec<(UserId, CharacterId)>, effects: &mut Effects<S>) {
        if self.queued && !std::mem::replace(&mut self.hurried, true) {
            hurried.push((self.header.user, self.header.id));
            effects.push(Effect::Hurry);
        }
    }
}

/// Refuses goods of too many kinds.
fn check_kinds(goods: &impl Goods) -> Result<(), Refusal> {
    if goods.amounts().len() > KINDS_MAX {
        return Err(Refusal::malformed(format!("goods: at most {KINDS_MAX} kinds at once")));
    }
    Ok(())
}
