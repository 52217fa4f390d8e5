//! The flusher over a line of characters and a database that is slow.

use std::collections::{BTreeMap, BTreeSet};

use castellan_protocol::{CharacterId, UserId, Version};
use futures_util::FutureExt;
use parking_lot::Mutex;
use rand::SeedableRng;
use tokio::sync::Notify;
use uuid::Uuid;

use super::*;
use crate::flush::Written;
use crate::storage::faulty::{Faults, FaultyStorage, MemoryStorage};
use crate::storage::{CharacterRow, Lease};

const BATCH_ROWS: usize = 10;

/// Characters that wait, by number, those that are being written, and those that are.
struct Line {
    leases: Vec<Lease>,
    next_shard: Mutex<[u16; 2]>,
    waiting: Mutex<BTreeMap<u128, CharacterRow>>,
    hurried: Mutex<BTreeSet<u128>>,
    in_flight: Mutex<BTreeMap<u128, CharacterRow>>,
    /// Transaction by transaction.
    saved: Mutex<Vec<Vec<(u128, Instant)>>>,
    commits: Notify,
}

impl Line {
    fn new(leases: Vec<Lease>, characters: u128) -> Arc<Self> {
        let line = Self {
            leases,
            next_shard: Mutex::default(),
            waiting: Mutex::default(),
            hurried: Mutex::default(),
            in_flight: Mutex::default(),
            saved: Mutex::default(),
            commits: Notify::new(),
        };
        (1..=characters).for_each(|number| line.change(number));
        Arc::new(line)
    }

    fn change(&self, number: u128) {
        self.waiting.lock().insert(number, row(self.lease(number), number));
    }

    /// Waits until nothing is dirty.
    async fn settled(&self) {
        while self.dirty() > 0 {
            self.commits.notified().await;
        }
    }

    fn lease(&self, number: u128) -> Lease {
        self.leases[usize::from(shard(number))]
    }
}

fn shard(number: u128) -> u16 {
    u16::try_from(number % u128::from(SHARDS)).expect("below the number of shards")
}

fn row(lease: Lease, number: u128) -> CharacterRow {
    CharacterRow {
        id: CharacterId::from_uuid(Uuid::from_u128(number)),
        user: UserId::from_uuid(Uuid::from_u128(number)),
        shard: lease.shard,
        name: "Brannor".to_owned(),
        version: 1,
        recoveries: 0,
        schema_version: 1,
        state: "{}".to_owned(),
        request_ids: Vec::new(),
        created_at_ms: 0,
        updated_at_ms: 0,
        deleted_at_ms: None,
    }
}

impl Entries for Line {
    fn collect(&self, queue: Queue, rows_max: usize) -> (Batch, usize) {
        let (mut waiting, mut in_flight) = (self.waiting.lock(), self.in_flight.lock());
        let mut hurried = self.hurried.lock();
        let next = &mut self.next_shard.lock()[usize::from(queue == Queue::Hurried)];
        let mut batch = Batch::default();
        let mut passed = 0;
        while passed < usize::from(SHARDS) {
            let wanted = |number: &u128| queue == Queue::Dirty || hurried.contains(number);
            let found: Vec<_> =
                waiting.keys().copied().filter(|&number| shard(number) == *next).filter(wanted).collect();
            if !batch.rows.is_empty() && batch.rows.len() + found.len() > rows_max {
                break;
            }
            batch.leases.extend(found.first().map(|&number| self.lease(number)));
            for number in found {
                let row = waiting.remove(&number).expect("was found just now");
                hurried.remove(&number);
                batch.rows.push(row.clone());
                in_flight.insert(number, row);
            }
            *next = (*next + 1) % SHARDS;
            passed += 1;
        }
        (batch, passed)
    }

    fn dirty(&self) -> usize {
        self.waiting.lock().len() + self.in_flight.lock().len()
    }

    fn saved(&self, written: &[Written]) {
        let saved = |row: &Written| {
            assert_eq!(row.version, Version::new(1));
            let number = row.character.uuid().as_u128();
            assert!(self.in_flight.lock().remove(&number).is_some(), "was on its way");
            (number, Instant::now())
        };
        self.saved.lock().push(written.iter().map(saved).collect());
        self.commits.notify_one();
    }

    fn put_back(&self, written: &[Written]) {
        for row in written {
            let number = row.character.uuid().as_u128();
            let row = self.in_flight.lock().remove(&number).expect("was on its way");
            self.waiting.lock().insert(number, row);
        }
    }

    fn buried(&self, _: Written) {
        unreachable!("nothing is refused here")
    }

