//! The check must find every fault and nothing else: a good history of one character, and each way to spoil it.

use castellan_srd::wire::{CharacterId, RequestId, Version};
use client_sim::recorded::trace::{Counters, Trace};
use uuid::Uuid;

use super::{Rule, Standing, check};
use crate::evidence::{Evidence, Fate, LeaseThen, Lifetime, Record, Seen, Write};

const JUMP: u64 = 1 << 20;

fn hero() -> CharacterId {
    CharacterId::from_uuid(Uuid::from_u128(1))
}

/// The id of the `n`-th intent of a lane.
fn id(lane: u8, n: u64) -> RequestId {
    RequestId::new(1_000 * (u64::from(lane) + 1) + n)
}

/// A row with these intents applied.
fn write(version: u64, recoveries: i64, applied: &[(u8, u64)]) -> Write {
    let mut counters = Counters::default();
    applied.iter().for_each(|(lane, n)| counters.add(Trace::of(*lane, *n)));
    let kept = &applied[applied.len().saturating_sub(64)..];
    Write {
        character: hero(),
        version,
        recoveries,
        ids: kept.iter().map(|(lane, n)| id(*lane, *n)).collect(),
        counters,
        goods: Default::default(),
        books: Default::default(),
        lease: Some(LeaseThen { recoveries, released: false, holder: Some(100), owner: None }),
        writer: Some(1),
    }
}

fn record(lane: u8, count: u64) -> Record {
    let fate = |n| Fate { id: Some(id(lane, n)), applied: true, durable: true, ..Fate::default() };
    Record {
        name: format!("player {lane}"),
        character: hero(),
        lane: Some(lane),
        intents: (0..count).map(|n| (n, fate(n))).collect(),
        seen: Vec::new(),
        kept: Some(0),
    }
}

fn alone(count: u64) -> Vec<(u8, u64)> {
    (0..count).map(|n| (0, n)).collect()
}

/// Forty intents by one client; a crash after the first twenty-five.
fn good() -> Evidence {
    let writes =
        vec![write(1, 0, &[]), write(11, 0, &alone(10)), write(26, 0, &alone(25)), write(41 + JUMP, 1, &alone(40))];
    Evidence {
        records: vec![record(0, 40)],
        rows: vec![writes[3].clone()],
        writes,
        lifetimes: vec![Lifetime { number: 1, process: 100, registered: None, began_ms: 0, ended_ms: None }],
        ..Evidence::default()
    }
}

/// The rules that a spoilt history breaks.
fn broken(spoil: impl FnOnce(&mut Evidence)) -> Vec<Rule> {
    let mut evidence = good();
    spoil(&mut evidence);
    let mut rules: Vec<Rule> = check(&evidence).findings.iter().map(|finding| finding.rule).collect();
    rules.sort();
    rules.dedup();
    rules
}

/// Replaces the last write and the row.
fn last(evidence: &mut Evidence, write: Write) {
    evidence.rows = vec![write.clone()];
    *evidence.writes.last_mut().expect("there are writes") = write;
}

fn fate(evidence: &mut Evidence, n: u64) -> &mut Fate {
    evidence.records[0].intents.get_mut(&n).expect("one of forty")
}

#[test]
fn a_good_history_has_no_findings() {
    let verdict = check(&good());
    assert_eq!(verdict.findings, []);
    assert_eq!((verdict.intents, verdict.acknowledged, verdict.unknown), (40, 40, 0));
}

#[test]
fn an_unanswered_intent_may_be_stored_or_not() {
    assert_eq!(broken(|evidence| { *fate(evidence, 39) = Fate { id: Some(id(0, 39)), ..Fate::default() } }), []);
    let without = |evidence: &mut Evidence| {
        *fate(evidence, 39) = Fate { id: Some(id(0, 39)), ..Fate::default() };
        last(evidence, write(40 + JUMP, 1, &alone(39)));
    };
    assert_eq!(broken(without), []);
    let unsent = |evidence: &mut Evidence| {
        evidence.records[0].intents.insert(40, Fate::default());
    };
    assert_eq!(broken(unsent), []);
}

#[test]
fn a_lost_intent_is_found() {
    let lost = broken(|evidence| last(evidence, write(40 + JUMP, 1, &alone(39))));
    assert_eq!(lost, [Rule::Lost, Rule::Coins]);
    let answered = broken(|evidence| {
        fate(evidence, 38).durable = false;
        let kept: Vec<_> = alone(40).into_iter().filter(|(_, n)| *n != 38).collect();
        last(evidence, write(40 + JUMP, 1, &kept));
    });
    assert_eq!(answered, [Rule::Lost]);
}

