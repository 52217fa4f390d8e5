//! The server's metrics, read from Prometheus' endpoint.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde::Serialize;

use super::exposition::{Buckets, bucket_quantile, buckets, series};

/// Time between two readings.
const INTERVAL: Duration = Duration::from_secs(1);

/// Time limit for one reading.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Largest answer that is read, in bytes.
const ANSWER_BYTES_MAX: u64 = 1024 * 1024;

/// Window for averaging processor time, which is reported in whole seconds.
const CPU_WINDOW: Duration = Duration::from_secs(10);

/// One reading of the metrics.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sample {
    at: Instant,
    applied: f64,
    conflicts: f64,
    rejected: f64,
    lookups: f64,
    misses: f64,
    rows: f64,
    backlog: Option<f64>,
    sockets: Option<f64>,
    dead_letters: Option<f64>,
    memory_bytes: Option<f64>,
    cpu_seconds: Option<f64>,
    writes: Buckets,
    answers: Buckets,
    persistence: Buckets,
}

impl Sample {
    /// Parses Prometheus' text; `None` if it contains no metric of Castellan.
    pub(super) fn parse(text: &str, at: Instant) -> Option<Self> {
        let lines: Vec<_> = text.lines().filter_map(series).collect();
        let of = |name: &str, label: &str| {
            let values = lines.iter().filter(|(n, labels, _)| *n == name && labels.contains(label));
            values.map(|(_, _, value)| value).copied().reduce(|sum, value| sum + value)
        };
        let total = |name, label| of(name, label).unwrap_or(0.0);
        let buckets = |name| buckets(&lines, name);
        of("castellan_intents_total", "").or(of("castellan_sockets_open", ""))?;
        Some(Self {
            at,
            applied: total("castellan_intents_total", "outcome=\"applied\""),
            conflicts: total("castellan_intents_total", "outcome=\"conflict\""),
            rejected: total("castellan_intents_total", "outcome=\"rejected\""),
            lookups: total("castellan_cache_lookups_total", ""),
            misses: total("castellan_cache_lookups_total", "result=\"miss\""),
            rows: total("castellan_flush_rows_total", ""),
            backlog: of("castellan_flush_backlog_characters", ""),
            sockets: of("castellan_sockets_open", ""),
            dead_letters: of("castellan_dead_letters", ""),
            memory_bytes: of("process_resident_memory_bytes", ""),
            cpu_seconds: of("process_cpu_seconds_total", ""),
            writes: buckets("castellan_database_write_seconds"),
            answers: buckets("castellan_socket_answer_seconds"),
            persistence: buckets("castellan_persistence_seconds"),
        })
    }
}

/// The server's metrics between two readings.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct ServerMoment {
    pub(super) applied_per_second: f64,
    pub(super) conflicts_per_second: f64,
    pub(super) rejected_per_second: f64,
    /// Character rows committed.
    pub(super) rows_per_second: f64,
    /// Share of commands that found their characters in memory; `None` without commands.
    pub(super) cache_hit_share: Option<f64>,
    /// Dirty characters.
    pub(super) backlog_characters: Option<f64>,
    pub(super) sockets_open: Option<f64>,
    pub(super) dead_letters: Option<f64>,
    pub(super) memory_bytes: Option<f64>,
    /// Average over the last ten seconds.
    pub(super) cpu_cores: Option<f64>,
    /// Percentiles of the flusher's transactions, from a histogram's buckets.
    pub(super) write_p50_ms: Option<f64>,
    pub(super) write_p99_ms: Option<f64>,
    /// Time from reading a socket to sending all answers.
    pub(super) answer_p50_ms: Option<f64>,
    pub(super) answer_p99_ms: Option<f64>,
    /// Time from a character's first unwritten change to its commit.
    pub(super) persistence_p99_ms: Option<f64>,
}

impl ServerMoment {
    /// The moment between the reading with index `from` and the last. Readings are sorted, oldest first.
    fn between(samples: &[Sample], from: usize) -> Option<Self> {
        let (before, after) = (samples.get(from)?, samples.last()?);
        let seconds = after.at.saturating_duration_since(before.at).as_secs_f64();
        if seconds <= 0.0 {
            return None;
        }
        let rate = |of: fn(&Sample) -> f64| (of(after) - of(before)).max(0.0) / seconds;
        let lookups = after.lookups - before.lookups;
        let window = samples.iter().find(|sample| after.at.saturating_duration_since(sample.at) <= CPU_WINDOW)?;
        let window_seconds = after.at.saturating_duration_since(window.at).as_secs_f64();
        let cpu = after.cpu_seconds.zip(window.cpu_seconds).map(|(after, before)| after - before);
        let quantile = |of: fn(&Sample) -> &Buckets, quantile| {
            bucket_quantile(of(before), of(after), quantile).map(|seconds| seconds * 1000.0)
        };
        Some(Self {
            applied_per_second: rate(|sample| sample.applied),
            conflicts_per_second: rate(|sample| sample.conflicts),
            rejected_per_second: rate(|sample| sample.rejected),
            rows_per_second: rate(|sample| sample.rows),
            cache_hit_share: (lookups > 0.0).then(|| 1.0 - (after.misses - before.misses) / lookups),
            backlog_characters: after.backlog,
            sockets_open: after.sockets,
            dead_letters: after.dead_letters,
            memory_bytes: after.memory_bytes,
            cpu_cores: cpu.filter(|_| window_seconds >= CPU_WINDOW.as_secs_f64() / 2.0).map(|cpu| cpu / window_seconds),
            write_p50_ms: quantile(|sample| &sample.writes, 0.5),
            write_p99_ms: quantile(|sample| &sample.writes, 0.99),
            answer_p50_ms: quantile(|sample| &sample.answers, 0.5),
            answer_p99_ms: quantile(|sample| &sample.answers, 0.99),
            persistence_p99_ms: quantile(|sample| &sample.persistence, 0.99),
        })
    }
}

