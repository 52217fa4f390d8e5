//! The run over time, in stretches.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::scrape::ServerMoment;
use super::tally::Tally;

/// Most stretches in a series: about the width of a chart in points.
const MOMENTS_MAX: u64 = 1_200;

/// Percentiles in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub(super) struct Percentiles {
    pub(super) count: u64,
    pub(super) p50_ms: f64,
    pub(super) p90_ms: f64,
    pub(super) p99_ms: f64,
    pub(super) p99_9_ms: f64,
    pub(super) max_ms: f64,
}

impl Percentiles {
    /// The percentiles of a histogram in microseconds.
    pub(super) fn of(histogram: &Histogram<u64>) -> Self {
        let ms = |us: u64| us as f64 / 1000.0;
        let at = |quantile| ms(histogram.value_at_quantile(quantile));
        Self {
            count: histogram.len(),
            p50_ms: at(0.5),
            p90_ms: at(0.9),
            p99_ms: at(0.99),
            p99_9_ms: at(0.999),
            max_ms: ms(histogram.max()),
        }
    }

    /// One line for people.
    pub(super) fn line(&self) -> String {
        let Self { p50_ms, p90_ms, p99_ms, p99_9_ms, max_ms, .. } = self;
        format!("p50 {p50_ms:.2}  p90 {p90_ms:.2}  p99 {p99_ms:.2}  p99.9 {p99_9_ms:.2}  max {max_ms:.2}")
    }
}

/// One stretch of the run.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Moment {
    /// Its end, counted from the start of the load.
    pub(super) at_seconds: f64,
    pub(super) length_seconds: f64,
    /// Intents due.
    pub(super) due: u64,
    /// Answered intents, by outcome.
    pub(super) applied: u64,
    pub(super) conflicts: u64,
    pub(super) rejected: u64,
    pub(super) errors: u64,
    pub(super) reconnects: u64,
    /// States pushed to watchers.
    pub(super) pushed: u64,
    /// Open sockets at its end.
    pub(super) sockets: u64,
    pub(super) latency: Percentiles,
    pub(super) latency_ack_durable: Percentiles,
    pub(super) lateness: Percentiles,
    pub(super) generator_cores: Option<f64>,
    /// The server's metrics; `None` if they were not read.
    pub(super) server: Option<ServerMoment>,
}

impl Moment {
    /// Answered intents per second.
    pub(super) fn answered_per_second(&self) -> f64 {
        (self.applied + self.conflicts + self.rejected) as f64 / self.length_seconds
    }
}

/// Data of a stretch other than the players' counts.
#[derive(Debug, Clone, Default)]
pub(super) struct Beside {
    /// Its end and its length.
    pub(super) at: Duration,
    pub(super) length: Duration,
    pub(super) due: u64,
    pub(super) sockets: u64,
    pub(super) generator_cores: Option<f64>,
    pub(super) server: Option<ServerMoment>,
}

/// Builds a stretch from its counts.
pub(super) fn moment(tally: &Tally, beside: Beside) -> Moment {
    Moment {
        at_seconds: beside.at.as_secs_f64(),
        length_seconds: beside.length.as_secs_f64().max(0.001),
        due: beside.due,
        applied: tally.applied,
        conflicts: tally.refused,
        rejected: tally.rejections() + tally.failed.values().sum::<u64>(),
        errors: tally.errors(),
        reconnects: tally.reconnects,
        pushed: tally.pushed,
        sockets: beside.sockets,
        latency: Percentiles::of(&tally.latency),
        latency_ack_durable: Percentiles::of(&tally.latency_durable),
        lateness: Percentiles::of(&tally.lateness),
        generator_cores: beside.generator_cores,
        server: beside.server,
    }
}

/// Collects one-second ticks into stretches.
pub(super) struct Series {
    ticks_per_moment: u64,
    ticks: u64,
    tally: Tally,
    beside: Beside,
    moments: Vec<Moment>,
}

impl Series {
    /// A series for a run of about this length.
    pub(super) fn new(duration: Duration) -> Self {
        let ticks_per_moment = duration.as_secs().div_ceil(MOMENTS_MAX).max(1);
        Self { ticks_per_moment, ticks: 0, tally: Tally::default(), beside: Beside::default(), moments: Vec::new() }
    }

