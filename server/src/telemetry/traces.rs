//! Traces, sent to an OpenTelemetry collector if one is configured.

use std::collections::HashMap;
use std::sync::OnceLock;
use std::time::Duration;

use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider};
use tracing::{Span, field};
use tracing_opentelemetry::OpenTelemetrySpanExt;

use super::collector::Collector;
use crate::config::{self, OtlpEndpoint};

/// Time limit for sending the last spans when the process ends.
const GOODBYE: Duration = Duration::from_secs(2);

/// Time limit for one delivery to the collector.
const DELIVERY: Duration = Duration::from_secs(5);

/// The provider of this process, kept until the process ends.
static PROVIDER: OnceLock<SdkTracerProvider> = OnceLock::new();

/// A tracer that sends to `endpoint`.
pub(super) fn tracer(endpoint: &OtlpEndpoint, settings: &config::Telemetry) -> Result<SdkTracer, ExporterBuildError> {
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(Collector::new(DELIVERY))
        .with_endpoint(endpoint.traces_url())
        .with_timeout(DELIVERY)
        .build()?;
    let ratio = f64::from(settings.otlp_sample_percent) / 100.0;
    let provider = SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(ratio))))
        .with_resource(Resource::builder().with_service_name("castellan").build())
        .build();
    let tracer = provider.tracer("castellan");
    // An error means that one is already set; a process sets up telemetry once.
    let _ = PROVIDER.set(provider);
    Ok(tracer)
}

/// Sends the remaining spans. Call it at the end of the process; nothing is traced afterwards.
pub fn finish() {
    if let Some(provider) = PROVIDER.get()
        && let Err(error) = provider.shutdown_with_timeout(GOODBYE)
    {
        tracing::warn!(%error, "cannot send the last traces");
    }
}

/// The span of an HTTP request, below the client's own if it sent a `traceparent` (W3C Trace Context).
///
/// `route` is a template such as `/characters/{id}`.
pub fn request_span(route: &str, method: &'static str, traceparent: Option<&str>) -> Span {
    let span = tracing::info_span!(
        "request",
        otel.name = format!("{method} {route}"),
        otel.kind = "server",
        http.request.method = method,
        http.route = route,
        http.response.status_code = field::Empty,
    );
    adopt(&span, traceparent);
    span
}

/// The span of writing a batch.
pub fn flush_span(rows: usize) -> Span {
    tracing::info_span!("flush", otel.kind = "client", db.operation.batch.size = rows)
}

/// The span of loading a user's characters, below the request that started it.
pub fn load_span() -> Span {
    tracing::info_span!("load", otel.kind = "client")
}

/// Puts a span below the one that `traceparent` names. Ignores an invalid one.
pub fn adopt(span: &Span, traceparent: Option<&str>) {
    if PROVIDER.get().is_none() {
        return;
    }
    if let Some(traceparent) = traceparent {
        let carrier = HashMap::from([("traceparent".to_owned(), traceparent.to_owned())]);
        // An error means that nobody records the span.
        let _ = span.set_parent(TraceContextPropagator::new().extract(&carrier));
    }
}
