//! Traces, sent to an OpenTelemetry collector if one is configured.

use std::sync::OnceLock;
use std::time::Duration;

use opentelemetry::trace::{Link, SpanKind, TraceContextExt, TraceId, TracerProvider as _};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SamplingDecision, SamplingResult, SdkTracer, SdkTracerProvider, ShouldSample};

use super::collector::Collector;
use crate::config::{self, OtlpEndpoint};

/// Time limit for sending the last spans when the process ends.
const GOODBYE: Duration = Duration::from_secs(2);

/// Most links of a span: a flush may make so many traced changes durable.
pub(super) const LINKS_MAX: usize = 1_024;

/// Time limit for one delivery to the collector.
const DELIVERY: Duration = Duration::from_secs(5);

/// The provider of this process, kept until the process ends.
static PROVIDER: OnceLock<SdkTracerProvider> = OnceLock::new();

/// The share of requests and intents that are traced, if any are.
static SHARE: OnceLock<Share> = OnceLock::new();

/// The spans that exist only if they are to be recorded; see [`spans`](super::spans).
const CHOSEN_BEFORE: [&str; 3] = ["intent", "forward", "flush"];

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
        .with_sampler(sampler(share.clone()))
        .with_max_links_per_span(LINKS_MAX as u32)
        .with_resource(Resource::builder().with_service_name("castellan").build())
        .build();
    let tracer = provider.tracer("castellan");
    // An error means that one is already set; a process sets up telemetry once.
    let _ = (PROVIDER.set(provider), SHARE.set(share));
    Ok(tracer)
}

/// Traces a share of the requests, chosen at random.
///
/// Not by the trace's id, as `Sampler::TraceIdRatioBased` does: a client that brings a trace chooses its id.
#[derive(Debug, Clone)]
struct Share(f64);

impl Share {
    fn chooses(&self) -> bool {
        rand::random::<f64>() < self.0
    }
}

impl ShouldSample for Share {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        _: TraceId,
        name: &str,
        _: &SpanKind,
        _: &[KeyValue],
        _: &[Link],
    ) -> SamplingResult {
        let is_chosen = CHOSEN_BEFORE.contains(&name) || self.chooses();
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

/// True if this process sends traces.
pub fn is_tracing() -> bool {
    SHARE.get().is_some()
}

/// Chooses a share of the intents at random: only these get a span at all.
pub(super) fn is_chosen() -> bool {
    SHARE.get().is_some_and(Share::chooses)
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
    fn spans_that_were_chosen_before_are_recorded() {
        let decide =
            |name| Share(0.0).should_sample(None, TraceId::from(1), name, &SpanKind::Server, &[], &[]).decision;
        CHOSEN_BEFORE.iter().for_each(|name| assert_eq!(decide(name), SamplingDecision::RecordAndSample));
        assert_eq!(decide("GET /characters"), SamplingDecision::Drop);
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
