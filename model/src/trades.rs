//! Goods that leave one character and enter another. Read `docs/trades.md` first.
//!
//! Two or three characters, each in a shard of its own, with a server of its own. A character is a row in the database
//! and a row in memory; the steps call the books of `castellan-trade`, which the server will run. What a server knows of
//! another character is what it has read in the database, at any time before.
//!
//! ```text
//!  character a:  memory ── collected ──▶ committed ◀── read ──┐
//!                                                             ├── what each server last read of the others
//!  character b:  memory ── collected ──▶ committed ◀── read ──┘
//! ```
//!
//! # Chance
//!
//! Every order of the steps is searched. A crash may happen at any time: memory falls back to the committed row, a
//! flush that was under way is committed or not, and what was read is forgotten. It also stands for a takeover (the
//! fence keeps the former owner from committing), for a lost lease, for a dead letter that is discarded, and, if
//! everything was stored, for a move. A lost answer of a commit, and a hint that is lost, late or repeated, need no step:
//! nothing is done because of them that is not done because of what is read.
//!
//! # How goods are counted
//!
//! In the committed rows at one moment, each unit of goods is in exactly one of these places:
//!
//! - with a character, or waiting in its books;
//! - in an open offer;
//! - in a parcel that was sent, if its receiver has not taken it;
//! - in the receipt of the receiver that has taken it, as what the sender gets for it, if the sender has not settled.
//!
//! So a parcel that was taken does not count, nor does a receipt whose parcel was settled.
//!
//! # Not modelled
//!
//! The fence and the versions (the models beside this one have them), the bounds of the books, and goods that wait in the
//! books because they do not fit into the character.

mod system;
#[cfg(test)]
mod tests;

use castellan_trade::{Accepts, Books, Offer, Parcel, Receipt, Task};
use stateright::{Model, Property};

pub use self::system::{Character, Goods, Look, Row, System, Who, add, take};

/// A rule that can be left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// A parcel is taken after it is stored. Left out: its receiver sees it in the sender's memory.
    TakenWhenStored,
    /// A parcel is settled after the receipt is stored. Left out: its sender sees it in the receiver's memory.
    SettledWhenStored,
    /// A receipt is forgotten after it is stored that its parcel is settled. Left out: when it is settled in memory.
    ForgottenWhenStored,
    /// A parcel that was taken is remembered until its sender has settled it. Left out: it is taken again.
    TakenIsRemembered,
    /// So is a parcel that was refused. Left out: the sender hears of it, and nobody remembers.
    RefusedIsRemembered,
    /// The owner of an offer decides. Left out: who accepts it takes the goods at once, and the owner gives the offer up
    /// when it hears of it.
    OneDecides,
    /// The receipt for an offer closes it, and holds its goods. Left out: the offer stays open.
    ReceiptPays,
    /// No number is used twice. Left out: a client that sends the same id again after it has left the ring gets it again.
    NumbersAreNew,
    /// Reads are used in their order. Left out: an older one may be used after a newer one.
    ReadsInOrder,
    /// A read counts only in the life of the entry in which it began. Left out: a read that was slow arrives after a crash.
    ReadsOfOneLife,
    /// A deleted character stays in the database until its books are settled. Left out: it is purged before.
    PurgedWhenSettled,
}

/// A client's request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Send goods to another character.
    Give(Who, Goods),
    /// Offer goods for others.
    Offer(Option<Who>, Goods, Goods),
    /// Accept somebody's first offer with these goods.
    Accept(Who, Goods, Goods),
    /// Withdraw the first offer.
    Withdraw,
    /// Delete the character.
    Delete,
}

/// A search.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// The rule that is left out.
    pub left_out: Option<Rule>,
    /// The goods of the characters at the beginning.
    pub goods: &'static [Goods],
    /// Each may be done once, in any order; again if it was lost in a crash.
    pub acts: &'static [(Who, Act)],
    /// Crashes.
    pub crashes: u8,
    /// Gifts that the rules of the game refuse.
    pub refusals: u8,
    /// Times that an act is done again, because its id has left the ring.
    pub repeats: u8,
    /// True if offers end.
    pub ends: bool,
}

