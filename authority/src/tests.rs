//! The core as a table of commands and their results.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use castellan_protocol::limits::CHARACTERS_PER_USER_MAX;
use castellan_protocol::{CharacterId, RejectionCode, RequestId, UserId, Version};
use uuid::Uuid;

use crate::books::{Receiver, restore};
use crate::core::{Base, Change, Command, Core, Creation, Decision, Reader};
use crate::effect::{Effect, Effects};
use crate::entry::{Entry, UNFLUSHED_MAX};
use crate::flushing::{Queue, Snapshot};
use crate::row::{CharacterRow, Lease, ShardId, VERSION_JUMP};

mod ear;
mod frames;
mod leaving;
mod schema;
mod toy;
mod trading;

use castellan_game::Game;

use self::ear::{Ear, ears};
use self::toy::{Action, NewPurse, Pay, Purse, Toy};

const LEASE: Lease = Lease { shard: ShardId::new(3), epoch: 1, recoveries: 0 };

fn user(number: u128) -> UserId {
    UserId::from_uuid(Uuid::from_u128(number))
}

fn character(number: u128) -> CharacterId {
    CharacterId::from_uuid(Uuid::from_u128(number))
}

fn gold(gp: i64) -> Action {
    Action::Pay(Pay { gold: gp })
}

/// One shard with user 1, whose character 11 is in the database at version 1, and the effects for others.
struct Bench {
    core: Core<Toy, Ear>,
    effects: Effects<Ear>,
    now_ms: i64,
    has_room: bool,
    permitted: bool,
    receiver: Receiver,
}

impl Bench {
    fn new() -> Self {
        let core = Core::new(Some(LEASE), Arc::new(()), Arc::from([7; 32]));
        let mut bench = Self {
            core,
            effects: Effects::default(),
            now_ms: 1_000,
            has_room: true,
            permitted: true,
            receiver: Receiver::There,
        };
        bench.install(1, 0);
        bench.create(1, 11, None);
        bench.flush();
        bench
    }

    /// Loads a user without characters.
    fn install(&mut self, number: u128, now_ms: i64) {
        let permit = self.core.load_permit().expect("it has a lease");
        assert!(self.core.install(user(number), permit, Vec::new(), now_ms, &mut self.effects));
    }

    fn create(&mut self, owner: u128, number: u128, request: Option<u64>) -> String {
        let request = request.map(RequestId::new);
        let wanted = NewPurse { name: "purse".to_owned() };
        let creation =
            Creation { owner: user(owner), character: character(number), id: request, wanted: &wanted, wait: None };
        say(self.core.create(&creation, self.has_room, self.now_ms, &mut self.effects))
    }

    fn change(&mut self, id: u64, base: Base, change: Change<'_, Action>, sender: Option<&Ear>) -> String {
        self.change_of(1, 11, id, base, change, sender)
    }

    fn change_of(
        &mut self,
        owner: u128,
        number: u128,
        id: u64,
        base: Base,
        change: Change<'_, Action>,
        sender: Option<&Ear>,
    ) -> String {
        self.now_ms += 1;
        let command = Command {
            owner: user(owner),
            character: character(number),
            id: RequestId::new(id),
            base,
            change,
            permitted: self.permitted,
            is_limited: true,
        };
        say(self.core.change(&command, sender, self.receiver, self.has_room, self.now_ms, &mut self.effects))
    }

    fn gold(&mut self, id: u64, base: Base, gp: i64) -> String {
        self.change(id, base, Change::Action(&gold(gp)), None)
    }

    /// Plays the flusher, with a database that takes everything.
    fn flush(&mut self) -> Vec<CharacterRow> {
        let mut snapshots = Vec::new();
        self.core.collect(Queue::Dirty, &mut snapshots);
        let rows: Vec<_> = snapshots.into_iter().map(Snapshot::into_row).collect();
        for row in &rows {
            self.core.saved(row.user, row.id, Version::new(row.version), self.now_ms, &mut self.effects);
        }
        rows
    }

    /// The effects since the last call.
    fn effects(&mut self) -> Vec<Effect<Ear>> {
        std::mem::take(&mut self.effects).into_iter().collect()
    }

    /// The effects that tell a connection something.
    fn told(&mut self) -> Vec<Effect<Ear>> {
        let told = |effect: &Effect<Ear>| {
            matches!(effect, Effect::Changed { .. } | Effect::Durable { .. } | Effect::Close { .. })
        };
        self.effects().into_iter().filter(told).collect()
    }