    fn fenced(&self, _: Lease) {
        unreachable!("nobody else is here")
    }
}

/// A flusher over so many characters, and a database that takes up to `delay_max` for a call.
async fn flusher(characters: u128, delay_max: Duration) -> (Arc<Line>, Arc<FaultyStorage>, Flusher<Line>) {
    let memory = MemoryStorage::new();
    let leases = memory.take_over("test").await.expect("nobody else has them");
    let storage = Arc::new(FaultyStorage::new(Arc::new(memory), 1, Faults { delay_max, ..Faults::default() }));
    let line = Line::new(leases, characters);
    let settings = FlushSettings {
        interval: Duration::from_secs(1),
        batch_rows: BATCH_ROWS,
        gather: Duration::from_millis(2),
        backoff_min: Duration::from_millis(50),
        backoff_max: Duration::from_secs(5),
    };
    let rng = StdRng::seed_from_u64(1);
    let (signals, clock) = (Arc::new(Signals::default()), Arc::new(|| 0));
    let flusher = Flusher::new(Arc::clone(&line), Arc::clone(&storage) as _, signals, settings, clock, rng);
    (line, storage, flusher)
}

#[tokio::test(start_paused = true)]
async fn a_stop_waits_for_what_is_under_way() {
    let (line, _, flusher) = flusher(5, Duration::from_secs(9)).await;
    let (stop, stopped) = watch::channel(false);
    let running = tokio::spawn(flusher.run(stopped));
    while line.in_flight.lock().is_empty() {
        tokio::task::yield_now().await;
    }
    stop.send_replace(true);
    let mut flusher = running.await.expect("ends");
    assert_eq!((line.dirty(), flusher.drain(Instant::now()).await), (0, true));
}

#[tokio::test(start_paused = true)]
async fn a_drain_that_is_cut_off_leaves_nothing_behind_in_a_call() {
    let (line, storage, mut flusher) = flusher(25, Duration::from_secs(3_600)).await;
    assert!(!flusher.drain(Instant::now() + Duration::from_secs(1)).await);
    assert_eq!((line.waiting.lock().len(), line.in_flight.lock().len()), (25, 0), "all of it is there for the spool");

    storage.set_faults(Faults::default());
    storage.set_away(true);
    let drained = flusher.drain(Instant::now() + Duration::from_secs(1)).await;
    assert_eq!((drained, line.waiting.lock().len()), (false, 25));
    storage.set_away(false);
    assert!(flusher.drain(Instant::now() + Duration::from_secs(1)).await);
    assert_eq!(line.dirty(), 0);
    assert_eq!(flusher.drain(Instant::now()).now_or_never(), Some(true), "there is nothing to wait for");
}

#[tokio::test(start_paused = true)]
async fn a_sweep_writes_what_is_dirty_evenly_over_its_time() {
    let (line, _, mut flusher) = flusher(2_560, Duration::ZERO).await;
    flusher.settings.batch_rows = 250;
    let began = Instant::now();
    let (stop, stopped) = watch::channel(false);
    let running = tokio::spawn(flusher.run(stopped));
    line.settled().await;
    stop.send_replace(true);
    running.await.expect("ends");
    let sweep = Duration::from_secs(1);
    for (index, (_, at)) in line.saved.lock().iter().flatten().enumerate() {
        let due = sweep.mul_f64(index as f64 / 2_560.0);
        let early = due.saturating_sub(at.duration_since(began));
        let late = at.duration_since(began).saturating_sub(due);
        assert!(early < sweep / 16 && late < sweep / 16, "{index}: {early:?} early, {late:?} late");
    }
}