#[test]
fn an_intent_done_twice_is_found() {
    let noted_twice = broken(|evidence| {
        let twice: Vec<_> = alone(40).into_iter().chain([(0, 20)]).collect();
        last(evidence, write(42 + JUMP, 1, &twice));
    });
    assert_eq!(noted_twice, [Rule::Twice]);
    let noted_once = broken(|evidence| {
        let mut write = write(41 + JUMP, 1, &alone(40));
        write.counters.add(Trace::of(0, 38));
        last(evidence, write);
    });
    assert_eq!(noted_once, [Rule::State]);
    let as_coins = broken(|evidence| {
        let mut write = write(41 + JUMP, 1, &alone(40));
        write.counters.add(Trace::of(0, 39));
        last(evidence, write);
    });
    assert_eq!(as_coins, [Rule::State, Rule::Coins]);
}

#[test]
fn versions_must_follow_from_intents_and_recoveries() {
    assert_eq!(broken(|evidence| last(evidence, write(41, 1, &alone(40)))), [Rule::Versions], "no jump");
    assert_eq!(broken(|evidence| last(evidence, write(41 + JUMP, 0, &alone(40)))), [Rule::Versions]);
    assert_eq!(broken(|evidence| last(evidence, write(43 + JUMP, 1, &alone(40)))), [Rule::Versions]);
    assert_eq!(broken(|evidence| last(evidence, write(25, 1, &alone(40)))), [Rule::Versions], "it fell");
    let decided = |evidence: &mut Evidence| {
        evidence.decided.insert(hero());
        last(evidence, write(43 + JUMP, 1, &alone(40)));
    };
    assert_eq!(broken(decided), [], "an operator's decision may move it on");
}

#[test]
fn a_version_names_one_state() {
    let seen = |version, n, hash| Seen { version: Version::new(version), last: id(0, n), hash };
    assert_eq!(
        broken(|evidence| evidence.records[0].seen = vec![seen(26, 24, 5), seen(27, 25, 6), seen(26, 24, 5)]),
        []
    );
    let other = |evidence: &mut Evidence| evidence.records[0].seen = vec![seen(27, 25, 6), seen(27, 25, 7)];
    assert_eq!(broken(other), [Rule::TwoStates]);
    let other_than_written = |evidence: &mut Evidence| evidence.records[0].seen = vec![seen(26, 23, 6)];
    assert_eq!(broken(other_than_written), [Rule::TwoStates]);
}

#[test]
fn a_write_without_the_lease_is_found() {
    let lease = |evidence: &mut Evidence, lease| evidence.writes[1].lease = Some(lease);
    let ours = LeaseThen { recoveries: 0, released: false, holder: Some(100), owner: None };
    assert_eq!(broken(|evidence| lease(evidence, LeaseThen { recoveries: 1, ..ours })), [Rule::Fence]);
    assert_eq!(broken(|evidence| lease(evidence, LeaseThen { released: true, ..ours })), [Rule::Fence]);
    let other = |ended_ms| {
        move |evidence: &mut Evidence| {
            evidence.lifetimes.push(Lifetime {
                number: 2,
                process: 200,
                registered: None,
                began_ms: 50,
                ended_ms: None,
            });
            evidence.lifetimes[0].ended_ms = ended_ms;
            evidence.writes[1].writer = Some(2);
        }
    };
    assert_eq!(broken(other(None)), [Rule::Fence], "the holder is alive");
    assert_eq!(broken(other(Some(70))), [Rule::Fence], "the holder lived when the writer began");
    assert_eq!(broken(other(Some(40))), [], "a spool is brought in");
}

#[test]
fn a_write_by_another_node_than_the_owner_is_found() {
    let [first, second] = [1, 2].map(Uuid::from_u128);
    let owned_by = |owner| {
        move |evidence: &mut Evidence| {
            evidence.lifetimes[0].registered = Some(first);
            let other = Lifetime { number: 2, process: 200, registered: Some(second), began_ms: 0, ended_ms: None };
            evidence.lifetimes.push(other);
            evidence.writes[1].lease =
                Some(LeaseThen { recoveries: 0, released: false, holder: None, owner: Some(owner) });
        }
    };
    assert_eq!(broken(owned_by(first)), []);
    assert_eq!(broken(owned_by(second)), [Rule::Fence]);
}

#[test]
fn a_refusal_of_a_characters_only_client_is_found() {
    let refused = broken(|evidence| {
        *fate(evidence, 39) = Fate { id: Some(id(0, 39)), refused: true, ..Fate::default() };
        last(evidence, write(40 + JUMP, 1, &alone(39)));
    });
    assert_eq!(refused, [Rule::Refused]);
    let rejected = broken(|evidence| {
        let code = Some(castellan_srd::code::INSUFFICIENT_FUNDS);
        *fate(evidence, 39) = Fate { id: Some(id(0, 39)), rejected: code, ..Fate::default() };
    });
    assert_eq!(rejected, [Rule::Phantom, Rule::Refused]);
    assert_eq!(broken(|evidence| evidence.records[0].kept = Some(2)), [Rule::Stuck]);
    assert_eq!(broken(|evidence| evidence.records[0].kept = None), [Rule::Stuck]);
}

