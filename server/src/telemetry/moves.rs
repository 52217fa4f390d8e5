//! Metrics of the shards of a node, as they come and go.

use std::sync::LazyLock;
use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

struct Handles {
    owned: Gauge,
    done: Counter,
    called_off: Counter,
    pause: Histogram,
}

/// Made before the first move: Prometheus sees an increase only in what it has seen at zero.
static HANDLES: LazyLock<Handles> = LazyLock::new(|| {
    let moves = |outcome: &'static str| counter!("castellan_shard_moves_total", "outcome" => outcome);
    Handles {
        owned: gauge!("castellan_shards_owned"),
        done: moves("done"),
        called_off: moves("called_off"),
        pause: histogram!("castellan_shard_move_seconds"),
    }
});

/// How a planned move ended at the owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Move {
    /// The shard has another owner.
    Done,
    /// It stayed.
    CalledOff,
}

/// A planned move has ended; `pause`: how long nobody was served here.
pub fn shard_moved(outcome: Move, pause: Option<Duration>) {
    let moves = match outcome {
        Move::Done => &HANDLES.done,
        Move::CalledOff => &HANDLES.called_off,
    };
    moves.increment(1);
    if let Some(pause) = pause {
        HANDLES.pause.record(pause.as_secs_f64());
    }
}

/// How many shards this process owns.
pub fn shards_owned(shards: usize) {
    HANDLES.owned.set(shards as f64);
}

/// A shard came with copies of users' characters.
pub fn copies(installed: usize, unused: usize) {
    counter!("castellan_copies_total", "outcome" => "installed").increment(installed as u64);
    counter!("castellan_copies_total", "outcome" => "unused").increment(unused as u64);
}
