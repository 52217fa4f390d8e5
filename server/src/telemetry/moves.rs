//! Metrics of the shards of a node, as they come and go.

use std::time::Duration;

use metrics::{counter, gauge, histogram};

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
    let outcome = match outcome {
        Move::Done => "done",
        Move::CalledOff => "called_off",
    };
    counter!("castellan_shard_moves_total", "outcome" => outcome).increment(1);
    if let Some(pause) = pause {
        histogram!("castellan_shard_move_seconds").record(pause.as_secs_f64());
    }
}

/// How many shards this process owns.
pub fn shards_owned(shards: usize) {
    gauge!("castellan_shards_owned").set(shards as f64);
}
