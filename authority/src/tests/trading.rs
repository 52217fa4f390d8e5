//! Gifts and trades of two characters in one shard, with a database that the test writes and reads.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::toy::{Accept, Cancel, Give, Gold, NEVER_GIVEN, NEVER_TAKEN, Offer};
use super::*;
use crate::books::{BooksOf, restore};
use crate::row::WITH_BOOKS;
use crate::steps::{StepPermit, Turn};

/// Two users with a purse each, 11 and 22, and what the database has of them.
struct Fair {
    bench: Bench,
    rows: BTreeMap<CharacterId, CharacterRow>,
    request: u64,
}

impl Fair {
    /// Purse 11 has ten pieces of gold, purse 22 has three.
    fn new() -> Self {
        let mut bench = Bench::new();
        bench.install(2, 0);
        bench.create(2, 22, None);
        let mut fair = Self { bench, rows: BTreeMap::new(), request: 100 };
        fair.act(11, &gold(10));
        fair.act(22, &gold(3));
        fair.store();
        fair
    }

    fn act(&mut self, number: u128, action: &Action) -> String {
        self.request += 1;
        self.bench.change_of(number / 11, number, self.request, ANY, Change::Action(action), None)
    }

    fn act_of(&mut self, owner: u128, number: u128, id: u64, action: &Action) {
        let said = self.bench.change_of(owner, number, id, ANY, Change::Action(action), None);
        assert!(said.starts_with("applied"), "{said}");
    }

    /// Writes everything dirty to the database.
    fn store(&mut self) {
        for row in self.bench.flush() {
            self.rows.insert(row.id, row);
        }
    }

    fn entry(&self, number: u128) -> &Entry<Toy, Ear> {
        let roster = self.bench.core.rosters.get(&user(number / 11)).expect("in memory");
        roster.entries.iter().find(|entry| entry.id() == character(number)).expect("here")
    }

    fn gold(&self) -> [i64; 2] {
        [11, 22].map(|number| self.entry(number).state.gold)
    }

    fn permit(&mut self, number: u128) -> StepPermit {
        match self.bench.core.turn(user(number / 11), character(number)) {
            Turn::Now(permit) => permit,
            turn => panic!("{number} may not look: {turn:?}"),
        }
    }

    /// Reads the books of a character in the database.
    fn read(&self, number: u128) -> Option<BooksOf<Toy>> {
        let row = self.rows.get(&character(number))?;
        let loaded = restore::<Toy>(row.schema_version, &row.state).expect("as it was written");
        Some(loaded.books.unwrap_or_default())
    }

    /// Lets a character look at another one's row. Returns true if it did something.
    fn look(&mut self, number: u128, other: u128) -> bool {
        let permit = self.permit(number);
        let read = self.read(other);
        self.step(number, permit, other, read.as_ref())
    }

    fn step(&mut self, number: u128, permit: StepPermit, other: u128, read: Option<&BooksOf<Toy>>) -> bool {
        let before = self.entry(number).version();
        let Bench { core, effects, now_ms, has_room, .. } = &mut self.bench;
        let who = (user(number / 11), character(number));
        core.step(who, permit, Some((character(other), read)), *has_room, *now_ms, effects);
        self.entry(number).version() > before
    }

    /// Stores and looks until nothing happens any more.
    fn settle(&mut self) {
        loop {
            self.store();
            let acted = [self.look(11, 22), self.look(22, 11)];
            if acted == [false, false] {
                return;
            }
        }
    }

    /// Nothing is left in any books, in memory or in the database.
    fn is_settled(&self) -> bool {
        let is_empty = |number| self.entry(number).ledger.as_ref().is_none_or(|ledger| ledger.books.is_empty());
        [11, 22].into_iter().all(is_empty) && self.rows.values().all(|row| row.schema_version < WITH_BOOKS)
    }

    /// The number of the newest change of a character.
    fn newest(&self, number: u128) -> i64 {
        i64::try_from(self.entry(number).version().get()).expect("small")
    }
}

fn give(to: u128, gold: i64) -> Action {
    Action::Give(Give { to: character(to), goods: Gold(gold) })
}

fn offer(to: Option<u128>, gives: i64, wants: i64) -> Action {
    Action::Offer(Offer { to: to.map(character), gives: Gold(gives), wants: Gold(wants) })
}

fn accept(from: u128, offer: i64, gives: i64, gets: i64) -> Action {
    Action::Accept(Accept { from: character(from), offer, gives: Gold(gives), gets: Gold(gets) })
}

