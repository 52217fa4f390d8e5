//! The counts of a round.

use std::time::Duration;

use hdrhistogram::Histogram;

/// Largest recorded latency, in nanoseconds: a minute.
const LATENCY_MAX_NS: u64 = 60_000_000_000;

/// The counts of a round's measured time.
#[derive(Debug, Clone)]
pub struct Tally {
    /// Answered intents, all `applied`.
    pub answers: u64,
    /// Answers to the crowd, in addition.
    pub crowd_answers: u64,
    /// Time from an intent's due time to its answer, in nanoseconds.
    pub latency: Histogram<u64>,
    /// The load's own lateness, in nanoseconds; empty in closed rounds.
    pub lateness: Histogram<u64>,
    /// `durable` frames, in addition to the answers.
    pub notices: u64,
    /// Bytes of all answers, without the frames' headers.
    pub answer_bytes: u64,
    /// Measured time.
    pub time: Duration,
    /// Processor time of the load.
    pub load_time: Duration,
}

impl Tally {
    pub(super) fn new(time: Duration) -> Self {
        Self {
            answers: 0,
            crowd_answers: 0,
            latency: histogram(),
            lateness: histogram(),
            notices: 0,
            answer_bytes: 0,
            time,
            load_time: Duration::ZERO,
        }
    }

    /// Answers per second.
    pub fn rate(&self) -> f64 {
        self.answers as f64 / self.time.as_secs_f64()
    }

    /// Average bytes of an answer, without its header.
    pub fn bytes_an_answer(&self) -> f64 {
        self.answer_bytes as f64 / self.answers.max(1) as f64
    }
}

/// A histogram of times in nanoseconds, with a precision of a thousandth.
pub fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_MAX_NS, 3).expect("bounds that a histogram can have")
}
