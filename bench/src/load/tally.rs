//! What came of a round.

use std::time::Duration;

use hdrhistogram::Histogram;

/// Longest latency that is told apart, in nanoseconds: a minute.
const LATENCY_MAX_NS: u64 = 60_000_000_000;

/// What came of a round, over its measured time.
#[derive(Debug, Clone)]
pub struct Tally {
    /// Intents that were sent, all of which were answered `applied`.
    pub answers: u64,
    /// Answers that a crowd got beside these.
    pub crowd_answers: u64,
    /// From when an intent was due to its answer, in nanoseconds.
    pub latency: Histogram<u64>,
    /// How late the load itself was to send what was due, in nanoseconds; nothing where nothing is due by the clock.
    pub lateness: Histogram<u64>,
    /// `durable` frames that came beside the answers.
    pub notices: u64,
    /// Bytes of all answers, without the frames' headers.
    pub answer_bytes: u64,
    /// How long was measured.
    pub time: Duration,
    /// Processor time that the load took for it.
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

    /// Answers a second.
    pub fn rate(&self) -> f64 {
        self.answers as f64 / self.time.as_secs_f64()
    }

    /// Bytes of an answer, on average, without its header.
    pub fn bytes_an_answer(&self) -> f64 {
        self.answer_bytes as f64 / self.answers.max(1) as f64
    }
}

/// A histogram of times in nanoseconds, exact to a thousandth.
pub fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_MAX_NS, 3).expect("bounds that a histogram can have")
}