/// A step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// A client's request is applied.
    Act(usize),
    /// The id of a request leaves the ring.
    LeaveRing(usize),
    /// Offers are over from now on.
    End,
    /// A character whose offer is over gets its goods back.
    Return(Who),
    /// The flusher collects a character.
    Collect(Who),
    /// It is committed.
    Commit(Who),
    /// The server of a character reads another one.
    Read(Who, Who),
    /// It uses an older read.
    UseOlder(Who),
    /// It takes a parcel.
    Take(Who, Who, u64),
    /// It refuses a parcel.
    Refuse(Who, Who, u64),
    /// It settles a parcel.
    Settle(Who, u64),
    /// It forgets a receipt.
    Forget(Who, Who, u64),
    /// The server of a character dies, and another one takes over.
    Crash(Who),
    /// A deleted character leaves the database.
    Purge(Who),
}

/// The counting rule.
pub const CONSERVED: &str = "no goods are lost, and none are there twice";
/// A trade happens entirely or not at all.
pub const ALL_OR_NOTHING: &str = "both sides of a trade have got their goods, or both have kept theirs";

/// The number of a client's first offer or parcel.
const FIRST: u64 = 1;
/// The present, and a time after the end of all offers.
const NOW_MS: i64 = 0;
const LATE_MS: i64 = 2;
const UNTIL_MS: i64 = 1;

impl Plan {
    /// Returns true if the rule is left out.
    pub fn lacks(&self, rule: Rule) -> bool {
        self.left_out == Some(rule)
    }

    /// Returns true if nobody gives anything away. Every offer is one of goods for one of others.
    fn only_trades(&self) -> bool {
        self.acts.iter().all(|(_, act)| !matches!(act, Act::Give(..) | Act::Delete))
    }

    fn everybody(&self) -> impl Iterator<Item = Who> + Clone + use<> {
        0..u8::try_from(self.goods.len()).expect("a few characters")
    }

    /// The steps that need no client and no fault.
    pub fn progress(&self, system: &System, steps: &mut Vec<Step>) {
        let mut all = Vec::new();
        self.actions(system, &mut all);
        let is_progress = |step: &Step| match step {
            Step::Collect(_)
            | Step::Commit(_)
            | Step::Read(..)
            | Step::Take(..)
            | Step::Settle(..)
            | Step::Forget(..)
            | Step::Return(_) => true,
            Step::Refuse(who, from, number) => !all.contains(&Step::Take(*who, *from, *number)),
            Step::Act(_) | Step::LeaveRing(_) | Step::End | Step::UseOlder(_) | Step::Crash(_) | Step::Purge(_) => {
                false
            }
        };
        steps.extend(all.iter().copied().filter(is_progress));
    }

    /// Returns true if the request can be applied.
    fn can_act(&self, system: &System, index: usize) -> bool {
        let (who, act) = self.acts[index];
        let character = &system.characters[usize::from(who)];
        let row = &character.memory;
        let has = |goods: Goods| row.goods.iter().zip(goods).all(|(has, wanted)| *has >= wanted);
        if character.is_purged || row.is_deleted || row.acts & (1 << index) != 0 {
            return false;
        }
        match act {
            Act::Give(_, goods) | Act::Accept(_, goods, _) | Act::Offer(_, goods, _) => has(goods),
            Act::Withdraw => row.books.offers().contains_key(&FIRST),
            Act::Delete => true,
        }
    }

    /// Applies a request. `None` if the number is in use.
    fn act(&self, system: &mut System, index: usize) -> Option<()> {
        let (who, act) = self.acts[index];
        let lacks_one = self.lacks(Rule::OneDecides);
        let seen_offer = match act {
            Act::Accept(from, ..) if lacks_one => system.characters[usize::from(from)].offer(FIRST).cloned(),
            _ => None,
        };
        let reuses = self.lacks(Rule::NumbersAreNew);
        let row = &mut system.characters[usize::from(who)].memory;
        row.acts |= 1 << index;
        row.made += 1;
        let number = if reuses { index as u64 + FIRST } else { row.made };
        match act {
            Act::Give(to, goods) => {
                take(&mut row.goods, goods);
                row.books.send(number, Parcel { to, goods, accepts: None }).ok()?;
            }
            Act::Accept(to, goods, expects) => {
                take(&mut row.goods, goods);
                let accepts = Accepts { offer: FIRST, expects };
                row.books.send(number, Parcel { to, goods, accepts: Some(accepts) }).ok()?;
                if let Some(offer) = seen_offer {
                    add(&mut row.goods, offer.held);
                }
            }
            Act::Offer(to, held, wanted) => {
                take(&mut row.goods, held);
                row.books.offer(number, Offer { to, held, wanted, until_ms: UNTIL_MS }).ok()?;
            }
            Act::Withdraw => row.return_offer(FIRST),
            Act::Delete => {
                row.is_deleted = true;
                row.return_offer(FIRST);
            }
        }
        Some(())
    }

