use super::*;

const NOW: i64 = 1_000;

type Side = Books<char, u32>;

fn parcel(to: char, goods: u32) -> Parcel<char, u32> {
    Parcel { to, goods, accepts: None }
}

fn offer(to: Option<char>) -> Offer<char, u32> {
    Offer { to, held: 5, wanted: 7, until_ms: NOW + 1 }
}

/// Does everything that can be done, with each side seeing the other's newest books. Returns the goods that `a` and `b`
/// were given.
fn deliver(a: &mut Side, b: &mut Side, takes: bool) -> [u32; 2] {
    let mut given = [0, 0];
    loop {
        let tasks = [a.tasks('a', 'b', Some(b)), b.tasks('b', 'a', Some(a))];
        if tasks.iter().all(Vec::is_empty) {
            return given;
        }
        for (who, (tasks, (side, from))) in tasks.into_iter().zip([(&mut *a, 'b'), (&mut *b, 'a')]).enumerate() {
            for task in tasks {
                match task {
                    Task::Receive { number, parcel } => {
                        let accepted = side.accepted_by(from, &parcel, NOW);
                        let is_taken = takes && (parcel.accepts.is_none() || accepted.is_some());
                        side.receive(from, number, is_taken, accepted);
                        given[who] += if is_taken { parcel.goods } else { 0 };
                    }
                    Task::Settle { number, receipt } => given[who] += side.settle(number, receipt).unwrap_or(0),
                    Task::Forget { number } => side.forget(from, number),
                }
            }
        }
    }
}

#[test]
fn a_gift_arrives_and_leaves_nothing_in_the_books() {
    let (mut a, mut b) = (Side::default(), Side::default());
    a.send(1, parcel('b', 3)).unwrap();
    assert_eq!(deliver(&mut a, &mut b, true), [0, 3]);
    assert_eq!([a, b], [Side::default(), Side::default()]);
}

#[test]
fn a_gift_that_is_refused_comes_back() {
    let (mut a, mut b) = (Side::default(), Side::default());
    a.send(1, parcel('b', 3)).unwrap();
    assert_eq!(deliver(&mut a, &mut b, false), [3, 0]);
    assert_eq!([a, b], [Side::default(), Side::default()]);
}

#[test]
fn a_gift_to_nobody_comes_back() {
    let mut a = Side::default();
    a.send(1, parcel('b', 3)).unwrap();
    let tasks = a.tasks('a', 'b', None);
    assert_eq!(tasks, [Task::Settle { number: 1, receipt: Receipt::Refused }]);
    assert_eq!(a.settle(1, Receipt::Refused), Some(3));
}

#[test]
fn a_trade_gives_each_side_the_goods_of_the_other() {
    let (mut a, mut b) = (Side::default(), Side::default());
    a.offer(1, offer(Some('b'))).unwrap();
    b.send(1, Parcel { accepts: Some(1), ..parcel('a', 7) }).unwrap();
    assert_eq!(deliver(&mut a, &mut b, true), [7, 5]);
    assert_eq!([a, b], [Side::default(), Side::default()]);
}

#[test]
fn a_parcel_accepts_only_an_offer_that_is_open_for_it_and_holds_what_is_wanted() {
    let mut a = Side::default();
    let good = Parcel { accepts: Some(1), ..parcel('a', 7) };
    assert_eq!(a.accepted_by('b', &good, NOW), None, "no such offer");
    a.offer(1, offer(Some('b'))).unwrap();
    assert_eq!(a.accepted_by('b', &good, NOW), Some(1));
    assert_eq!(a.accepted_by('c', &good, NOW), None, "it is for somebody else");
    assert_eq!(a.accepted_by('b', &good, NOW + 1), None, "it is over");
    assert_eq!(a.accepted_by('b', &Parcel { goods: 6, ..good.clone() }, NOW), None, "not what is wanted");
    assert_eq!(a.accepted_by('b', &Parcel { accepts: None, ..good.clone() }, NOW), None, "a gift");
    assert_eq!(a.withdraw(1), Some(5));
    assert_eq!(a.accepted_by('b', &good, NOW), None, "it was withdrawn");
    assert_eq!(a.withdraw(1), None);
}

#[test]
fn the_books_are_bounded_and_further_parcels_wait() {
    let (mut a, mut b) = (Side::default(), Side::default());
    for number in 0..SENT_MAX as u64 {
        a.send(number, parcel('b', 1)).unwrap();
    }
    assert_eq!(a.send(99, parcel('b', 1)), Err(Full));
    for number in 0..OFFERS_MAX as u64 {
        a.offer(number, offer(None)).unwrap();
    }
    assert_eq!(a.offer(99, offer(None)), Err(Full));
    for number in 0..RECEIPTS_MAX as u64 - 1 {
        b.receive('c', number, true, None);
    }
    assert_eq!(b.tasks('b', 'a', Some(&a)).len(), 1, "there is room for one more receipt");
    assert!(!b.is_settled() && !a.is_settled());
}