#[tokio::test(start_paused = true)]
async fn whatever_becomes_dirty_is_written_within_two_sweeps() {
    let (line, _, mut flusher) = flusher(0, Duration::ZERO).await;
    flusher.settings.batch_rows = 250;
    let (stop, stopped) = watch::channel(false);
    let running = tokio::spawn(flusher.run(stopped));
    let mut since = BTreeMap::new();
    let interval = Duration::from_secs(1);
    // Few at first, for which a sweep is one step; then many, for more than a sweep; then few again.
    let counts = [1, 1, 3_000, 300, 300, 300, 300, 300, 300, 300, 300, 300, 3, 700, 1];
    for (step, count) in counts.into_iter().enumerate() {
        for index in 0..count {
            let number = (step as u128 + 1) * 1_000_000 + index;
            line.change(number);
            since.insert(number, Instant::now());
        }
        tokio::time::sleep(Duration::from_millis(130)).await;
    }
    line.settled().await;
    stop.send_replace(true);
    running.await.expect("ends");
    let saved = line.saved.lock();
    assert_eq!(saved.iter().flatten().count(), since.len());
    for (number, at) in saved.iter().flatten() {
        let waited = at.duration_since(since[number]);
        assert!(waited <= 2 * interval, "{number} waited {waited:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_somebody_waits_for_is_written_at_once_and_first() {
    let (line, _, flusher) = flusher(2_560, Duration::ZERO).await;
    let signals = Arc::clone(&flusher.signals);
    let (stop, stopped) = watch::channel(false);
    let running = tokio::spawn(flusher.run(stopped));
    while line.saved.lock().is_empty() {
        tokio::task::yield_now().await;
    }
    let began = Instant::now();
    let hurried = BTreeSet::from([2_559, 2_304]);
    *line.hurried.lock() = hurried.clone();
    hurried.iter().for_each(|_| signals.waiting());
    let is_saved = |number| line.saved.lock().iter().flatten().any(|(saved, _)| *saved == number);
    while !hurried.iter().all(|&number| is_saved(number)) {
        tokio::task::yield_now().await;
    }
    assert_eq!(began.elapsed(), Duration::ZERO);
    assert!(line.dirty() > 2_500, "the others have time");
    stop.send_replace(true);
    running.await.expect("ends");
}

#[tokio::test(start_paused = true)]
async fn more_rows_of_a_shard_than_a_transaction_may_have_are_several() {
    let (line, _, mut flusher) = flusher(0, Duration::ZERO).await;
    for index in 0..25 {
        line.change(1 + index * u128::from(SHARDS));
    }
    let (batch, passed) = line.collect(Queue::Dirty, BATCH_ROWS);
    assert_eq!((batch.rows.len(), passed), (25, 2), "a shard is not cut");
    line.put_back(&batch.written(|_| true));
    assert!(flusher.drain(Instant::now() + Duration::from_secs(1)).await);
    let mut rows: Vec<_> = line.saved.lock().iter().map(Vec::len).collect();
    rows.sort_unstable();
    assert_eq!(rows, [6, 6, 6, 7]);
}

#[tokio::test(start_paused = true)]
async fn the_transactions_of_a_crowded_shard_take_place_at_the_same_time() {
    let (line, storage, mut flusher) = flusher(0, Duration::from_secs(1)).await;
    let crowd = |from: u128| (from..from + 25).for_each(|index| line.change(1 + index * u128::from(SHARDS)));
    crowd(0);
    let began = Instant::now();
    assert!(flusher.drain(began + Duration::from_secs(10)).await);
    let ended: BTreeSet<Instant> = line.saved.lock().iter().flatten().map(|(_, at)| *at).collect();
    assert_eq!(ended, BTreeSet::from([Instant::now()]), "the slowest of four has ended");
    assert!(began.elapsed() > Duration::ZERO, "the database takes its time");
    assert_eq!(storage.calls(), 4);

    // Some of the four fail: what they have is written once more, and the rest is not.
    storage.set_faults(Faults { refused_per_mille: 400, ..Faults::default() });
    for from in (25..525).step_by(25) {
        crowd(from);
        assert!(flusher.drain(Instant::now() + Duration::from_secs(600)).await);
    }
    let numbers: Vec<u128> = line.saved.lock().iter().flatten().map(|(number, _)| *number).collect();
    assert_eq!(numbers.iter().collect::<BTreeSet<_>>().len(), 525, "all of them");
    assert_eq!(numbers.len(), 525, "each once");
    assert!(storage.calls() > 84, "calls were lost");
}

#[tokio::test(start_paused = true)]
async fn gathers_until_as_many_wait_as_the_last_time_or_the_time_is_over() {
    let (_, _, mut flusher) = flusher(0, Duration::ZERO).await;
    let signals = Arc::clone(&flusher.signals);
    let gather = flusher.settings.gather;
    for (waits, expected) in [(1, Duration::ZERO), (3, Duration::ZERO), (2, gather), (3, Duration::ZERO), (1, gather)] {
        (0..waits).for_each(|_| signals.waiting());
        let began = Instant::now();
        flusher.gather().await;
        assert_eq!(began.elapsed(), expected, "{waits} wait");
        flusher.waited = signals.set_out();
    }

    flusher.waited = 2;
    signals.waiting();
    let began = Instant::now();
    let mut gathering = std::pin::pin!(flusher.gather());
    assert_eq!(gathering.as_mut().now_or_never(), None, "one is missing");
    signals.waiting();
    gathering.await;
    assert_eq!(began.elapsed(), Duration::ZERO, "nobody is");
}
