use stateright::{Checker, HasDiscoveries};

use super::*;
use crate::search::{shortest, traps, turn};

const DOCUMENT: &str = include_str!("../../../docs/trades.md");

const A: Who = 0;
const B: Who = 1;
const C: Who = 2;

const SWORD: Goods = [1, 0, 0];
const COIN: Goods = [0, 1, 0];
const RING: Goods = [0, 0, 1];

/// A gives its sword to B.
const GIFT: Plan = Plan {
    left_out: None,
    goods: &[SWORD, COIN],
    acts: &[(A, Act::Give(B, SWORD))],
    crashes: 4,
    refusals: 1,
    repeats: 0,
    ends: false,
};

/// The same, and B gives it back; either may be sent again.
const BACK_AND_FORTH: Plan =
    Plan { acts: &[(A, Act::Give(B, SWORD)), (B, Act::Give(A, SWORD))], crashes: 2, repeats: 2, ..GIFT };

/// A offers its sword to B for a coin. B accepts, and A withdraws.
const TRADE: Plan = Plan {
    acts: &[(A, Act::Offer(Some(B), SWORD, COIN)), (B, Act::Accept(A, COIN, SWORD)), (A, Act::Withdraw)],
    crashes: 3,
    refusals: 0,
    ends: true,
    ..GIFT
};

/// A offers its sword to everybody for a coin. Both others accept, and A withdraws.
const MARKET: Plan = Plan {
    goods: &[SWORD, COIN, COIN],
    acts: &[
        (A, Act::Offer(None, SWORD, COIN)),
        (B, Act::Accept(A, COIN, SWORD)),
        (C, Act::Accept(A, COIN, SWORD)),
        (A, Act::Withdraw),
    ],
    crashes: 1,
    refusals: 0,
    ..GIFT
};

/// Both offer each other the same trade, and both accept.
const CROSSED: Plan = Plan {
    goods: &[[2, 0, 0], [0, 2, 0]],
    acts: &[
        (A, Act::Offer(Some(B), SWORD, COIN)),
        (B, Act::Offer(Some(A), COIN, SWORD)),
        (A, Act::Accept(B, SWORD, COIN)),
        (B, Act::Accept(A, COIN, SWORD)),
    ],
    crashes: 1,
    refusals: 0,
    ..GIFT
};

/// Both give each other something, and B is deleted.
const DELETED: Plan = Plan {
    goods: &[SWORD, RING],
    acts: &[(A, Act::Give(B, SWORD)), (B, Act::Give(A, RING)), (B, Act::Delete)],
    crashes: 2,
    refusals: 0,
    ..GIFT
};

fn holds(plan: Plan, states: usize) {
    let _turn = turn();
    let search = plan.checker().threads(2).finish_when(HasDiscoveries::AnyFailures).spawn_dfs().join();
    search.assert_properties();
    assert_eq!(search.unique_state_count(), states, "update the number of states here and in docs/trades.md");
}

fn breaks(rule: Rule, plan: Plan, promise: &'static str, steps: usize) {
    let _turn = turn();
    let plan = Plan { left_out: Some(rule), ..plan };
    let found = shortest(plan, promise).unwrap_or_else(|| panic!("no path breaks the promise: {promise}"));
    println!("without {rule:?}, {} steps break the promise: {promise}\n{found:?}", found.len());
    assert_eq!(found.len(), steps, "update the number of steps here and in docs/trades.md");
    assert!(DOCUMENT.contains(&format!("| {promise} | {steps} |")), "not in the document");
}

#[test]
fn a_gift_arrives_or_comes_back() {
    holds(GIFT, 475);
}

#[test]
fn gifts_that_cross_and_are_repeated_are_counted_once() {
    holds(BACK_AND_FORTH, 439_894);
}

#[test]
fn a_trade_happens_entirely_or_not_at_all() {
    holds(TRADE, 5_924);
}

#[test]
fn an_offer_is_accepted_once() {
    holds(MARKET, 217_079);
}

#[test]
fn trades_that_cross_happen_each_for_itself() {
    holds(CROSSED, 37_124);
}

#[test]
fn a_deleted_character_loses_nothing_of_others() {
    holds(DELETED, 7_176);
}

#[test]
fn every_parcel_is_settled_at_last() {
    for (plan, states) in [
        (GIFT, 475),
        (Plan { crashes: 1, ..TRADE }, 2_686),
        (Plan { crashes: 0, ..MARKET }, 91_890),
        (Plan { crashes: 1, ..DELETED }, 4_368),
        (Plan { crashes: 0, ..CROSSED }, 14_400),
    ] {
        let _turn = turn();
        let (all, trapped) = traps(plan, Plan::progress, |_, system| system.is_settled());
        assert!(trapped.is_empty(), "{trapped:?}");
        assert_eq!(all, states);
    }
}

#[test]
fn without_storing_a_parcel_before_it_is_taken_a_promise_breaks() {
    breaks(Rule::TakenWhenStored, GIFT, CONSERVED, 5);
}

#[test]
fn without_storing_a_receipt_before_it_is_settled_a_promise_breaks() {
    breaks(Rule::SettledWhenStored, GIFT, CONSERVED, 9);
}

#[test]
fn without_storing_that_a_parcel_is_settled_before_it_is_forgotten_a_promise_breaks() {
    breaks(Rule::ForgottenWhenStored, GIFT, CONSERVED, 13);
}

#[test]
fn without_remembering_what_was_taken_a_promise_breaks() {
    breaks(Rule::TakenIsRemembered, GIFT, CONSERVED, 8);
}

#[test]
fn without_remembering_what_was_refused_a_promise_breaks() {
    breaks(Rule::RefusedIsRemembered, GIFT, CONSERVED, 12);
}

#[test]
fn without_a_single_decision_a_promise_breaks() {
    breaks(Rule::OneDecides, TRADE, CONSERVED, 6);
}

#[test]
fn without_paying_with_the_receipt_a_promise_breaks() {
    breaks(Rule::ReceiptPays, TRADE, ALL_OR_NOTHING, 16);
}

#[test]
fn without_new_numbers_a_promise_breaks() {
    breaks(Rule::NumbersAreNew, BACK_AND_FORTH, CONSERVED, 15);
}

#[test]
fn without_the_order_of_reads_a_promise_breaks() {
    breaks(Rule::ReadsInOrder, GIFT, CONSERVED, 10);
}

#[test]
fn without_reads_of_one_life_a_promise_breaks() {
    breaks(Rule::ReadsOfOneLife, GIFT, CONSERVED, 12);
}

#[test]
fn without_keeping_deleted_characters_until_their_books_are_settled_a_promise_breaks() {
    breaks(Rule::PurgedWhenSettled, DELETED, CONSERVED, 5);
}
