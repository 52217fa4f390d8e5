//! Times in each phase, with their percentiles.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::load::histogram;

/// The percentiles of some times, in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Times {
    /// Number of times.
    pub count: u64,
    /// Median.
    pub p50_ms: f64,
    /// 99th percentile.
    pub p99_ms: f64,
    /// The longest.
    pub max_ms: f64,
    /// Those that failed instead.
    pub failed: u64,
}

/// Collects times.
#[derive(Debug, Clone)]
pub(super) struct Stopwatch {
    times: Histogram<u64>,
    failed: u64,
}

impl Stopwatch {
    pub(super) fn new() -> Self {
        Self { times: histogram(), failed: 0 }
    }

    pub(super) fn record(&mut self, time: Duration) {
        self.times.saturating_record(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX).max(1));
    }

    pub(super) fn fail(&mut self) {
        self.failed += 1;
    }

    pub(super) fn times(&self) -> Times {
        let ms = |quantile| self.times.value_at_quantile(quantile) as f64 / 1e6;
        Times { count: self.times.len(), p50_ms: ms(0.5), p99_ms: ms(0.99), max_ms: ms(1.0), failed: self.failed }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_in_milliseconds_and_failures_are_no_times() {
        let mut watch = Stopwatch::new();
        for ms in 1..=100 {
            watch.record(Duration::from_millis(ms));
        }
        watch.fail();
        let Times { count, p50_ms, p99_ms, max_ms, failed } = watch.times();
        assert_eq!((count, failed), (100, 1));
        for (measured, expected) in [(p50_ms, 50.0), (p99_ms, 99.0), (max_ms, 100.0)] {
            assert!((measured - expected).abs() < 0.2, "{measured} instead of {expected}");
        }
    }
}