/// Reads a server's metrics on a separate thread.
pub(super) struct Scraper {
    samples: Arc<Mutex<Vec<Sample>>>,
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<()>,
    /// Index of the last reported reading.
    told: usize,
}

impl Scraper {
    /// Starts to read from `url`.
    pub(super) fn start(url: String) -> std::io::Result<Self> {
        let samples: Arc<Mutex<Vec<Sample>>> = Arc::default();
        let stop: Arc<AtomicBool> = Arc::default();
        let thread = {
            let (samples, stop) = (Arc::clone(&samples), Arc::clone(&stop));
            std::thread::Builder::new().name("scraper".to_owned()).spawn(move || scrape(&url, &samples, &stop))?
        };
        Ok(Self { samples, stop, thread, told: 0 })
    }

    /// The metrics since the last call; `None` if there is no new reading.
    pub(super) fn moment(&mut self) -> Option<ServerMoment> {
        let mut samples = self.samples.lock();
        let moment = ServerMoment::between(&samples, self.told);
        // Drops readings that are no longer needed: a run may take a day.
        let last = samples.last().map(|sample| sample.at);
        let old = |sample: &Sample| last.is_some_and(|last| last.saturating_duration_since(sample.at) > CPU_WINDOW);
        let keep_from = samples.iter().position(|sample| !old(sample)).unwrap_or(0);
        samples.drain(..keep_from);
        self.told = samples.len().saturating_sub(1);
        moment
    }

    /// Ends the thread.
    pub(super) fn stop(self) {
        self.stop.store(true, Ordering::Release);
        self.thread.thread().unpark();
        // Ignores a panic of the thread: the readings so far are still valid.
        let _ = self.thread.join();
    }
}

fn scrape(url: &str, samples: &Mutex<Vec<Sample>>, stop: &AtomicBool) {
    let agent: ureq::Agent = ureq::Agent::config_builder().timeout_global(Some(TIMEOUT)).build().into();
    let mut next = Instant::now();
    while !stop.load(Ordering::Acquire) {
        let now = Instant::now();
        if now < next {
            std::thread::park_timeout(next - now);
            continue;
        }
        next = now.max(next) + INTERVAL;
        let text = agent
            .get(url)
            .call()
            .and_then(|mut response| response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_string());
        // A missing answer leaves a gap in the charts.
        let Ok(text) = text else { continue };
        if let Some(sample) = Sample::parse(&text, Instant::now()) {
            samples.lock().push(sample);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(second: u64, text: &str) -> Sample {
        static BEGIN: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
        Sample::parse(text, *BEGIN + Duration::from_secs(second)).expect("metrics of Castellan")
    }

    fn text(applied: u64, hits: u64, misses: u64, cpu: u64, [fast, slow, all]: [u64; 3]) -> String {
        format!(
            "# HELP castellan_intents_total Intents answered.\n# TYPE castellan_intents_total counter\n\
             castellan_intents_total{{outcome=\"applied\"}} {applied}\n\
             castellan_intents_total{{outcome=\"conflict\"}} 7\n\
             castellan_cache_lookups_total{{result=\"hit\"}} {hits}\n\
             castellan_cache_lookups_total{{result=\"miss\"}} {misses}\n\
             castellan_sockets_open 3\nprocess_cpu_seconds_total {cpu}\nprocess_resident_memory_bytes 1e6\n\n\
             castellan_database_write_seconds_bucket{{le=\"0.01\"}} {fast}\n\
             castellan_database_write_seconds_bucket{{le=\"0.02\"}} {slow}\n\
             castellan_database_write_seconds_bucket{{le=\"+Inf\"}} {all}\n\
             castellan_database_write_seconds_sum 1.5\n"
        )
    }

    #[test]
    fn rates_come_from_growing_counters() {
        let samples = [
            sample(0, &text(1000, 10, 0, 4, [0, 0, 0])),
            sample(6, &text(4000, 40, 0, 7, [90, 90, 90])),
            sample(8, &text(5000, 70, 10, 8, [90, 190, 190])),
        ];
        let moment = ServerMoment::between(&samples, 1).expect("two readings");
        assert_eq!((moment.applied_per_second, moment.conflicts_per_second), (500.0, 0.0));
        assert_eq!(moment.cache_hit_share, Some(0.75));
        assert_eq!((moment.sockets_open, moment.memory_bytes, moment.backlog_characters), (Some(3.0), Some(1e6), None));
        assert_eq!(moment.cpu_cores, Some(0.5), "over eight seconds");
        assert_eq!(moment.write_p50_ms, Some(15.0), "a hundred between 10 and 20 ms");
        assert_eq!(moment.answer_p99_ms, None);
        assert_eq!(ServerMoment::between(&samples, 2), None);
        assert_eq!(ServerMoment::between(&[], 0), None);
    }

    #[test]
    fn text_without_castellan_metrics_is_ignored() {
        for text in ["", "{\"characters\": []}", "<html>\n", "go_threads 8\n"] {
            assert_eq!(Sample::parse(text, Instant::now()), None, "{text}");
        }
    }
}