#[test]
fn an_intent_that_nobody_sent_is_found() {
    let phantom = broken(|evidence| {
        evidence.records[0].intents.remove(&39);
    });
    assert!(phantom.contains(&Rule::Phantom), "{phantom:?}");
    assert_eq!(broken(|evidence| evidence.rows.clear()), [Rule::Lost, Rule::Coins]);
    assert_eq!(broken(|evidence| evidence.rows[0] = write(26, 0, &alone(25))), [Rule::State, Rule::Coins]);
}

/// Two clients take turns; the second is refused once.
fn contested(others_behind: u64) -> Evidence {
    let mut applied: Vec<(u8, u64)> = vec![(0, 0), (1, 0), (1, 1)];
    let mut writes = vec![write(1, 0, &[]), write(4, 0, &applied)];
    for n in 0..others_behind {
        applied.push((0, n + 1));
        writes.push(write(5 + n, 0, &applied));
    }
    let mut second = record(1, 3);
    second.intents.insert(1, Fate { id: Some(id(1, 1)), refused: true, ..Fate::default() });
    second.intents.insert(2, Fate { id: Some(id(1, 2)), refused: true, ..Fate::default() });
    Evidence {
        records: vec![record(0, 1 + others_behind), second],
        rows: vec![writes.last().expect("there are writes").clone()],
        writes,
        lifetimes: Vec::new(),
        traders: Default::default(),
        decided: Default::default(),
        broken_off: false,
    }
}

#[test]
fn rule_nine_may_refuse_one_of_two_clients() {
    let forgotten = check(&contested(64));
    assert_eq!(forgotten.findings, []);
    assert_eq!(forgotten.refused, 2);
    let remembered = check(&contested(63)).findings;
    assert_eq!(remembered.iter().map(|finding| finding.rule).collect::<Vec<_>>(), [Rule::Refused]);
}

/// The rules that a spoilt history breaks if its run ended early, and whether that may follow from the early end.
fn broken_off(spoil: impl FnOnce(&mut Evidence)) -> Vec<(Rule, Standing)> {
    let mut evidence = Evidence { broken_off: true, ..good() };
    evidence.records[0].kept = None;
    spoil(&mut evidence);
    let findings = check(&evidence).findings;
    let mut found: Vec<_> = findings.iter().map(|finding| (finding.rule, finding.standing)).collect();
    found.sort();
    found.dedup();
    found.retain(|found| *found != (Rule::Stuck, Standing::MayFollow));
    found
}

#[test]
fn a_killed_player_proves_nothing_about_intents_that_were_not_durable() {
    use Standing::MayFollow;
    let killed = |evidence: &mut Evidence| evidence.records[0].kept = None;
    let stuck = |broken_off| {
        let mut evidence = Evidence { broken_off, ..good() };
        killed(&mut evidence);
        check(&evidence).findings.iter().map(|finding| (finding.rule, finding.standing)).collect::<Vec<_>>()
    };
    assert_eq!(stuck(false), [(Rule::Stuck, Standing::Certain)]);
    assert_eq!(stuck(true), [(Rule::Stuck, MayFollow)]);
    let applied = |evidence: &mut Evidence| {
        fate(evidence, 39).durable = false;
        last(evidence, write(40 + JUMP, 1, &alone(39)));
    };
    assert_eq!(broken_off(applied), [(Rule::Lost, MayFollow), (Rule::Coins, MayFollow)]);
    let unnamed = |evidence: &mut Evidence| *fate(evidence, 39) = Fate::default();
    let follows = [Rule::State, Rule::Phantom, Rule::Coins].map(|rule| (rule, MayFollow));
    assert_eq!(broken_off(unnamed), follows);
}

#[test]
fn a_run_that_ended_early_still_proves_certain_findings() {
    use Standing::Certain;
    let durable = broken_off(|evidence| last(evidence, write(40 + JUMP, 1, &alone(39))));
    assert_eq!(durable, [(Rule::Lost, Certain), (Rule::Coins, Standing::MayFollow)]);
    let twice = |evidence: &mut Evidence| {
        let twice: Vec<_> = alone(40).into_iter().chain([(0, 20)]).collect();
        last(evidence, write(42 + JUMP, 1, &twice));
    };
    assert_eq!(broken_off(twice), [(Rule::Twice, Certain)]);
    let state = |evidence: &mut Evidence| {
        let mut write = write(41 + JUMP, 1, &alone(40));
        write.counters.add(Trace::of(0, 38));
        last(evidence, write);
    };
    assert_eq!(broken_off(state), [(Rule::State, Certain)]);
    assert_eq!(broken_off(|evidence| last(evidence, write(41, 1, &alone(40)))), [(Rule::Versions, Certain)]);
    let seen = |hash| Seen { version: Version::new(27), last: id(0, 25), hash };
    assert_eq!(broken_off(|evidence| evidence.records[0].seen = vec![seen(6), seen(7)]), [(Rule::TwoStates, Certain)]);
    let lease = LeaseThen { recoveries: 0, released: true, holder: Some(100), owner: None };
    assert_eq!(broken_off(|evidence| evidence.writes[1].lease = Some(lease)), [(Rule::Fence, Certain)]);
}
