//! The spans: requests, intents, loads and flushes, and how they belong together.
//!
//! A trace crosses processes as W3C Trace Context (<https://www.w3.org/TR/trace-context/>): from a client to the server
//! in `traceparent`, and from a gateway to a node with what it passes on.

use std::collections::HashMap;

use castellan_protocol::{CharacterId, Version};
use opentelemetry::Context;
use opentelemetry::propagation::TextMapPropagator;
pub use opentelemetry::trace::TraceId;
use opentelemetry::trace::{SpanContext, TraceContextExt};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::{Span, field};
use tracing_opentelemetry::OpenTelemetrySpanExt;

use super::traces::{is_chosen, is_tracing};

/// The name of the header field, and of the carrier's key.
const TRACEPARENT: &str = "traceparent";

/// Another process' span above ours.
#[derive(Debug, Clone, Copy)]
pub enum Parent<'a> {
    /// The client's own span, if it names one. This process decides if it traces anything.
    Client(Option<&'a str>),
    /// The gateway's span, if it has one for this. It has decided if an intent is traced; of a request it may say nothing,
    /// and then this process decides.
    Gateway(Option<&'a str>),
}

impl Parent<'_> {
    /// An invalid `traceparent` counts as none.
    fn context(self) -> Option<Context> {
        let (Self::Client(text) | Self::Gateway(text)) = self;
        let carrier = HashMap::from([(TRACEPARENT.to_owned(), text?.to_owned())]);
        let context = TraceContextPropagator::new().extract(&carrier);
        let span = context.span().span_context().clone();
        if !span.is_valid() {
            return None;
        }
        Some(match self {
            Self::Client(_) => context,
            // The sampler follows spans of this process.
            Self::Gateway(_) => {
                let (trace, id, flags) = (span.trace_id(), span.span_id(), span.trace_flags());
                let span = SpanContext::new(trace, id, flags, false, span.trace_state().clone());
                Context::new().with_remote_span_context(span)
            }
        })
    }

    /// Puts a new span below this one.
    fn adopt(self, span: &Span) {
        if let Some(context) = self.context() {
            // An error means that nobody records the span.
            let _ = span.set_parent(context);
        }
    }
}

/// The span of an HTTP request. `route` is a template such as `/characters/{id}`.
pub fn request_span(route: &str, method: &'static str, parent: Parent<'_>) -> Span {
    let span = tracing::info_span!(
        "request",
        otel.name = format!("{method} {route}"),
        otel.kind = "server",
        http.request.method = method,
        http.route = route,
        http.response.status_code = field::Empty,
        castellan.outcome = field::Empty,
        castellan.version = field::Empty,
        trace_id = field::Empty,
    );
    if is_tracing() {
        parent.adopt(&span);
        show_trace(&span);
    }
    span
}

/// The span of an intent over a socket; [`Span::none`] unless it is traced.
pub fn intent_span(action: &'static str, character: CharacterId, parent: Parent<'_>) -> Span {
    let is_traced = match parent {
        Parent::Client(_) => is_chosen(),
        Parent::Gateway(text) => text.is_some(),
    };
    if !is_traced {
        return Span::none();
    }
    let span = tracing::info_span!(
        "intent",
        otel.kind = "server",
        castellan.action = action,
        castellan.character = %character,
        castellan.outcome = field::Empty,
        castellan.version = field::Empty,
        trace_id = field::Empty,
    );
    parent.adopt(&span);
    show_trace(&span);
    span
}

/// A gateway passes an intent on to a node. Returns the gateway's span for the node; `None` unless the intent is traced.
///
/// The span ends at once. The time until the node's begins is spent on the way, and where the gateway holds frames.
pub fn forward(action: &'static str, parent: Option<&str>) -> Option<String> {
    if !is_chosen() {
        return None;
    }
    let span = tracing::info_span!("forward", otel.kind = "producer", castellan.action = action);
    Parent::Client(parent).adopt(&span);
    traceparent(&span)
}

/// An intent's span learns what became of it.
pub fn intent_ended(span: &Span, outcome: &'static str, version: Option<Version>) {
    if !span.is_disabled() {
        span.record("castellan.outcome", outcome);
        if let Some(version) = version {
            span.record("castellan.version", i64::try_from(version.get()).unwrap_or(i64::MAX));
        }
    }
}

/// The span of loading characters from the database, below the first traced request or intent that waits for them and
/// linked to the others. [`Span::none`] if none of them has a span.
pub fn load_span<'a>(waiting: impl Iterator<Item = &'a Span>) -> Span {
    let waiting: Vec<&Span> = waiting.filter(|span| !span.is_disabled()).collect();
    let traced: Vec<&Span> = waiting.iter().copied().filter(|span| is_tracing() && trace_of(span).is_some()).collect();
    let Some(first) = traced.first().or(waiting.first()) else { return Span::none() };
    let span = tracing::info_span!(parent: *first, "load", otel.kind = "client");
    for other in traced.iter().skip(1) {
        span.add_link(other.context().span().span_context().clone());
    }
    span
}

/// A span as another process reads it. `None` if this process traces nothing.
pub fn traceparent(span: &Span) -> Option<String> {
    if !is_tracing() {
        return None;
    }
    let mut carrier = HashMap::new();
    TraceContextPropagator::new().inject_context(&span.context(), &mut carrier);
    carrier.remove(TRACEPARENT)
}

/// Shows the id of a recorded trace in the lines that are logged below this span.
fn show_trace(span: &Span) {
    if let Some(trace) = trace_of(span) {
        span.record("trace_id", field::display(trace));
    }
}

/// The trace of the request or intent at hand, if it is recorded.
pub fn current_trace() -> Option<TraceId> {
    if is_tracing() { trace_of(&Span::current()) } else { None }
}

fn trace_of(span: &Span) -> Option<TraceId> {
    let context = span.context();
    let span = context.span();
    let span = span.span_context();
    span.is_sampled().then(|| span.trace_id())
}
