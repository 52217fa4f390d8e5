//! What an intent costs between its bytes and its answer's, in time and allocations: without socket and database.
//!
//! `cargo bench -p castellan --bench shard`

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use castellan::clock::Clock;
use castellan::flush::{Entries, Queue, Signals, Written};
use castellan::shard::{Answered, Base, Capacity, Change, Command, Creation, Mailbox, Shape, Shards};
use castellan::storage::Storage;
use castellan::storage::faulty::MemoryStorage;
use castellan_srd::wire::{
    Ability, Action, CharacterId, ClientFrame, Codec, Intent, ModifyHitpoints, NewCharacter, RequestId, UserId, Version,
};
use castellan_srd::{Catalogue, Srd};
use divan::{AllocProfiler, Bencher, black_box};
use tokio::runtime::Runtime;
use uuid::Uuid;

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

/// Milliseconds since the Unix epoch: any.
const NOW_MS: i64 = 1_800_000_000_000;

/// Users of the benches with many characters.
const USERS: usize = 1_000;

fn main() {
    divan::main();
}

/// Shards over a database in memory, with a character for each of so many users.
struct World {
    runtime: Runtime,
    shards: Arc<Shards<Srd>>,
    /// Intents until the same character's turn comes again.
    round: u64,
    next_id: AtomicU64,
}

impl World {
    fn new(users: usize) -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let storage: Arc<dyn Storage> = Arc::new(MemoryStorage::new());
        let leases = runtime.block_on(storage.take_over("bench")).expect("nobody else has them");
        let capacity = Capacity {
            characters_max: 10 * users,
            dirty_max: 10 * users,
            deals_per_minute: 100,
            load_timeout: Duration::from_secs(2),
        };
        let (catalogue, secret) = (Arc::new(Catalogue::embedded()), Arc::from([7; 32]));
        let clock: Clock = Arc::new(|| NOW_MS);
        let (signals, handle) = (Arc::new(Signals::default()), runtime.handle().clone());
        let shards = Shards::new(storage, &catalogue, &secret, capacity, signals, handle, clock);
        shards.take(&leases);
        let world = Self { runtime, shards: Arc::new(shards), round: users as u64, next_id: AtomicU64::new(1) };
        for number in 0..users {
            let wanted = wanted();
            let creation =
                Creation { owner: user(number), character: character(number), id: None, wanted: &wanted, wait: None };
            let mut body = Vec::new();
            let made = world.shards.create(&creation, &mut body);
            assert!(matches!(world.runtime.block_on(made), Answered::Applied { .. }), "a character is made");
        }
        world
    }

    /// Applies an intent as a connection does; a hit point is lost in one round, regained in the next.
    fn apply(&self, number: usize, mailbox: &Mailbox, out: &mut Vec<u8>) {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let delta = if (id / self.round).is_multiple_of(2) { -1 } else { 1 };
        let action = Action::ModifyHitpoints(ModifyHitpoints { delta, critical: false });
        let command = Command {
            owner: user(number),
            character: character(number),
            id: RequestId::new(id),
            base: Base { after: None, expect: Some(Version::new(0)) },
            change: Change::Action(&action),
            permitted: true,
            is_limited: false,
        };
        out.clear();
        let change = self.shards.change(&command, Some(mailbox), Shape::Frame(Codec::MessagePack), NOW_MS, out);
        // All is in memory, so there is nothing to wait for.
        let outcome = futures_util::FutureExt::now_or_never(change).expect("no load");
        assert!(matches!(outcome, Answered::Applied { duplicate: false, .. }), "{outcome:?}");
    }
}

fn user(number: usize) -> UserId {
    UserId::from_uuid(Uuid::from_u128(number as u128 + 1))
}

fn character(number: usize) -> CharacterId {
    CharacterId::from_uuid(Uuid::from_u128(number as u128 + 1))
}