    /// The changes in the counts of dirty characters and of places.
    fn counted(&mut self) -> (isize, isize) {
        self.effects().into_iter().fold((0, 0), |(dirty, places), effect| match effect {
            Effect::Dirty(change) => (dirty + change, places),
            Effect::Places(change) => (dirty, places + change),
            _ => (dirty, places),
        })
    }

    fn watch(&mut self, ear: &Ear) {
        self.core.look(user(1), character(11), Reader::Watches(ear), 0);
    }

    fn hurries(&mut self, owner: u128, only: Option<u128>) -> bool {
        self.effects();
        self.core.hurry(user(owner), only.map(character), &mut self.effects);
        self.effects() == [Effect::Hurry]
    }

    /// The characters that the flusher finds in a queue.
    fn collect(&mut self, queue: Queue) -> Vec<CharacterId> {
        let mut snapshots = Vec::new();
        let lease = self.core.collect(queue, &mut snapshots);
        assert_eq!(lease.is_some(), !snapshots.is_empty(), "there is a lease if there are rows");
        snapshots.into_iter().map(|snapshot| snapshot.into_row().id).collect()
    }

    fn state(&mut self) -> (u64, u64, Purse) {
        match self.core.look(user(1), character(11), Reader::Passing, self.now_ms) {
            Decision::Applied { entry, .. } => {
                (entry.header.version.get(), entry.header.last.get(), entry.state.clone())
            }
            other => panic!("character 11 must be visible, not {other:?}"),
        }
    }
}

fn after(id: u64) -> Base {
    Base { after: Some(RequestId::new(id)), expect: None }
}

fn expect(version: u64) -> Base {
    Base { after: None, expect: Some(Version::new(version)) }
}

const ANY: Base = Base { after: None, expect: Some(Version::new(0)) };

/// A decision in a few words: the result, version, last, durable.
fn say(decision: Decision<'_, Toy, Ear>) -> String {
    let entry = |entry: &Entry<Toy, Ear>| {
        format!("v{} last {} durable {}", entry.header.version, entry.header.last, entry.durable)
    };
    match decision {
        Decision::Applied { entry: is, duplicate: false } => format!("applied {}", entry(is)),
        Decision::Applied { entry: is, duplicate: true } => format!("duplicate {}", entry(is)),
        Decision::Conflict { entry: is } => format!("conflict {}", entry(is)),
        Decision::Refused(refusal) => refusal.code.to_string(),
        Decision::Absent => "absent".to_owned(),
        Decision::Unknown => "unknown".to_owned(),
    }
}

#[test]
fn an_intent_matches_the_version_it_expects_or_the_intent_it_comes_after() {
    let mut bench = Bench::new();
    assert_eq!(bench.gold(5, expect(1), 1), "applied v2 last 5 durable 1");
    assert_eq!(bench.gold(6, expect(1), 1), "conflict v2 last 5 durable 1");
    assert_eq!(bench.gold(6, expect(3), 1), "conflict v2 last 5 durable 1");
    assert_eq!(bench.gold(6, after(4), 1), "conflict v2 last 5 durable 1");
    assert_eq!(bench.gold(6, after(5), 1), "applied v3 last 6 durable 1", "a conflict does not use up the id");
    assert_eq!(bench.gold(7, ANY, 1), "applied v4 last 7 durable 1");
    let both = Base { after: Some(RequestId::new(7)), expect: Some(Version::new(3)) };
    assert_eq!(bench.gold(8, both, 1), "conflict v4 last 7 durable 1", "all that is given must match");
}

#[test]
fn the_first_intent_on_a_character_comes_after_0() {
    let mut bench = Bench::new();
    assert_eq!(bench.gold(5, after(0), 1), "applied v2 last 5 durable 1");
}

#[test]
fn an_id_is_applied_once_even_if_its_base_changes() {
    let mut bench = Bench::new();
    bench.gold(5, ANY, 10);
    bench.gold(6, after(5), 10);
    for base in [ANY, expect(99), after(0), after(5)] {
        assert_eq!(bench.gold(5, base, 10), "duplicate v3 last 6 durable 1");
    }
    assert_eq!(bench.state().2.gold, 20);
    for id in 7..7 + 63 {
        bench.gold(id, ANY, 1);
    }
    assert_eq!(bench.gold(6, expect(99), 1), "duplicate v66 last 69 durable 1", "the 64th is remembered");
    assert_eq!(bench.gold(5, expect(99), 1), "conflict v66 last 69 durable 1", "the 65th is not");
}