#[test]
fn a_gift_is_taken_only_after_it_is_stored_and_leaves_nothing_in_the_books() {
    let mut fair = Fair::new();
    assert!(fair.act(11, &give(22, 4)).starts_with("applied v3"));
    assert_eq!(fair.gold(), [6, 3], "on its way");
    assert!(!fair.look(22, 11), "it is not stored");
    fair.bench.effects();
    fair.store();
    let told = fair.bench.effects();
    let others = [character(22)].into();
    assert!(told.contains(&Effect::BooksStored { character: character(11), others }), "{told:?}");
    assert!(fair.look(22, 11));
    assert_eq!(fair.gold(), [6, 7]);
    assert!(!fair.look(22, 11), "it is taken once");
    assert!(!fair.look(11, 22), "the receipt is not stored");
    fair.settle();
    assert!(fair.is_settled());
    assert_eq!(fair.gold(), [6, 7]);
}

#[test]
fn the_intent_that_gives_can_come_twice_and_steps_of_the_server_do_not_touch_the_chain() {
    let mut fair = Fair::new();
    let give = give(22, 4);
    fair.act(11, &give);
    let again = fair.bench.change_of(1, 11, fair.request, ANY, Change::Action(&give), None);
    assert!(again.contains("again") || again.contains("duplicate"), "{again}");
    fair.settle();
    let entry = fair.entry(11);
    assert_eq!(entry.header.last, RequestId::new(fair.request), "clients can go on from their own intent");
    let after = Base { after: Some(RequestId::new(fair.request)), expect: None };
    assert!(fair.bench.change_of(1, 11, 900, after, Change::Action(&gold(1)), None).starts_with("applied"));
    assert_eq!(fair.gold(), [7, 7]);
}

#[test]
fn a_gift_that_does_not_fit_comes_back() {
    let mut fair = Fair::new();
    fair.act(22, &gold(999_997));
    fair.act(11, &give(22, 1));
    fair.settle();
    assert_eq!(fair.gold(), [10, 1_000_000]);
    assert!(fair.is_settled());
}

#[test]
fn goods_that_do_not_fit_when_they_come_back_wait_until_they_do() {
    let mut fair = Fair::new();
    fair.act(22, &gold(999_997));
    fair.act(11, &give(22, 5));
    fair.act(11, &gold(999_993));
    fair.settle();
    assert_eq!(fair.gold(), [999_998, 1_000_000]);
    let waiting = fair.entry(11).ledger.as_ref().expect("books").books.waiting().values().copied().collect::<Vec<_>>();
    assert_eq!(waiting, [Gold(5)]);
    fair.act(11, &gold(-10));
    assert_eq!(fair.gold()[0], 999_993, "with the next change that makes room");
    fair.settle();
    assert!(fair.is_settled());
}

#[test]
fn a_trade_happens_in_the_change_of_the_owner_of_the_offer() {
    let mut fair = Fair::new();
    fair.act(11, &offer(Some(22), 8, 3));
    let number = fair.newest(11);
    assert_eq!(fair.gold(), [2, 3]);
    assert!(fair.act(22, &accept(11, number, 3, 8)).starts_with("applied"));
    assert_eq!(fair.gold(), [2, 0]);
    fair.settle();
    assert_eq!(fair.gold(), [5, 8]);
    assert!(fair.is_settled());
}

#[test]
fn who_accepts_too_late_something_else_or_for_another_price_gets_everything_back() {
    let mut fair = Fair::new();
    fair.act(11, &offer(None, 8, 2));
    let number = fair.newest(11);
    for wrong in [accept(11, number, 1, 8), accept(11, number, 2, 80), accept(11, number + 1, 2, 8)] {
        assert!(fair.act(22, &wrong).starts_with("applied"));
        fair.settle();
        assert_eq!(fair.gold(), [2, 3], "{wrong:?}");
    }
    fair.act(22, &accept(11, number, 2, 8));
    fair.store();
    fair.bench.now_ms += 10_000;
    fair.settle();
    assert_eq!(fair.gold(), [10, 3], "it was over");
    assert!(fair.is_settled());
    let cancelled = fair.act(11, &Action::Cancel(Cancel { offer: number }));
    assert!(cancelled.contains("no_such_offer"), "{cancelled}");
}

#[test]
fn an_offer_that_is_cancelled_gives_its_goods_back_at_once() {
    let mut fair = Fair::new();
    fair.act(11, &offer(Some(22), 8, 3));
    let number = fair.newest(11);
    fair.act(22, &accept(11, number, 3, 8));
    fair.store();
    assert!(fair.act(11, &Action::Cancel(Cancel { offer: number })).starts_with("applied"));
    assert_eq!(fair.gold(), [10, 0]);
    fair.settle();
    assert_eq!(fair.gold(), [10, 3]);
    assert!(fair.is_settled());
}