fn wanted() -> NewCharacter {
    let scores = [16, 12, 14, 8, 12, 10];
    NewCharacter {
        name: "Brannor".to_owned(),
        race: "dwarf".to_owned(),
        subrace: Some("hill-dwarf".to_owned()),
        class: "fighter".to_owned(),
        abilities: Ability::ALL.iter().copied().zip(scores).collect::<BTreeMap<_, _>>(),
        skills: Some(vec!["athletics".to_owned(), "perception".to_owned()]),
    }
}

/// Lock, look-ups, rule, swap, sheet, answer.
#[divan::bench(args = [1, USERS, 100 * USERS])]
fn apply_and_answer(bencher: Bencher<'_, '_>, users: usize) {
    let world = World::new(users);
    let (mailbox, mut out, mut turn) = (Mailbox::default(), Vec::with_capacity(4_096), 0);
    bencher.bench_local(|| {
        turn = (turn + 7_919) % users;
        world.apply(turn, &mailbox, &mut out);
        black_box(out.len())
    });
}

/// Users of [`few_among_many`] who play.
const PLAYING: usize = 1_000;

/// A thousand characters are played while so many are in memory, each so many places behind the one before.
///
/// Nothing is searched, so the second line is as the first but for the tables that are larger. In the third the played
/// ones lie far apart: what it costs more is memory that no cache holds.
#[divan::bench(args = [(PLAYING, 1), (100 * PLAYING, 1), (100 * PLAYING, 100)])]
fn few_among_many(bencher: Bencher<'_, '_>, (users, apart): (usize, usize)) {
    let world = World { round: PLAYING as u64, ..World::new(users) };
    let (mailbox, mut out, mut turn) = (Mailbox::default(), Vec::with_capacity(4_096), 0);
    let mut play = || {
        turn = (turn + 7_919) % PLAYING;
        world.apply(turn * apart, &mailbox, &mut out);
    };
    // What is allocated once a character is not the cost of an intent.
    (0..PLAYING).for_each(|_| play());
    bencher.bench_local(play);
}

/// The same with the reading of the intent: everything between two sockets.
#[divan::bench]
fn decode_apply_and_answer(bencher: Bencher<'_, '_>) {
    let world = World::new(1);
    let (mailbox, mut out) = (Mailbox::default(), Vec::with_capacity(4_096));
    let intent = Intent {
        id: RequestId::new(1 << 50),
        character: character(0),
        after: Some(RequestId::new((1 << 50) - 1)),
        expect: None,
        action: Action::ModifyHitpoints(ModifyHitpoints { delta: -1, critical: false }),
        ack: None,
        traceparent: None,
        user: None,
    };
    let mut bytes = Vec::new();
    Codec::MessagePack.encode(&ClientFrame::Intent(intent), &mut bytes);
    bencher.bench_local(|| {
        let frame: ClientFrame = Codec::MessagePack.decode_client_frame(black_box(&bytes)).expect("a good frame");
        world.apply(0, &mailbox, &mut out);
        drop(frame);
    });
}

/// Many threads on one shard's lock: the time is of one intent, waiting included.
#[divan::bench(threads = [1, 2, 4])]
fn one_character_from_all_sides(bencher: Bencher<'_, '_>) {
    let world = World::new(1);
    bencher.with_inputs(|| (Mailbox::default(), Vec::with_capacity(4_096))).bench_refs(|(mailbox, out)| {
        world.apply(0, mailbox, out);
    });
}

/// Rows from what is dirty, whole shards up to so many rows: collected under their locks, encoded outside of them.
#[divan::bench(args = [100, USERS])]
fn build_a_batch(bencher: Bencher<'_, '_>, rows: usize) {
    let world = World::new(USERS);
    bencher.bench_local(|| {
        let (batch, _) = world.shards.collect(Queue::Dirty, rows);
        assert!(batch.rows.len() <= rows && batch.rows.len() > rows / 2);
        let written = |row: &castellan::storage::CharacterRow| Written {
            lease: *batch.leases.iter().find(|lease| lease.shard == row.shard).expect("each row's lease is there"),
            user: row.user,
            character: row.id,
            version: Version::new(row.version),
        };
        world.shards.put_back(&batch.rows.iter().map(written).collect::<Vec<_>>());
    });
}