    /// The tasks of a character's server, according to its last read.
    fn tasks(&self, system: &System, who: Who) -> Vec<(Who, Task<Who, Goods>)> {
        let character = &system.characters[usize::from(who)];
        let Some(look) = &character.look else { return Vec::new() };
        let books = &character.memory.books;
        let from = |books: &Books<Who, Goods>, seen: Option<&Books<Who, Goods>>| books.tasks(who, look.of, seen);
        let mut tasks = Vec::new();
        for task in from(books, look.for_settling.as_ref()) {
            if let Task::Settle { .. } = task {
                tasks.push(task);
            }
        }
        for task in from(books, look.for_taking.as_ref()) {
            if let Task::Receive { .. } = task {
                tasks.push(task);
            }
        }
        for task in from(books, look.for_forgetting.as_ref()) {
            if let Task::Forget { .. } = task {
                tasks.push(task);
            }
        }
        if self.lacks(Rule::TakenIsRemembered) {
            tasks.extend(from(&Books::default(), look.for_taking.as_ref()));
        }
        let refused = system.refused.iter().filter(|(from, ..)| *from == who && self.lacks(Rule::RefusedIsRemembered));
        let refused = refused.filter(|(_, number)| books.sent().contains_key(number));
        tasks.extend(refused.map(|&(_, number)| Task::Settle { number, receipt: Receipt::Refused }));
        tasks.into_iter().map(|task| (look.of, task)).collect()
    }

    /// Takes or refuses a parcel.
    fn receive(&self, system: &mut System, who: Who, from: Who, number: u64, is_taken: bool) -> Option<()> {
        let tasks = self.tasks(system, who);
        let parcel = tasks.into_iter().find_map(|(of, task)| match task {
            Task::Receive { number: this, parcel } if (of, this) == (from, number) => Some(parcel),
            _ => None,
        })?;
        let now_ms = system.now_ms();
        if !is_taken && self.lacks(Rule::RefusedIsRemembered) {
            system.refused.insert((from, number));
            return Some(());
        }
        let Row { goods, books, .. } = &mut system.characters[usize::from(who)].memory;
        if self.lacks(Rule::TakenIsRemembered) {
            books.forget(from, number);
        }
        let accepts = parcel.accepts.filter(|_| !self.lacks(Rule::ReceiptPays));
        let put_in = |parcel: &Goods| {
            if is_taken {
                add(goods, *parcel);
            }
            is_taken
        };
        books.receive(from, number, &Parcel { accepts, ..parcel }, now_ms, put_in).ok()?;
        Some(())
    }

    /// Returns true if the rules of the game and the offers let a character take a parcel; and if it may refuse it.
    fn may_decide(&self, system: &System, who: Who, parcel: &Parcel<Who, Goods>) -> (bool, bool) {
        let row = &system.characters[usize::from(who)].memory;
        let is_open = |accepts: &Accepts<_>| row.books.offers().contains_key(&accepts.offer) && !system.is_late;
        let is_welcome = parcel.accepts.as_ref().is_none_or(is_open);
        let may_take = is_welcome && !row.is_deleted;
        (may_take, !may_take || system.refusals < self.refusals)
    }
}

impl Model for Plan {
    type State = System;
    type Action = Step;

    fn init_states(&self) -> Vec<System> {
        vec![System::new(self.goods)]
    }

