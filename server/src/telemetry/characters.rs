//! Metrics of the shards, the flusher and the sockets.
//!
//! Handles are created once, so that an intent pays for an addition and not for a look-up by name.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use castellan_protocol::RejectionCode;
use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

/// The outcome of an intent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IntentOutcome {
    /// Applied now.
    Applied,
    /// Applied before.
    Duplicate,
    /// Based on an older version.
    Conflict,
    /// Refused.
    Rejected(RejectionCode),
}

impl IntentOutcome {
    /// As labels and spans name it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Duplicate => "duplicate",
            Self::Conflict => "conflict",
            Self::Rejected(_) => "rejected",
        }
    }
}

/// A counter that this process reads itself. The metrics get its value when they are read.
struct Tally {
    value: Arc<AtomicU64>,
    counter: Counter,
}

impl Tally {
    fn new(counter: Counter) -> Self {
        Self { value: Arc::default(), counter }
    }

    fn increment(&self) {
        self.value.fetch_add(1, Ordering::Relaxed);
    }

    fn value(&self) -> u64 {
        self.value.load(Ordering::Relaxed)
    }
}

struct Handles {
    applied: Tally,
    duplicate: Tally,
    conflict: Tally,
    rejected: Tally,
    hits: Counter,
    misses: Counter,
    evictions: Counter,
    occupied: Gauge,
    dirty: Gauge,
    load_seconds: Histogram,
    flush_seconds: Histogram,
    flush_rows: Counter,
    row_bytes: Histogram,
    flush_failures: Counter,
    flush_transactions: Counter,
    persistence_seconds: Histogram,
    dead_letters: Gauge,
    reloaded: Counter,
    shards_lost: Counter,
    characters_dropped: Counter,
    sockets_open: Gauge,
    answer_seconds: Histogram,
}

static HANDLES: LazyLock<Handles> = LazyLock::new(|| {
    let intents = |outcome: &'static str| Tally::new(counter!("castellan_intents_total", "outcome" => outcome));
    let lookups = |result: &'static str| counter!("castellan_cache_lookups_total", "result" => result);
    Handles {
        applied: intents("applied"),
        duplicate: intents("duplicate"),
        conflict: intents("conflict"),
        rejected: intents("rejected"),
        hits: lookups("hit"),
        misses: lookups("miss"),
        evictions: counter!("castellan_cache_evictions_total"),
        occupied: gauge!("castellan_cache_places"),
        dirty: gauge!("castellan_flush_backlog_characters"),
        load_seconds: histogram!("castellan_load_seconds"),
        flush_seconds: histogram!("castellan_database_write_seconds"),
        flush_rows: counter!("castellan_flush_rows_total"),
        row_bytes: histogram!("castellan_row_bytes"),
        flush_failures: counter!("castellan_database_write_failures_total"),
        flush_transactions: counter!("castellan_database_writes_total"),
        persistence_seconds: histogram!("castellan_persistence_seconds"),
        dead_letters: gauge!("castellan_dead_letters"),
        reloaded: counter!("castellan_characters_reloaded_total"),
        shards_lost: counter!("castellan_shards_lost_total"),
        characters_dropped: counter!("castellan_characters_dropped_total"),
        sockets_open: gauge!("castellan_sockets_open"),
        answer_seconds: histogram!("castellan_socket_answer_seconds"),
    }
});

/// An intent over the socket was answered.
pub fn intent(outcome: IntentOutcome) {
    match outcome {
        IntentOutcome::Applied => HANDLES.applied.increment(),
        IntentOutcome::Duplicate => HANDLES.duplicate.increment(),
        IntentOutcome::Conflict => HANDLES.conflict.increment(),
        IntentOutcome::Rejected(code) => {
            HANDLES.rejected.increment();
            counter!("castellan_rejections_total", "code" => code.as_str().to_owned()).increment(1);
        }
    }
}

/// The number of intents that were answered so far.
pub fn intents() -> u64 {
    tallies().map(Tally::value).sum()
}

/// Brings the metrics up to date.
pub(super) fn publish() {
    tallies().for_each(|tally| tally.counter.absolute(tally.value()));
}

fn tallies() -> impl Iterator<Item = &'static Tally> {
    [&HANDLES.applied, &HANDLES.duplicate, &HANDLES.conflict, &HANDLES.rejected].into_iter()
}

/// All answers to one read were sent, this long after the read.
pub fn answered(elapsed: Duration) {
    HANDLES.answer_seconds.record(elapsed);
}

/// A command found its user's characters in memory (`hit`) or did not.
pub fn cache_lookup(hit: bool) {
    if hit { HANDLES.hits.increment(1) } else { HANDLES.misses.increment(1) }
}

/// Characters were evicted to make room.
pub fn evicted(places: usize) {
    HANDLES.evictions.increment(places as u64);
}

/// A user's characters were loaded from the database.
pub fn loaded(elapsed: Duration) {
    HANDLES.load_seconds.record(elapsed);
}

/// A transaction of the flusher ended.
pub fn flushed(rows: usize, elapsed: Duration, written: bool) {
    HANDLES.flush_seconds.record(elapsed);
    HANDLES.flush_transactions.increment(1);
    if written {
        HANDLES.flush_rows.increment(rows as u64);
    } else {
        HANDLES.flush_failures.increment(1);
    }
}

/// A character's row with a state of so many bytes was committed.
pub fn row_written(bytes: usize) {
    HANDLES.row_bytes.record(bytes as f64);
}

/// A change was committed this many milliseconds after it was applied.
pub fn persisted(waited_ms: u64) {
    HANDLES.persistence_seconds.record(Duration::from_millis(waited_ms));
}

/// Dead letters that wait for an operator.
pub fn dead_letters(count: usize) {
    HANDLES.dead_letters.set(count as f64);
}

/// A character's versions contradicted each other.
pub fn taken_out_of_play() {
    HANDLES.reloaded.increment(1);
}

/// Another server has taken over a shard of ours, and with it this many characters' unsaved changes were dropped.
pub fn shard_lost(dropped: usize) {
    HANDLES.shards_lost.increment(1);
    HANDLES.characters_dropped.increment(dropped as u64);
}

/// A socket was welcomed.
pub fn socket_opened() {
    HANDLES.sockets_open.increment(1);
}

/// Another process goes on with a socket.
pub fn socket_moved_on() {
    HANDLES.sockets_open.decrement(1);
}

/// A socket ended, with this close code.
pub fn socket_closed(code: u16) {
    HANDLES.sockets_open.decrement(1);
    counter!("castellan_socket_closes_total", "code" => code.to_string()).increment(1);
}

/// Places in use and dirty characters right now.
pub fn observe(places: usize, dirty: usize) {
    HANDLES.occupied.set(places as f64);
    HANDLES.dirty.set(dirty as f64);
}
