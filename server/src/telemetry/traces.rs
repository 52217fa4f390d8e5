//! Traces, sent to an OpenTelemetry collector if one is configured.

use std::collections::HashMap;
use std::sync::OnceLock;
use std::time::Duration;

use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::{Link, SpanKind, TraceContextExt, TraceId, TracerProvider as _};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{Sampler, SamplingDecision, SamplingResult, SdkTracer, SdkTracerProvider, ShouldSample};
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
    let share = Share(f64::from(settings.otlp_sample_percent) / 100.0);
    let provider = SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_sampler(sampler(share))
        .with_resource(Resource::builder().with_service_name("castellan").build())
        .build();
    let tracer = provider.tracer("castellan");
    // An error means that one is already set; a process sets up telemetry once.
    let _ = PROVIDER.set(provider);
    Ok(tracer)
}

/// Traces a share of the requests, chosen at random.
///
/// Not by the trace's id, as `Sampler::TraceIdRatioBased` does: a client that brings a trace chooses its id.
#[derive(Debug, Clone)]
struct Share(f64);

impl ShouldSample for Share {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        _: TraceId,
        _: &str,
        _: &SpanKind,
        _: &[KeyValue],
        _: &[Link],
    ) -> SamplingResult {
        let is_chosen = rand::random::<f64>() < self.0;
        SamplingResult {
            decision: if is_chosen { SamplingDecision::RecordAndSample } else { SamplingDecision::Drop },
            attributes: Vec::new(),
            trace_state: parent.map(|parent| parent.span().span_context().trace_state().clone()).unwrap_or_default(),
        }
    }
}

/// Decides by `share` if a request is traced, whatever its client says about its own trace. The spans below it follow.
fn sampler(share: Share) -> impl ShouldSample {
    Sampler::parent_based(share.clone()).with_remote_parent_sampled(share.clone()).with_remote_parent_not_sampled(share)
}

/// Sends the remaining spans. Call it at the end of the process; nothing is traced afterwards.
pub fn finish() {
    if let Some(provider) = PROVIDER.get()
        && let Err(error) = provider.shutdown_with_timeout(GOODBYE)
    {
        tracing::warn!(%error, "cannot send the last traces");
    }
}

/// The span of an HTTP request. If it is traced, it is below the client's own span that `traceparent` names (W3C Trace
/// Context).
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

#[cfg(test)]
mod tests {
    use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceState};

    use super::*;

    /// Decides below a span of another process, or of this one.
    fn decide(share: f64, is_remote: bool, flags: TraceFlags) -> bool {
        let id = TraceId::from(1);
        let parent = SpanContext::new(id, SpanId::from(1), flags, is_remote, TraceState::default());
        let parent = Context::new().with_remote_span_context(parent);
        let result = sampler(Share(share)).should_sample(Some(&parent), id, "request", &SpanKind::Server, &[], &[]);
        result.decision == SamplingDecision::RecordAndSample
    }

    #[test]
    fn a_client_does_not_decide_if_it_is_traced() {
        for flags in [TraceFlags::SAMPLED, TraceFlags::NOT_SAMPLED] {
            assert!(!decide(0.0, true, flags));
            assert!(decide(1.0, true, flags));
        }
        assert!(decide(0.0, false, TraceFlags::SAMPLED), "spans below a traced one are traced");
        assert!(!decide(1.0, false, TraceFlags::NOT_SAMPLED));
    }
}
