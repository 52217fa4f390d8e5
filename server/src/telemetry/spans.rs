//! The spans: requests, intents, loads and flushes, and how they belong together.
//!
//! A trace crosses processes as W3C Trace Context (<https://www.w3.org/TR/trace-context/>): from a client to the server
//! in `traceparent`, and from a gateway to a node with what it passes on.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};

use castellan_protocol::{CharacterId, Version};
use opentelemetry::Context;
use opentelemetry::propagation::TextMapPropagator;
pub use opentelemetry::trace::TraceId;
use opentelemetry::trace::{SpanContext, TraceContextExt};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use parking_lot::Mutex;
use tracing::{Span, field};
use tracing_opentelemetry::OpenTelemetrySpanExt;

use super::traces::{is_chosen, is_tracing};

/// The name of the header field, and of the carrier's key.
const TRACEPARENT: &str = "traceparent";

/// Changes of traced intents whose commit is awaited. Beyond that the oldest get no link from their flush.
const UNFLUSHED_MAX: usize = 1_024;

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

/// The span of a gateway that passes an intent on to a node; [`Span::none`] unless it is traced. It ends where the intent
/// is handed over; the time until the node's span begins is spent on the way, and where the gateway holds frames.
pub fn forward_span(action: &'static str, traceparent: Option<&str>) -> Span {
    if !is_tracing() || !is_chosen() {
        return Span::none();
    }
    let span = tracing::info_span!("forward", otel.kind = "producer", castellan.action = action);
    Parent::Client(traceparent).adopt(&span);
    span
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

/// The span of loading characters from the database, below the first request or intent that waits for them and linked to
/// the others. [`Span::none`] if none of them has a span.
pub fn load_span<'a>(waiting: impl Iterator<Item = &'a Span>) -> Span {
    let mut waiting = waiting.filter(|span| !span.is_disabled());
    let Some(first) = waiting.next() else { return Span::none() };
    let span = tracing::info_span!(parent: first, "load", otel.kind = "client");
    if is_tracing() {
        waiting.for_each(|other| span.add_link(other.context().span().span_context().clone()));
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

/// A change of a traced intent or request whose commit is awaited.
struct Unflushed {
    character: CharacterId,
    version: Version,
    span: SpanContext,
}

static UNFLUSHED: Mutex<VecDeque<Unflushed>> = Mutex::new(VecDeque::new());

/// The length of the list, for those who only want to know that it is empty.
static UNFLUSHED_COUNT: AtomicUsize = AtomicUsize::new(0);

/// The span has changed a character: the flush that makes it durable gets a link to it.
pub fn changed(span: &Span, character: CharacterId, version: Version) {
    if span.is_disabled() || !is_tracing() {
        return;
    }
    let span = span.context().span().span_context().clone();
    if span.is_sampled() {
        await_commit([Unflushed { character, version, span }]);
    }
}

fn await_commit(changes: impl IntoIterator<Item = Unflushed>) {
    let mut unflushed = UNFLUSHED.lock();
    unflushed.extend(changes);
    let excess = unflushed.len().saturating_sub(UNFLUSHED_MAX);
    unflushed.drain(..excess);
    UNFLUSHED_COUNT.store(unflushed.len(), Ordering::Relaxed);
}

/// The trace of a transaction of the flusher.
pub struct FlushTrace {
    /// The span of the transaction.
    pub span: Span,
    linked: VecDeque<Unflushed>,
}

impl FlushTrace {
    /// The trace of a transaction with the newest states of these characters. It has a span if it writes the change of a
    /// traced intent or request, with a link to each of these.
    pub fn new(rows: impl ExactSizeIterator<Item = (CharacterId, Version)>) -> Self {
        if UNFLUSHED_COUNT.load(Ordering::Relaxed) == 0 {
            return Self { span: Span::none(), linked: VecDeque::new() };
        }
        let count = rows.len();
        let written: HashMap<_, _> = rows.collect();
        let mut unflushed = UNFLUSHED.lock();
        let (linked, rest): (VecDeque<_>, VecDeque<_>) = (unflushed.drain(..))
            .partition(|change| written.get(&change.character).is_some_and(|version| *version >= change.version));
        *unflushed = rest;
        UNFLUSHED_COUNT.store(unflushed.len(), Ordering::Relaxed);
        drop(unflushed);
        if linked.is_empty() {
            return Self { span: Span::none(), linked };
        }
        let span = tracing::info_span!(
            "flush",
            otel.kind = "client",
            db.operation.batch.size = i64::try_from(count).unwrap_or(i64::MAX),
            castellan.outcome = field::Empty
        );
        linked.iter().for_each(|change| span.add_link(change.span.clone()));
        Self { span, linked }
    }

    /// The transaction has ended. If it has failed, a later one makes the changes durable.
    pub fn ended(self, written: bool) {
        self.span.record("castellan.outcome", if written { "committed" } else { "failed" });
        if !written && !self.linked.is_empty() {
            await_commit(self.linked);
        }
    }
}
