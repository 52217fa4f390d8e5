//! The flusher over a line of characters and a database that is slow.

use std::collections::BTreeMap;

use castellan_protocol::{CharacterId, UserId, Version};
use futures_util::FutureExt;
use parking_lot::Mutex;
use rand::SeedableRng;
use uuid::Uuid;

use super::*;
use crate::flush::Written;
use crate::storage::faulty::{Faults, FaultyStorage, MemoryStorage};
use crate::storage::{CharacterRow, Lease};

const BATCH_ROWS: usize = 10;

/// Characters that wait, by number, and those that are being written.
struct Line {
    lease: Lease,
    waiting: Mutex<BTreeMap<u128, CharacterRow>>,
    in_flight: Mutex<BTreeMap<u128, CharacterRow>>,
}

impl Line {
    fn new(lease: Lease, characters: u128) -> Arc<Self> {
        let waiting = (1..=characters).map(|number| (number, row(lease, number))).collect();
        Arc::new(Self { lease, waiting: Mutex::new(waiting), in_flight: Mutex::default() })
    }
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
    fn collect(&self, rows_max: usize) -> Batch {
        let (mut waiting, mut in_flight) = (self.waiting.lock(), self.in_flight.lock());
        let mut rows = Vec::new();
        while rows.len() < rows_max
            && let Some((number, row)) = waiting.pop_first()
        {
            rows.push(row.clone());
            in_flight.insert(number, row);
        }
        Batch { leases: vec![self.lease], rows }
    }

    fn dirty(&self) -> usize {
        self.waiting.lock().len() + self.in_flight.lock().len()
    }

    fn saved(&self, written: &[Written]) {
        for row in written {
            assert_eq!(row.version, Version::new(1));
            assert!(self.in_flight.lock().remove(&row.character.uuid().as_u128()).is_some(), "was on its way");
        }
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
    let lease = memory.take_over("test").await.expect("nobody else has it")[0];
    let storage = Arc::new(FaultyStorage::new(Arc::new(memory), 1, Faults { delay_max, ..Faults::default() }));
    let line = Line::new(lease, characters);
    let settings = Settings {
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
async fn gathers_until_as_many_wait_as_the_last_time_or_the_time_is_over() {
    let (_, _, mut flusher) = flusher(0, Duration::ZERO).await;
    let signals = Arc::clone(&flusher.signals);
    let gather = flusher.settings.gather;
    for (waits, expected) in [(1, Duration::ZERO), (3, Duration::ZERO), (2, gather), (3, Duration::ZERO), (1, gather)] {
        (0..waits).for_each(|_| signals.waiting());
        let began = Instant::now();
        flusher.gather().await;
        assert_eq!(began.elapsed(), expected, "{waits} wait");
        flusher.flush().await.expect("nothing to write");
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