#[test]
fn a_deal_that_cannot_be_is_refused_and_changes_nothing() {
    let mut fair = Fair::new();
    let refused = |fair: &mut Fair, action: &Action, code: &str| {
        let said = fair.act(11, action);
        assert!(said.contains(code), "{action:?}: {said}");
        assert_eq!((fair.gold(), fair.newest(11)), ([10, 3], 2), "{action:?}");
        assert!(fair.is_settled(), "{action:?}");
    };
    refused(&mut fair, &give(22, 11), "insufficient_funds");
    refused(&mut fair, &give(22, 0), "malformed");
    refused(&mut fair, &give(22, -1), "malformed");
    refused(&mut fair, &give(11, 1), "malformed");
    refused(&mut fair, &offer(Some(11), 1, 1), "malformed");
    fair.bench.receiver = Receiver::Nowhere;
    refused(&mut fair, &give(33, 1), "no_such_receiver");
    fair.bench.receiver = Receiver::Unknown;
    refused(&mut fair, &give(33, 1), "unknown");
    fair.bench.receiver = Receiver::There;
    fair.bench.core.store_in_schema(2);
    refused(&mut fair, &give(22, 1), "unavailable");
}

#[test]
fn the_bounds_of_the_books_hold() {
    let mut fair = Fair::new();
    fair.act(11, &gold(100));
    for _ in 0..castellan_trade::SENT_MAX {
        assert!(fair.act(11, &give(22, 1)).starts_with("applied"));
    }
    assert!(fair.act(11, &give(22, 1)).contains("limit_exceeded"));
    fair.settle();
    assert!(fair.is_settled(), "all of them, although the receiver keeps only a few receipts at once");
    assert_eq!(fair.gold(), [94, 19]);
    for _ in 0..castellan_trade::OFFERS_MAX {
        assert!(fair.act(11, &offer(None, 1, 1)).starts_with("applied"));
    }
    assert!(fair.act(11, &offer(None, 1, 1)).contains("limit_exceeded"));
}

#[test]
fn a_read_that_began_in_an_earlier_life_is_dropped() {
    let mut fair = Fair::new();
    fair.act(11, &give(22, 4));
    fair.store();
    let (slow_permit, slow_read) = (fair.permit(22), fair.read(11));
    fair.settle();
    assert!(fair.is_settled());
    // The receiver leaves memory and comes back.
    let row = fair.rows[&character(22)].clone();
    fair.bench.core.rosters.remove(&user(2));
    let permit = fair.bench.core.load_permit().expect("a lease");
    let loaded = restore(row.schema_version, &row.state).expect("as it was written");
    fair.bench.core.install(user(2), permit, vec![(row, loaded)], 0, &mut fair.bench.effects);
    assert!(!fair.step(22, slow_permit, 11, slow_read.as_ref()), "it would take the parcel twice");
    assert_eq!(fair.gold(), [6, 7]);
}

#[test]
fn a_deleted_character_refuses_and_stays_until_its_books_are_settled() {
    let mut fair = Fair::new();
    fair.act(11, &give(22, 4));
    fair.act(11, &offer(None, 1, 1));
    fair.act(22, &give(11, 2));
    fair.bench.change_of(1, 11, 901, ANY, Change::Delete, None);
    fair.store();
    let row = &fair.rows[&character(11)];
    assert!(row.deleted_at_ms.is_some() && row.schema_version > WITH_BOOKS, "its parcel is on its way");
    assert!(fair.read(11).expect("a row").offers().is_empty(), "what was its own is gone with it");
    assert!(fair.look(22, 11), "the parcel of the deleted one arrives");
    assert!(fair.look(11, 22), "and it refuses the other one");
    fair.store();
    fair.look(22, 11);
    fair.look(11, 22);
    fair.store();
    assert_eq!(fair.entry(22).state.gold, 7, "3 - 2 + 4 + 2");
    fair.look(22, 11);
    if fair.bench.core.rosters[&user(1)].entries.is_empty() {
        fair.store();
    } else {
        fair.look(11, 22);
        fair.store();
    }
    assert!(fair.bench.core.rosters[&user(1)].entries.is_empty(), "it has left memory");
    assert!(fair.rows.values().all(|row| row.schema_version < WITH_BOOKS), "and can be purged");
}

#[test]
fn books_are_shown_stored_and_read_back() {
    let mut fair = Fair::new();
    fair.act(11, &give(22, 4));
    fair.act(11, &offer(Some(22), 1, 2));
    fair.store();
    let row = &fair.rows[&character(11)];
    assert_eq!(row.schema_version, Toy::SCHEMA_VERSION + WITH_BOOKS);
    assert!(Toy::restore(row.schema_version, &row.state).is_ok(), "the toy reads any version");
    let books = fair.read(11).expect("a row");
    assert_eq!(books, fair.entry(11).ledger.as_ref().expect("books").books);
    let mut writer = crate::Writer::<Toy>::new(Arc::new(()));
    let mut body = Vec::new();
    let roster = fair.bench.core.rosters.get_mut(&user(1)).expect("here");
    writer.write(&mut roster.entries[0], crate::Answer::State { id: None }, crate::Shape::Body, &mut body);
    let shown: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
    let two = character(22).to_string();
    assert_eq!(shown["parcels"], serde_json::json!([{"number": 3, "to": two, "goods": 4}]));
    let until = "1970-01-01T00:00:11Z";
    assert_eq!(shown["offers"], serde_json::json!([{"number": 4, "to": two, "gives": 1, "wants": 2, "until": until}]));
    assert!(shown.get("waiting").is_none() && shown.get("books").is_none(), "{shown}");
}

