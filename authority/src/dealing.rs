//! What gifts and trades do to one character: the deals that its client asks for, and the steps of the server.

use castellan_game::{Deal, Game, Goods, OFFER_SECONDS_MAX, Touched};
use castellan_protocol::{CharacterId, RejectionCode, UserId};
use castellan_trade::{Accepts, Books, NoPlace, OFFERS_MAX, Offer, Parcel, SENT_MAX, Task};

use crate::books::{BooksOf, Ledger};
use crate::effect::{Effect, Effects, Subscriber};
use crate::entry::Entry;
use crate::planted::{self, Bug};
use crate::refusal::Refusal;

/// Most kinds of goods in one parcel, and on each side of an offer.
pub(crate) const KINDS_MAX: usize = 8;

impl<G: Game, S: Subscriber> Entry<G, S> {
    /// Carries out a deal that an action asks for, at most `most` in a minute. The caller notes the change.
    ///
    /// # Errors
    ///
    /// The refusal. Nothing has changed.
    pub(crate) fn deal(
        &mut self,
        rules: &G::Rules,
        schema_version: i32,
        deal: &Deal<'_, G::Goods>,
        most: u32,
        now_ms: i64,
    ) -> Result<(), Refusal> {
        let mut ledger = self.ledger.take().unwrap_or_else(|| Box::new(Ledger::new(Books::default())));
        let counted = match deal {
            // It gives back what is the character's own.
            Deal::Cancel { .. } => Ok(()),
            _ => ledger.count(most, now_ms).map_err(Refusal::too_many_deals),
        };
        let done = counted.and_then(|()| self.try_deal(rules, schema_version, &mut ledger, deal, now_ms));
        if done.is_ok() {
            ledger.changed = self.header.version.next();
        }
        self.ledger = (!ledger.is_over()).then_some(ledger);
        done
    }

    fn try_deal(
        &mut self,
        rules: &G::Rules,
        schema_version: i32,
        ledger: &mut Ledger<G>,
        deal: &Deal<'_, G::Goods>,
        now_ms: i64,
    ) -> Result<(), Refusal> {
        if deal.other() == Some(self.id()) {
            return Err(Refusal::malformed("a character cannot deal with itself"));
        }
        let number = self.header.version.next().get();
        match *deal {
            Deal::Give { to, goods } => {
                self.send(rules, schema_version, ledger, Parcel { to, goods: goods.clone(), accepts: None })?;
            }
            Deal::Accept { from, offer, gives, gets } => {
                check_kinds(gets)?;
                let accepts = Some(Accepts { offer, expects: gets.clone() });
                if planted::is(Bug::BothSidesDecide) {
                    self.put_in(rules, schema_version, gets);
                }
                self.send(rules, schema_version, ledger, Parcel { to: from, goods: gives.clone(), accepts })?;
            }
            Deal::Offer { to, gives, wants, seconds } => {
                if !(1..=OFFER_SECONDS_MAX).contains(&seconds) {
                    return Err(Refusal::malformed(format!("seconds: must be from 1 to {OFFER_SECONDS_MAX}")));
                }
                check_kinds(wants)?;
                G::check_wanted(rules, wants)?;
                if ledger.books.is_full_of_offers() {
                    return Err(Refusal::limit(format!("a character may have at most {OFFERS_MAX} open offers")));
                }
                self.take_out(rules, schema_version, gives)?;
                let until_ms = now_ms.saturating_add(seconds * 1_000);
                let offer = Offer { to, held: gives.clone(), wanted: wants.clone(), until_ms };
                ledger.books.offer(number, offer).map_err(|NoPlace| Refusal::flush_behind())?;
            }
            Deal::Cancel { offer } => {
                if !ledger.books.withdraw(offer) {
                    return Err(Refusal::new(RejectionCode::NO_SUCH_OFFER, "this character has no such open offer"));
                }
                self.tidy(rules, schema_version, &mut ledger.books, now_ms);
            }
        }
        self.kept.clear();
        Ok(())
    }