#[test]
fn checks_run_in_the_order_of_the_wire() {
    let mut bench = Bench::new();
    bench.gold(5, ANY, 1);
    let poor = gold(-1_000);
    bench.permitted = false;
    assert_eq!(bench.change_of(1, 12, 6, expect(9), Change::Action(&poor), None), "no_such_character");
    assert_eq!(bench.change(5, expect(9), Change::Action(&poor), None), "not_permitted", "before the id");
    bench.permitted = true;
    assert_eq!(bench.change(5, expect(9), Change::Action(&poor), None), "duplicate v2 last 5 durable 1");
    assert_eq!(bench.change(6, expect(9), Change::Action(&poor), None), "conflict v2 last 5 durable 1");
    assert_eq!(bench.change(6, ANY, Change::Action(&poor), None), "insufficient_funds");
}

#[test]
fn a_refused_intent_changes_nothing() {
    let mut bench = Bench::new();
    bench.gold(5, ANY, 3);
    bench.flush();
    let before = bench.state();
    for (action, code) in [(gold(-4), "insufficient_funds"), (gold(0), "malformed"), (gold(i64::MAX), "limit_exceeded")]
    {
        assert_eq!(bench.change(6, ANY, Change::Action(&action), None), code);
        assert_eq!(bench.state(), before);
    }
    bench.has_room = false;
    assert_eq!(bench.gold(6, ANY, 1), "overloaded");
    assert_eq!(bench.state(), before);
    assert!(bench.flush().is_empty(), "nothing became dirty");
    bench.has_room = true;
    assert_eq!(bench.gold(6, ANY, 1), "applied v3 last 6 durable 2", "refusals do not use up the id");
}

#[test]
fn no_user_sees_the_characters_of_another_user() {
    let mut bench = Bench::new();
    bench.install(2, 0);
    assert_eq!(bench.change_of(2, 11, 5, ANY, Change::Delete, None), "no_such_character");
    assert_eq!(say(bench.core.look(user(2), character(11), Reader::Passing, 0)), "no_such_character");
    assert_eq!(bench.change_of(3, 11, 5, ANY, Change::Delete, None), "absent", "not loaded yet");
}

#[test]
fn a_user_may_have_32_characters_and_a_repeated_request_makes_one() {
    let mut bench = Bench::new();
    assert_eq!(bench.create(1, 12, Some(9)), "applied v1 last 9 durable 0");
    assert_eq!(bench.create(1, 13, Some(9)), "duplicate v1 last 9 durable 0");
    for number in 2..CHARACTERS_PER_USER_MAX as u128 {
        assert!(bench.create(1, 100 + number, None).starts_with("applied"));
    }
    assert_eq!(bench.create(1, 200, None), "limit_exceeded");
    assert!(bench.change(50, ANY, Change::Delete, None).starts_with("applied"));
    assert!(bench.create(1, 201, None).starts_with("applied"), "a deleted one makes room");
}

#[test]
fn a_deleted_character_is_gone_at_once_and_leaves_memory_once_its_deletion_is_durable() {
    let mut bench = Bench::new();
    assert_eq!(bench.change(5, expect(1), Change::Delete, None), "applied v2 last 5 durable 1");
    assert_eq!(bench.gold(6, ANY, 1), "no_such_character");
    let rows = bench.flush();
    assert!(rows.len() == 1 && rows[0].version == 2 && rows[0].deleted_at_ms.is_some());
    assert!(bench.core.rosters[&user(1)].entries.is_empty());
}

#[test]
fn only_the_newest_state_is_flushed_and_an_intent_during_the_flush_is_flushed_next() {
    let mut bench = Bench::new();
    for id in 5..1_005 {
        bench.gold(id, ANY, 1);
    }
    let mut snapshots = Vec::new();
    bench.core.collect(Queue::Dirty, &mut snapshots);
    assert_eq!(snapshots.len(), 1, "a thousand changes are one row");
    bench.gold(2_000, ANY, 1);
    let row = snapshots.pop().expect("one").into_row();
    assert_eq!((row.version, row.request_ids.len()), (1_001, 64));
    bench.effects();
    bench.core.saved(user(1), character(11), Version::new(row.version), 5_000, &mut bench.effects);
    assert_eq!(bench.counted(), (0, 0), "the intent during the flush is still dirty");
    assert_eq!(bench.flush()[0].version, 1_002);
    assert!(bench.flush().is_empty());
}

