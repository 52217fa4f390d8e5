use super::*;

const NOW: i64 = 1_000;

type Side = Books<char, u32>;

fn parcel(to: char, goods: u32) -> Parcel<char, u32> {
    Parcel { to, goods, accepts: None }
}

/// The acceptance of an offer that holds 5.
fn accepts(offer: u64) -> Option<Accepts<u32>> {
    Some(Accepts { offer, expects: 5 })
}

fn offer(to: Option<char>) -> Offer<char, u32> {
    Offer { to, held: 5, wanted: 7, until_ms: NOW + 1 }
}

/// Does everything that can be done, with each side seeing the other's newest books. Returns the goods that `a` and `b`
/// have got. `fits` says if goods can be put in.
fn deliver(a: &mut Side, b: &mut Side, fits: bool) -> [u32; 2] {
    let mut got = [0, 0];
    loop {
        let tasks = [a.tasks('a', 'b', Some(b)), b.tasks('b', 'a', Some(a))];
        if tasks.iter().all(Vec::is_empty) {
            return got;
        }
        for (who, (tasks, (side, from))) in tasks.into_iter().zip([(&mut *a, 'b'), (&mut *b, 'a')]).enumerate() {
            let mut put_in = |goods: &u32| {
                got[who] += if fits { *goods } else { 0 };
                fits
            };
            for task in tasks {
                match task {
                    Task::Receive { number, parcel } => {
                        side.receive(from, number, &parcel, NOW, &mut put_in).expect("room");
                    }
                    Task::Settle { number, receipt } => side.settle(number, receipt),
                    Task::Forget { number } => side.forget(from, number),
                }
            }
            side.unpack(&mut put_in);
        }
    }
}

#[test]
fn a_gift_arrives_and_leaves_nothing_in_the_books() {
    let (mut a, mut b) = (Side::default(), Side::default());
    a.send(1, parcel('b', 3)).expect("room");
    assert_eq!(deliver(&mut a, &mut b, true), [0, 3]);
    assert_eq!([a, b], [Side::default(), Side::default()]);
}

#[test]
fn a_gift_that_is_refused_comes_back_and_waits_until_it_fits() {
    let (mut a, mut b) = (Side::default(), Side::default());
    a.send(1, parcel('b', 3)).expect("room");
    assert_eq!(deliver(&mut a, &mut b, false), [0, 0]);
    assert!(a.is_settled() && b == Side::default(), "the receiver has nothing to do with it any more");
    assert_eq!(a.waiting().get(&1), Some(&3));
    a.unpack(|goods| *goods == 3);
    assert_eq!(a, Side::default());
}

#[test]
fn a_gift_to_nobody_comes_back() {
    let mut a = Side::default();
    a.send(1, parcel('b', 3)).expect("room");
    let tasks = a.tasks('a', 'b', None);
    assert_eq!(tasks, [Task::Settle { number: 1, receipt: Receipt::Refused }]);
    a.settle(1, Receipt::Refused);
    assert_eq!(a.waiting().get(&1), Some(&3));
    a.settle(1, Receipt::Refused);
    assert_eq!(a.waiting().len(), 1, "a parcel is settled once");
}

#[test]
fn a_trade_gives_each_side_the_goods_of_the_other() {
    let (mut a, mut b) = (Side::default(), Side::default());
    a.offer(1, offer(Some('b'))).expect("room");
    b.send(1, Parcel { accepts: accepts(1), ..parcel('a', 7) }).expect("room");
    assert_eq!(deliver(&mut a, &mut b, true), [7, 5]);
    assert_eq!([a, b], [Side::default(), Side::default()]);
}

#[test]
fn a_parcel_accepts_only_an_offer_that_is_open_for_it_and_holds_what_is_wanted() {
    #[track_caller]
    fn check(from: char, parcel: &Parcel<char, u32>, now_ms: i64, is_taken: bool) {
        let mut a = Side::default();
        a.offer(1, offer(Some('b'))).expect("room");
        assert_eq!(a.receive(from, 9, parcel, now_ms, |_| true), Ok(is_taken));
        let receipt = if is_taken { Receipt::Taken(Some(5)) } else { Receipt::Refused };
        assert_eq!(a.receipts().get(&(from, 9)), Some(&receipt));
        assert_eq!(a.offers().is_empty(), is_taken);
    }
    let good = Parcel { accepts: accepts(1), ..parcel('a', 7) };
    check('b', &good, NOW, true);
    check('c', &good, NOW, false);
    check('b', &good, NOW + 1, false);
    check('b', &Parcel { goods: 6, ..good.clone() }, NOW, false);
    check('b', &Parcel { accepts: accepts(2), ..good.clone() }, NOW, false);
    let lied_to = Some(Accepts { offer: 1, expects: 50 });
    check('b', &Parcel { accepts: lied_to, ..good.clone() }, NOW, false);
    let mut a = Side::default();
    a.offer(1, offer(None)).expect("room");
    assert!(a.withdraw(1) && !a.withdraw(1));
    assert_eq!(a.receive('b', 9, &good, NOW, |_| true), Ok(false), "it was withdrawn");
}