    fn send(
        &mut self,
        rules: &G::Rules,
        schema_version: i32,
        ledger: &mut Ledger<G>,
        parcel: Parcel<CharacterId, G::Goods>,
    ) -> Result<(), Refusal> {
        if ledger.books.is_full_of_parcels() {
            return Err(Refusal::limit(format!("a character may have at most {SENT_MAX} parcels on their way")));
        }
        self.take_out(rules, schema_version, &parcel.goods)?;
        ledger.news.insert(parcel.to);
        // Its number is new, so there is a place for it.
        let number = self.header.version.next().get();
        ledger.books.send(number, parcel).map_err(|NoPlace| Refusal::flush_behind())
    }

    /// Takes goods out of the character.
    fn take_out(&mut self, rules: &G::Rules, schema_version: i32, goods: &G::Goods) -> Result<(), Refusal> {
        check_kinds(goods)?;
        let before = self.state.clone();
        G::take_out(rules, &mut self.state, goods)?;
        if schema_version < G::SCHEMA_VERSION && !G::fits(schema_version, &self.state) {
            self.state = before;
            return Err(Refusal::update_unfinished());
        }
        Ok(())
    }

    /// Takes one step. Returns true if something has changed.
    pub(crate) fn carry_out(
        &mut self,
        rules: &G::Rules,
        schema_version: i32,
        ledger: &mut Ledger<G>,
        other: CharacterId,
        task: Task<CharacterId, G::Goods>,
        now_ms: i64,
    ) -> bool {
        let is_deleted = self.deleted_at_ms.is_some();
        match task {
            Task::Receive { number, parcel } => {
                let put_in = |goods: &G::Goods| !is_deleted && self.put_in(rules, schema_version, goods);
                if ledger.books.receive(other, number, &parcel, now_ms, put_in) == Err(NoPlace) {
                    return false;
                }
                if planted::is(Bug::ReceiptForgottenEarly) {
                    ledger.books.forget(other, number);
                }
                ledger.news.insert(other);
            }
            Task::Settle { number, receipt } => {
                ledger.books.settle(number, receipt);
                ledger.news.insert(other);
            }
            Task::Forget { number } => ledger.books.forget(other, number),
        }
        self.kept.clear();
        true
    }

    /// Puts goods into the character, all of them or none. Returns false if they do not fit.
    fn put_in(&mut self, rules: &G::Rules, schema_version: i32, goods: &G::Goods) -> bool {
        let before = (schema_version < G::SCHEMA_VERSION).then(|| self.state.clone());
        match G::put_in(rules, &mut self.state, goods) {
            Ok(touched) => {
                if touched == Touched::Kept {
                    self.kept.clear();
                }
                if let Some(before) = before
                    && !G::fits(schema_version, &self.state)
                {
                    self.state = before;
                    return false;
                }
                true
            }
            Err(_) => false,
        }
    }

    /// Ends the offers that are over, and puts waiting goods into the character as far as they fit. Returns true if
    /// something has changed.
    pub(crate) fn tidy(&mut self, rules: &G::Rules, schema_version: i32, books: &mut BooksOf<G>, now_ms: i64) -> bool {
        if self.deleted_at_ms.is_some() {
            books.drop_own();
            return false;
        }
        let mut acted = books.expire(now_ms);
        let before = books.waiting().len();
        books.unpack(|goods| self.put_in(rules, schema_version, goods));
        acted |= books.waiting().len() < before;
        if acted {
            self.kept.clear();
        }
        acted
    }

    /// Does what [`Entry::tidy`] does, after another change.
    pub(crate) fn tidy_ledger(&mut self, rules: &G::Rules, schema_version: i32, now_ms: i64) {
        if let Some(mut ledger) = self.ledger.take() {
            if self.tidy(rules, schema_version, &mut ledger.books, now_ms) {
                ledger.changed = self.header.version;
            }
            self.ledger = Some(ledger);
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

/// Refuses goods of too many kinds: a character must fit into a frame.
fn check_kinds(goods: &impl Goods) -> Result<(), Refusal> {
    if goods.amounts().len() > KINDS_MAX {
        return Err(Refusal::malformed(format!("goods: at most {KINDS_MAX} kinds at once")));
    }
    Ok(())
}