    fn actions(&self, system: &System, steps: &mut Vec<Step>) {
        steps.extend((0..self.acts.len()).filter(|index| self.can_act(system, *index)).map(Step::Act));
        if system.repeats < self.repeats {
            let done = |index: &usize| {
                let (who, act) = self.acts[*index];
                matches!(act, Act::Give(..)) && system.characters[usize::from(who)].memory.acts & (1 << index) != 0
            };
            steps.extend((0..self.acts.len()).filter(done).map(Step::LeaveRing));
        }
        if self.ends && !system.is_late {
            steps.push(Step::End);
        }
        for who in self.everybody() {
            let character = &system.characters[usize::from(who)];
            if character.is_purged {
                continue;
            }
            let is_stored = character.committed.as_ref() == Some(&character.memory);
            match character.collected {
                None if !is_stored => steps.push(Step::Collect(who)),
                None => {}
                Some(_) => steps.push(Step::Commit(who)),
            }
            if system.is_late && character.memory.books.offers().contains_key(&FIRST) {
                steps.push(Step::Return(who));
            }
            let others = self.everybody().filter(|other| *other != who);
            let is_new = |of: &Who| character.look.as_ref() != Some(&system.look(self, *of));
            steps.extend(others.filter(is_new).map(|of| Step::Read(who, of)));
            if character.older.is_some() && (character.has_crashed || self.lacks(Rule::ReadsInOrder)) {
                steps.push(Step::UseOlder(who));
            }
            for (of, task) in self.tasks(system, who) {
                match task {
                    Task::Receive { number, parcel } => {
                        let (may_take, may_refuse) = self.may_decide(system, who, &parcel);
                        steps.extend(may_take.then_some(Step::Take(who, of, number)));
                        steps.extend(may_refuse.then_some(Step::Refuse(who, of, number)));
                    }
                    Task::Settle { number, .. } => steps.push(Step::Settle(who, number)),
                    Task::Forget { number } => steps.push(Step::Forget(who, of, number)),
                }
            }
            if system.crashes < self.crashes && (!is_stored || character.look.is_some()) {
                steps.push(Step::Crash(who));
            }
            let may_purge = character.memory.books.is_settled() || self.lacks(Rule::PurgedWhenSettled);
            if character.memory.is_deleted && is_stored && character.collected.is_none() && may_purge {
                steps.push(Step::Purge(who));
            }
        }
    }

    fn next_state(&self, system: &System, step: Step) -> Option<System> {
        let mut next = system.clone();
        match step {
            Step::Act(index) => self.act(&mut next, index)?,
            Step::LeaveRing(index) => {
                next.repeats += 1;
                next.characters[usize::from(self.acts[index].0)].memory.acts &= !(1 << index);
            }
            Step::End => next.is_late = true,
            Step::Return(who) => next.characters[usize::from(who)].memory.return_offer(FIRST),
            Step::Collect(who) => next.characters[usize::from(who)].collect(),
            Step::Commit(who) => next.characters[usize::from(who)].commit(),
            Step::Read(who, of) => {
                let look = next.look(self, of);
                let character = &mut next.characters[usize::from(who)];
                let older = character.look.replace(look);
                if self.lacks(Rule::ReadsInOrder) || self.lacks(Rule::ReadsOfOneLife) {
                    character.older = older;
                }
            }
            Step::UseOlder(who) => {
                let character = &mut next.characters[usize::from(who)];
                character.look = character.older.take();
            }
            Step::Take(who, from, number) => self.receive(&mut next, who, from, number, true)?,
            Step::Refuse(who, from, number) => {
                let tasks = self.tasks(system, who);
                let parcel = tasks.iter().find_map(|(of, task)| match task {
                    Task::Receive { number: this, parcel } if (*of, *this) == (from, number) => Some(parcel),
                    _ => None,
                })?;
                next.refusals += u8::from(self.may_decide(system, who, parcel).0);
                self.receive(&mut next, who, from, number, false)?;
            }
            Step::Settle(who, number) => {
                let receipt = self.tasks(system, who).into_iter().find_map(|(_, task)| match task {
                    Task::Settle { number: this, receipt } if this == number => Some(receipt),
                    _ => None,
                })?;
                let row = &mut next.characters[usize::from(who)].memory;
                let accepted = row.books.sent().get(&number).is_some_and(|parcel| parcel.accepts.is_some());
                let is_taken = matches!(receipt, Receipt::Taken(_));
                row.books.settle(number, receipt);
                // Without the rule, it has put in what the offer held when it accepted.
                let has_it = self.lacks(Rule::OneDecides) && accepted && is_taken;
                row.unpack(has_it);
            }
            Step::Forget(who, from, number) => {
                next.characters[usize::from(who)].memory.books.forget(from, number);
            }
            Step::Crash(who) => {
                next.crashes += 1;
                next.characters[usize::from(who)].crash(self.lacks(Rule::ReadsOfOneLife));
            }
            Step::Purge(who) => next.purge(who),
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(CONSERVED, |plan: &Self, system: &System| {
                let mut goods = Goods::default();
                plan.goods.iter().for_each(|of| add(&mut goods, *of));
                system.counted() == goods
            }),
            Property::always(ALL_OR_NOTHING, |plan: &Self, system: &System| {
                !plan.only_trades() || !system.is_settled() || system.keeps_what_it_had(plan.goods)
            }),
        ]
    }
}