#[test]
fn a_character_can_make_only_so_many_deals_in_a_minute_but_always_cancel() {
    let mut fair = Fair::new();
    fair.bench.core.limit_deals(2);
    assert!(fair.act(11, &offer(None, 1, 1)).starts_with("applied"));
    let number = fair.newest(11);
    assert!(fair.act(11, &give(22, 1)).starts_with("applied"));
    fair.settle();
    assert_eq!(fair.act(11, &give(22, 1)), "rate_limited");
    assert!(fair.act(22, &give(11, 1)).starts_with("applied"), "another one is not meant");
    assert!(fair.act(11, &Action::Cancel(Cancel { offer: number })).starts_with("applied"));
    fair.settle();
    assert_eq!(fair.act(11, &give(22, 1)), "rate_limited", "although its books are empty");
    fair.bench.now_ms += 60_000;
    assert!(fair.act(11, &give(22, 1)).starts_with("applied"));
}

#[test]
fn who_names_receivers_that_do_not_exist_is_limited_like_who_trades() {
    let mut fair = Fair::new();
    fair.bench.core.limit_deals(2);
    fair.bench.receiver = Receiver::Nowhere;
    assert_eq!([fair.act(11, &give(33, 1)), fair.act(11, &give(33, 1))], ["no_such_receiver"; 2]);
    fair.bench.receiver = Receiver::Unknown;
    assert_eq!(fair.act(11, &give(33, 1)), "rate_limited", "nobody looks any more");
}

#[test]
fn others_hear_of_a_stored_parcel_although_the_books_have_changed_since() {
    let mut fair = Fair::new();
    fair.act(11, &give(22, 1));
    let mut snapshots = Vec::new();
    fair.bench.core.collect(Queue::Dirty, &mut snapshots);
    let row = snapshots.remove(0).into_row();
    fair.act(11, &give(22, 1));
    fair.bench.effects();
    let now_ms = fair.bench.now_ms;
    fair.bench.core.saved(user(1), character(11), Version::new(row.version), now_ms, &mut fair.bench.effects);
    let told = fair.bench.effects();
    let is_told = |effect: &Effect<Ear>| matches!(effect, Effect::BooksStored { .. });
    assert!(told.iter().any(is_told), "the first one can be taken");
    fair.store();
    assert!(fair.bench.effects().iter().any(is_told), "and the second one");
}

#[test]
fn a_rule_that_panics_leaves_goods_and_books_as_they_were() {
    let mut fair = Fair::new();
    fair.act(11, &gold(100_000));
    fair.act(11, &give(22, 4));
    fair.act(11, &offer(None, 1, 1));
    let number = fair.newest(11);
    let books = |fair: &Fair| fair.entry(11).ledger.as_ref().expect("books").books.clone();
    let (before, gold_before) = (books(&fair), fair.gold());
    let panics = |fair: &mut Fair, does: &dyn Fn(&mut Fair)| {
        assert!(catch_unwind(AssertUnwindSafe(|| does(fair))).is_err());
    };
    panics(&mut fair, &|fair| drop(fair.act(11, &give(22, NEVER_GIVEN))));
    assert_eq!((books(&fair), fair.gold()), (before, gold_before));
    fair.act(11, &give(22, NEVER_TAKEN));
    fair.store();
    let gold_before = fair.gold();
    panics(&mut fair, &|fair| {
        fair.look(22, 11);
    });
    assert_eq!(fair.gold(), gold_before);
    assert!(fair.entry(22).ledger.as_ref().is_none_or(|ledger| ledger.books.is_empty()));
    assert!(fair.act(11, &Action::Cancel(Cancel { offer: number })).starts_with("applied"));
    assert_eq!(books(&fair).sent().len(), 2, "both parcels are still there");
}

#[test]
fn a_repeated_creation_does_not_show_a_deleted_character() {
    let mut fair = Fair::new();
    fair.bench.create(1, 12, Some(700));
    fair.act_of(1, 12, 701, &gold(5));
    fair.act_of(1, 12, 702, &give(22, 1));
    fair.bench.change_of(1, 12, 703, ANY, Change::Delete, None);
    fair.store();
    let made = fair.bench.create(1, 13, Some(700));
    assert!(made.starts_with("applied v1"), "{made}");
}