#[test]
fn hurried_characters_are_collected_first_and_once() {
    let mut bench = Bench::new();
    bench.create(1, 12, None);
    assert!(!bench.hurries(1, Some(11)), "the character is clean");
    assert!(!bench.hurries(2, None), "the user is not in memory");
    bench.gold(5, ANY, 1);
    for _ in 0..2 {
        assert!(bench.hurries(1, Some(11)));
    }
    assert_eq!(bench.collect(Queue::Hurried), [character(11)]);
    assert!(bench.collect(Queue::Hurried).is_empty());

    // It changes again before the next sweep. It is now in the queue twice and is collected once.
    bench.gold(6, ANY, 1);
    assert_eq!(bench.collect(Queue::Dirty), [character(12), character(11)]);
    assert!(bench.collect(Queue::Dirty).is_empty());

    bench.gold(7, ANY, 1);
    assert!(bench.hurries(1, None), "all characters of this user");
    assert_eq!(bench.collect(Queue::Dirty), [character(11)]);
    assert!(bench.collect(Queue::Hurried).is_empty(), "the sweep was faster");
}

#[test]
fn watchers_are_told_of_a_change_and_of_its_commit_but_no_state() {
    let mut bench = Bench::new();
    let [actor, watcher] = ears();
    bench.watch(&watcher);
    bench.effects();
    for id in [5, 6] {
        bench.change(id, ANY, Change::Action(&gold(1)), Some(&actor));
    }
    let changed = Effect::Changed { to: watcher.clone(), owner: user(1), character: character(11) };
    assert_eq!(bench.told(), [changed.clone(), changed], "the actor has the answer");
    bench.flush();
    let durable = |to: &Ear, version| Effect::Durable {
        to: to.clone(),
        character: character(11),
        version: Version::new(version),
    };
    assert_eq!(bench.told(), [durable(&watcher, 3), durable(&actor, 3)]);
    bench.gold(2_000, ANY, 1);
    bench.effects();
    bench.flush();
    assert_eq!(bench.told(), [durable(&watcher, 4)], "the actor's own intents are durable, and it does not watch");
    bench.core.unwatch(user(1), character(11), &watcher);
    bench.gold(2_001, ANY, 1);
    bench.flush();
    assert_eq!(bench.told(), []);
}

#[test]
fn a_connection_that_has_ended_is_forgotten_with_the_next_change() {
    let mut bench = Bench::new();
    let [ended, open] = ears();
    bench.watch(&ended);
    bench.watch(&open);
    ended.gone.store(true, Ordering::Relaxed);
    bench.effects();
    bench.gold(5, ANY, 1);
    let told = bench.told();
    assert!(matches!(&told[..], [Effect::Changed { to, .. }] if *to == open), "{told:?}");
    assert_eq!(Arc::strong_count(&ended.gone), 1, "no link is left");
}

#[test]
fn a_lost_shard_forgets_everything_and_ends_the_sockets_that_saw_it() {
    let mut bench = Bench::new();
    let permit = bench.core.load_permit().expect("it has a lease");
    let [actor, idle] = ears();
    bench.change(5, ANY, Change::Action(&gold(1)), Some(&actor));
    bench.core.welcome(user(1), &idle, 0);
    bench.effects();
    assert_eq!(bench.core.lose(&mut bench.effects), (2, 1), "the character and its user, one of them dirty");
    let effects = bench.effects();
    let closed = |ear: &Ear| effects.contains(&Effect::Close { to: ear.clone() });
    assert!(closed(&actor) && closed(&idle), "{effects:?}");
    assert!(effects.contains(&Effect::Dirty(-1)) && effects.contains(&Effect::Places(-2)), "{effects:?}");
    assert_eq!(bench.gold(6, ANY, 1), "unavailable");
    let mut snapshots = Vec::new();
    assert!(bench.core.collect(Queue::Dirty, &mut snapshots).is_none() && snapshots.is_empty());
    assert!(
        !bench.core.install(user(1), permit, Vec::new(), 0, &mut bench.effects),
        "a load from before the loss comes too late"
    );
}

#[test]
fn dirty_watched_and_dead_letter_characters_stay_in_memory() {
    let mut bench = Bench::new();
    bench.gold(5, ANY, 1);
    assert_eq!(bench.core.evict(&mut bench.effects), None, "dirty");
    bench.flush();
    let [watcher] = ears();
    bench.watch(&watcher);
    assert_eq!(bench.core.evict(&mut bench.effects), None, "watched");
    watcher.gone.store(true, Ordering::Relaxed);
    bench.core.bury(user(1), character(11), Version::new(2), &mut bench.effects);
    assert_eq!(bench.core.evict(&mut bench.effects), None, "a dead letter");
    assert_eq!(bench.gold(6, ANY, 1), RejectionCode::UNAVAILABLE.as_str());
}