#[test]
fn an_offer_stays_open_if_the_parcel_does_not_fit() {
    let mut a = Side::default();
    a.offer(1, offer(None)).expect("room");
    let good = Parcel { accepts: accepts(1), ..parcel('a', 7) };
    assert_eq!(a.receive('b', 1, &good, NOW, |_| false), Ok(false));
    assert_eq!(a.receive('c', 1, &good, NOW, |_| true), Ok(true));
}

#[test]
fn the_books_are_bounded_and_further_parcels_wait() {
    let (mut a, mut b) = (Side::default(), Side::default());
    for number in 0..SENT_MAX as u64 {
        a.send(number, parcel('b', 1)).expect("room");
    }
    assert_eq!(a.send(99, parcel('b', 1)), Err(NoPlace));
    a.settle(0, Receipt::Refused);
    assert_eq!(a.send(99, parcel('b', 1)), Err(NoPlace), "what waits counts, too");
    for number in 101..100 + OFFERS_MAX as u64 {
        a.offer(number, offer(None)).expect("room");
    }
    assert_eq!(a.offer(99, offer(None)), Err(NoPlace));
    assert!(a.withdraw(101));
    assert_eq!(a.offer(99, offer(None)), Err(NoPlace), "otherwise offers that are withdrawn would pile up");
    a.unpack(|_| true);
    assert_eq!((a.offer(99, offer(None)), a.waiting().len()), (Ok(()), 0));
    assert_eq!(b.tasks('b', 'a', Some(&a)).len(), RECEIPTS_OF_ONE_MAX, "one sender cannot take all the room");
    for sender in ('c'..).take(RECEIPTS_MAX - 1) {
        b.receive(sender, 1, &parcel('b', 1), NOW, |_| true).expect("room");
    }
    assert_eq!(b.tasks('b', 'a', Some(&a)).len(), 1, "there is room for one more receipt");
    b.receive('a', 1, &parcel('b', 1), NOW, |_| true).expect("room");
    assert_eq!(b.receive('a', 2, &parcel('b', 1), NOW, |_| true), Err(NoPlace));
}

#[test]
fn a_number_names_one_thing() {
    let mut a = Side::default();
    a.send(1, parcel('b', 1)).expect("room");
    assert_eq!(a.send(1, parcel('b', 2)), Err(NoPlace));
    assert_eq!(a.offer(1, offer(None)), Err(NoPlace));
    assert_eq!(a.receive('b', 1, &parcel('a', 1), NOW, |_| true), Ok(true), "the numbers of others are others");
    assert_eq!(a.receive('b', 1, &parcel('a', 1), NOW, |_| true), Err(NoPlace), "received once");
}

#[test]
fn goods_of_an_offer_that_is_over_wait_until_they_fit() {
    let mut a = Side::default();
    a.offer(1, offer(None)).expect("room");
    assert!(!a.expire(NOW), "not over yet");
    assert!(a.expire(NOW + 1));
    assert_eq!((a.offers().len(), a.waiting().get(&1)), (0, Some(&5)));
    a.unpack(|goods| *goods == 5);
    assert!(a.is_empty());
}

#[test]
fn books_are_read_as_they_were_stored() {
    let mut a = Side::default();
    a.send(1, parcel('b', 3)).expect("room");
    a.send(2, Parcel { accepts: accepts(9), ..parcel('c', 7) }).expect("room");
    a.offer(3, offer(None)).expect("room");
    a.offer(4, offer(Some('b'))).expect("room");
    a.receive('b', 1, &parcel('a', 1), NOW, |_| true).expect("room");
    a.receive('c', 1, &parcel('a', 1), NOW, |_| false).expect("room");
    a.receive('b', 2, &Parcel { accepts: accepts(4), ..parcel('a', 7) }, NOW, |_| true).expect("room");
    a.settle(2, Receipt::Refused);
    let stored = serde_json::to_string(&a).expect("plain data");
    assert_eq!(serde_json::from_str::<Side>(&stored).expect("as it was written"), a);
    assert_eq!(a.others().into_iter().collect::<String>(), "bc");
    a.drop_own();
    assert!(a.offers().is_empty() && a.waiting().is_empty() && !a.is_settled(), "parcels and receipts stay");
}