    /// Adds a tick: its counts and its other data.
    pub(super) fn tick(&mut self, tally: &Tally, tick: Beside) {
        self.tally.add(tally);
        self.ticks += 1;
        let cores = |beside: &Beside| beside.generator_cores.map(|cores| cores * beside.length.as_secs_f64());
        let core_seconds = cores(&self.beside).unwrap_or(0.0) + cores(&tick).unwrap_or(0.0);
        let length = self.beside.length + tick.length;
        self.beside = Beside {
            at: tick.at,
            length,
            due: self.beside.due + tick.due,
            sockets: tick.sockets,
            generator_cores: tick.generator_cores.map(|_| core_seconds / length.as_secs_f64().max(0.001)),
            // A reading covers the previous second; the last one represents the stretch.
            server: tick.server.or(self.beside.server.take()),
        };
        if self.ticks == self.ticks_per_moment {
            self.close();
        }
    }

    fn close(&mut self) {
        self.ticks = 0;
        let (tally, beside) = (std::mem::take(&mut self.tally), std::mem::take(&mut self.beside));
        self.moments.push(moment(&tally, beside));
    }

    /// All stretches.
    pub(super) fn finish(mut self) -> Vec<Moment> {
        if self.ticks > 0 {
            self.close();
        }
        self.moments
    }
}

/// A bar of a latency distribution.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Bar {
    pub(super) from_ms: f64,
    pub(super) to_ms: f64,
    pub(super) count: u64,
}

/// The distribution of latencies, in bars of a tenth of a decade, without empty bars at both ends.
pub(super) fn distribution(histogram: &Histogram<u64>) -> Vec<Bar> {
    let bound = |index: i32| 10_f64.powf(f64::from(index) / 10.0);
    let index = |us: u64| ((us.max(1) as f64).log10() * 10.0).floor() as i32;
    if histogram.is_empty() {
        return Vec::new();
    }
    let (first, last) = (index(histogram.min()), index(histogram.max()));
    let bar = |index| Bar { from_ms: bound(index) / 1000.0, to_ms: bound(index + 1) / 1000.0, count: 0 };
    let mut bars: Vec<_> = (first..=last).map(bar).collect();
    for value in histogram.iter_recorded() {
        let index = (index(value.value_iterated_to()) - first).clamp(0, last - first);
        bars[index as usize].count += value.count_since_last_iteration();
    }
    bars
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(series: &mut Series, second: u64, applied: u64, latency_us: u64) {
        let mut tally = Tally { applied, ..Tally::default() };
        for _ in 0..applied {
            tally.latency.saturating_record(latency_us);
        }
        let length = Duration::from_secs(1);
        let generator_cores = Some(second as f64);
        series
            .tick(&tally, Beside { at: length * second as u32, length, due: 10, generator_cores, ..Beside::default() });
    }

    #[test]
    fn short_runs_have_stretches_of_a_second_and_long_ones_longer_stretches() {
        for (seconds, ticks_per_moment) in [(1, 1), (1_200, 1), (1_201, 2), (86_400, 72)] {
            assert_eq!(Series::new(Duration::from_secs(seconds)).ticks_per_moment, ticks_per_moment, "{seconds} s");
        }
        let mut series = Series::new(Duration::from_secs(2_400));
        for (number, applied, latency_us) in [(1, 99, 1_000), (2, 1, 50_000), (3, 5, 1_000)] {
            second(&mut series, number, applied, latency_us);
        }
        let moments = series.finish();
        assert_eq!(moments.len(), 2);
        assert_eq!((moments[0].applied, moments[0].due, moments[0].at_seconds), (100, 20, 2.0));
        assert_eq!(moments[0].answered_per_second(), 50.0);
        assert_eq!(moments[0].generator_cores, Some(1.5));
        assert!((moments[0].latency.p99_ms - 1.0).abs() < 0.01, "percentiles of all values, not of percentiles");
        assert!((moments[0].latency.max_ms - 50.0).abs() < 0.1);
        assert_eq!((moments[1].applied, moments[1].length_seconds), (5, 1.0));
    }

    #[test]
    fn every_answer_is_in_one_bar() {
        let mut tally = Tally::default();
        for latency_us in [0, 90, 100, 101, 1_000, 1_200, 40_000] {
            tally.latency.saturating_record(latency_us);
        }
        let bars = distribution(&tally.latency);
        assert_eq!(bars.iter().map(|bar| bar.count).sum::<u64>(), 7);
        assert!(bars.windows(2).all(|pair| pair[0].to_ms == pair[1].from_ms));
        assert!(bars[0].count == 1 && bars[bars.len() - 1].count == 1);
        assert_eq!(distribution(&Tally::default().latency), Vec::new());
    }
}
