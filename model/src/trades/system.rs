//! Everything at one moment.

use std::collections::BTreeSet;

use castellan_trade::{Books, Offer, Receipt};

use super::{LATE_MS, NOW_MS, Plan, Rule};

/// A character.
pub type Who = u8;

/// How many there are of each kind.
pub type Goods = [u8; 3];

/// Adds goods.
pub fn add(to: &mut Goods, goods: Goods) {
    to.iter_mut().zip(goods).for_each(|(have, more)| *have += more);
}

/// Takes goods away.
pub fn take(from: &mut Goods, goods: Goods) {
    from.iter_mut().zip(goods).for_each(|(have, less)| *have -= less);
}

/// The row of a character.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Row {
    /// Its goods.
    pub goods: Goods,
    /// Its books.
    pub books: Books<Who, Goods>,
    /// The requests that were applied: a bit for each.
    pub acts: u8,
    /// How many numbers were used.
    pub made: u64,
    /// It was deleted.
    pub is_deleted: bool,
}

/// The books of another character, as a server has read them. All three copies are equal, unless a rule is left out.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Look {
    /// The other one.
    pub of: Who,
    /// Its books, as far as parcels are taken because of them.
    pub for_taking: Option<Books<Who, Goods>>,
    /// As far as parcels are settled.
    pub for_settling: Option<Books<Who, Goods>>,
    /// As far as receipts are forgotten.
    pub for_forgetting: Option<Books<Who, Goods>>,
}

/// A character: in the database, in memory, and on the way from one to the other.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Character {
    /// The row in the database.
    pub committed: Option<Row>,
    /// The character in memory.
    pub memory: Row,
    /// The row that a flush will commit.
    pub collected: Option<Row>,
    /// The last read of its server.
    pub look: Option<Look>,
    /// The read before that, kept only if a rule is left out.
    pub older: Option<Look>,
    /// Its server has crashed, if a rule is left out.
    pub has_crashed: bool,
    /// It is not in the database any more.
    pub is_purged: bool,
}

/// Everything.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct System {
    /// The characters.
    pub characters: Vec<Character>,
    /// Refusals that somebody heard of, by sender and number, if a rule is left out.
    pub refused: BTreeSet<(Who, u64)>,
    /// The goods of purged characters.
    pub buried: Goods,
    /// The offers are over.
    pub is_late: bool,
    /// Crashes so far.
    pub crashes: u8,
    /// Refusals so far that the game wanted.
    pub refusals: u8,
    /// Requests so far that were done again.
    pub repeats: u8,
}

impl Row {
    /// Takes an offer back, if it is open.
    pub(super) fn return_offer(&mut self, number: u64) {
        self.books.withdraw(number);
        self.unpack(false);
    }

    /// Puts in what waits in the books, unless the character has it already.
    pub(super) fn unpack(&mut self, has_it: bool) {
        let Self { goods, books, .. } = self;
        books.unpack(|waiting| {
            add(goods, if has_it { Goods::default() } else { *waiting });
            true
        });
    }
}

impl Character {
    /// An open offer in the database.
    pub(super) fn offer(&self, number: u64) -> Option<&Offer<Who, Goods>> {
        self.committed.as_ref()?.books.offers().get(&number)
    }

    pub(super) fn collect(&mut self) {
        self.collected = Some(self.memory.clone());
    }

    pub(super) fn commit(&mut self) {
        self.committed = self.collected.take();
    }

    /// Memory falls back to the database. A flush that was under way has been committed before, or never will be.
    /// `keeps` keeps a read that is on its way.
    pub(super) fn crash(&mut self, keeps: bool) {
        self.memory = self.committed.clone().unwrap_or_default();
        (self.collected, self.look) = (None, None);
        self.older = self.older.take().filter(|_| keeps);
        self.has_crashed = keeps;
    }
}

impl System {
    pub(super) fn new(goods: &[Goods]) -> Self {
        let character = |goods: &Goods| {
            let row = Row { goods: *goods, ..Row::default() };
            Character {
                committed: Some(row.clone()),
                memory: row,
                collected: None,
                look: None,
                older: None,
                has_crashed: false,
                is_purged: false,
            }
        };
        Self {
            characters: goods.iter().map(character).collect(),
            refused: BTreeSet::new(),
            buried: Goods::default(),
            is_late: false,
            crashes: 0,
            refusals: 0,
            repeats: 0,
        }
    }

    pub(super) fn now_ms(&self) -> i64 {
        if self.is_late { LATE_MS } else { NOW_MS }
    }

    /// What a server would read of a character now.
    pub(super) fn look(&self, plan: &Plan, of: Who) -> Look {
        let Character { committed, memory, is_purged, .. } = &self.characters[usize::from(of)];
        let stored = committed.as_ref().map(|row| row.books.clone());
        let applied = (!is_purged).then(|| memory.books.clone());
        let read = |rule| if plan.lacks(rule) { applied.clone() } else { stored.clone() };
        Look {
            of,
            for_taking: read(Rule::TakenWhenStored),
            for_settling: read(Rule::SettledWhenStored),
            for_forgetting: read(Rule::ForgottenWhenStored),
        }
    }

    /// A deleted character leaves the database. Its goods go with it.
    pub(super) fn purge(&mut self, who: Who) {
        let character = &mut self.characters[usize::from(who)];
        add(&mut self.buried, character.memory.goods);
        *character = Character {
            committed: None,
            memory: Row::default(),
            collected: None,
            look: None,
            older: None,
            has_crashed: false,
            is_purged: true,
        };
    }

    /// All goods, as the committed rows say.
    pub fn counted(&self) -> Goods {
        let mut all = self.buried;
        let row = |who: Who| self.characters[usize::from(who)].committed.as_ref();
        for (who, character) in (0..).zip(&self.characters) {
            let Some(Row { goods, books, .. }) = &character.committed else { continue };
            add(&mut all, *goods);
            books.offers().values().for_each(|offer| add(&mut all, offer.held));
            books.waiting().values().for_each(|waiting| add(&mut all, *waiting));
            for (number, parcel) in books.sent() {
                match row(parcel.to).and_then(|to| to.books.receipts().get(&(who, *number))) {
                    Some(Receipt::Taken(goods)) => add(&mut all, goods.unwrap_or_default()),
                    Some(Receipt::Refused) | None => add(&mut all, parcel.goods),
                }
            }
        }
        all
    }

    /// Returns true if every character has as many goods as at the beginning, with those in its offers.
    pub(super) fn keeps_what_it_had(&self, goods: &[Goods]) -> bool {
        let sum = |goods: &Goods| goods.iter().copied().sum::<u8>();
        self.characters.iter().zip(goods).all(|(Character { memory, .. }, had)| {
            let held = memory.books.offers().values().map(|offer| sum(&offer.held)).sum::<u8>();
            sum(&memory.goods) + held == sum(had)
        })
    }

    /// Returns true if everything is stored and no parcel is open.
    pub fn is_settled(&self) -> bool {
        self.characters.iter().all(|character| {
            let is_stored = character.is_purged || character.committed.as_ref() == Some(&character.memory);
            is_stored && character.collected.is_none() && character.memory.books.is_settled()
        })
    }
}