#[test]
fn a_dead_letter_leaves_the_count_of_dirty_characters_once() {
    let mut bench = Bench::new();
    bench.gold(5, ANY, 1);
    bench.effects();
    bench.core.bury(user(1), character(11), Version::new(2), &mut bench.effects);
    assert_eq!(bench.counted(), (-1, 0));
    bench.core.bury(user(1), character(11), Version::new(2), &mut bench.effects);
    assert_eq!(bench.counted(), (0, 0), "the database refused it again");
    bench.core.saved(user(1), character(11), Version::new(2), 5_000, &mut bench.effects);
    assert_eq!(bench.counted(), (0, 0), "the database took it at a later flush");
}

#[test]
fn a_version_that_was_never_made_takes_the_character_out_of_play() {
    let mut bench = Bench::new();
    let [actor] = ears();
    bench.change(5, ANY, Change::Action(&gold(1)), Some(&actor));
    bench.effects();
    bench.core.saved(user(1), character(11), Version::new(3), 5_000, &mut bench.effects);
    let effects = [Effect::Dirty(-1), Effect::Close { to: actor }, Effect::OutOfPlay(character(11))];
    assert_eq!(bench.effects(), effects);
    assert_eq!(bench.gold(6, ANY, 1), "unavailable");
    assert!(bench.core.out_of_play().eq([(user(1), character(11))]), "it waits to be loaded again");

    let mut bench = Bench::new();
    bench.core.rosters.get_mut(&user(1)).expect("here").entries[0].durable = Version::new(9);
    assert_eq!(bench.gold(5, ANY, 1), "unavailable");
    assert!(bench.effects().contains(&Effect::OutOfPlay(character(11))));
}

#[test]
fn the_least_recently_used_user_leaves_first() {
    let mut bench = Bench::new();
    bench.install(2, 5_000);
    bench.now_ms = 9_000;
    bench.gold(5, ANY, 1);
    bench.flush();
    assert_eq!(bench.core.evict(&mut bench.effects), Some(1));
    assert!(bench.core.rosters.contains_key(&user(1)) && !bench.core.rosters.contains_key(&user(2)));
    assert_eq!(bench.core.evict(&mut bench.effects), Some(2), "one character and one user");
    assert_eq!(bench.core.evict(&mut bench.effects), None);
}

#[test]
fn a_version_jumps_for_each_crash_since_the_row_was_written() {
    for (row_recoveries, lease_recoveries, jumps) in [(0, 0, 0), (0, 1, 1), (2, 5, 3), (5, 5, 0)] {
        let mut bench = Bench::new();
        for id in 5..8 {
            bench.gold(id, ANY, 1);
        }
        let mut row = bench.flush().remove(0);
        row.recoveries = row_recoveries;
        let lease = Lease { epoch: 2, recoveries: lease_recoveries, ..LEASE };
        let loaded = restore::<Toy>(row.schema_version, &row.state).expect("what was just written");
        bench.core = Core::new(Some(lease), Arc::new(()), Arc::from([7; 32]));
        let permit = bench.core.load_permit().expect("it has a lease");
        assert!(bench.core.install(user(1), permit, vec![(row, loaded)], 0, &mut bench.effects));
        let version = 4 + jumps * VERSION_JUMP;
        let same = format!("v{version} last 7 durable {version}");
        assert_eq!(bench.gold(6, expect(1), 1), format!("duplicate {same}"), "the ids are restored too");
        assert_eq!(bench.gold(9, expect(4), 1) == format!("conflict {same}"), jumps > 0);
    }
}

#[test]
fn a_character_may_not_have_as_many_unflushed_intents_as_a_version_jumps() {
    let mut bench = Bench::new();
    let roster = bench.core.rosters.get_mut(&user(1)).expect("here");
    roster.entries[0].header.version = Version::new(1 + UNFLUSHED_MAX - 1);
    let last = 1 + UNFLUSHED_MAX;
    assert_eq!(bench.gold(5, ANY, 1), format!("applied v{last} last 5 durable 1"));
    assert!(last < 1 + VERSION_JUMP, "a jump passes it");
    assert_eq!(bench.gold(6, ANY, 1), "overloaded");
}
