//! Sets up logs and metrics, once per process.

use std::io::IsTerminal;
use std::time::Duration;

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use opentelemetry_otlp::ExporterBuildError;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{EnvFilter, Layer};

use super::table::{Kind, METRICS};
use super::{characters, health, printing, process, traces};
use crate::config::{self, LogFormat};

/// How often samples are folded into buckets. Otherwise they pile up until the metrics are read.
const UPKEEP: Duration = Duration::from_secs(5);

/// Why telemetry could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The process already has a metrics recorder.
    #[error("cannot set up metrics: {0}")]
    Metrics(#[from] BuildError),
    /// The process already has a log.
    #[error("cannot set up logs: {0}")]
    Logs(#[from] TryInitError),
    /// The collector's address is unusable.
    #[error("cannot set up traces: {0}; check otlp_endpoint")]
    Traces(#[from] ExporterBuildError),
}

/// The metrics of this process.
#[derive(Clone)]
pub struct Metrics(PrometheusHandle);

impl Metrics {
    /// All metrics in Prometheus' text format.
    pub fn render(&self) -> String {
        process::observe();
        characters::publish();
        health::publish();
        let cpu = METRICS.iter().find(|metric| metric.name == "process_cpu_seconds_total");
        self.0.render() + &process::processor_time(cpu.map_or("", |metric| metric.doc))
    }
}

/// Sets up logs and metrics, and keeps the metrics small. Must be called on a runtime, before anything is recorded.
///
/// # Errors
///
/// Fails if the process already has them.
pub fn install(settings: &config::Telemetry) -> Result<Metrics, TelemetryError> {
    start_logs(settings)?;
    let metrics = Metrics(builder()?.install_recorder()?);
    describe();
    tokio::spawn({
        let handle = metrics.0.clone();
        async move {
            let mut ticks = tokio::time::interval(UPKEEP);
            loop {
                ticks.tick().await;
                handle.run_upkeep();
            }
        }
    });
    Ok(metrics)
}

/// Sets up logs, and traces if a collector is configured. For commands other than `serve`.
///
/// # Errors
///
/// Fails if the process already has a log.
pub fn start_logs(settings: &config::Telemetry) -> Result<(), TelemetryError> {
    let filter = match settings.log_format {
        LogFormat::Text => EnvFilter::new(settings.log_filter.directives()),
        // Text is printed whatever the filter says.
        LogFormat::Json => EnvFilter::new(format!("{},{}=info", settings.log_filter.directives(), printing::SAID)),
    };
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    // Reporting a line that cannot be written would panic if nothing can be.
    let lines = lines.log_internal_errors(false);
    let lines = match settings.log_format {
        LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).with_filter(filter).boxed(),
        LogFormat::Json => lines.json().with_filter(filter).boxed(),
    };
    let traces = match &settings.otlp_endpoint {
        None => None,
        Some(endpoint) => {
            let tracer = traces::tracer(endpoint, settings)?;
            let ours = Targets::new().with_target("castellan", LevelFilter::INFO);
            let spans = tracing_opentelemetry::layer().with_tracer(tracer);
            // Operators have no use for the place in the code and for the thread.
            let spans = spans.with_location(false).with_target(false).with_threads(false);
            Some(spans.with_tracked_inactivity(false).with_filter(ours))
        }
    };
    tracing_subscriber::registry().with(lines).with(traces).try_init()?;
    printing::use_format(settings.log_format);
    Ok(())
}

fn builder() -> Result<PrometheusBuilder, BuildError> {
    let mut builder = PrometheusBuilder::new();
    for metric in METRICS {
        if let Kind::Histogram(buckets) = metric.kind {
            builder = builder.set_buckets_for_metric(Matcher::Full(metric.name.to_owned()), buckets)?;
        }
    }
    Ok(builder)
}

fn describe() {
    for metric in METRICS {
        let unit = unit_of(metric.name);
        match metric.kind {
            Kind::Counter => describe_counter!(metric.name, unit, metric.doc),
            Kind::Gauge => describe_gauge!(metric.name, unit, metric.doc),
            Kind::Histogram(_) => describe_histogram!(metric.name, unit, metric.doc),
        }
    }
}

/// The unit at the end of a name.
fn unit_of(name: &str) -> Unit {
    let name = name.strip_suffix("_total").unwrap_or(name);
    if name.ends_with("_seconds") {
        Unit::Seconds
    } else if name.ends_with("_bytes") {
        Unit::Bytes
    } else {
        Unit::Count
    }
}
