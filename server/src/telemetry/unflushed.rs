//! Which traced changes wait for their commit, so that the flush that makes them durable gets a link to them.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use castellan_protocol::{CharacterId, Version};
use opentelemetry::trace::{SpanContext, TraceContextExt};
use parking_lot::Mutex;
use tokio::time::Instant;
use tracing::{Span, field};
use tracing_opentelemetry::OpenTelemetrySpanExt;

use super::traces::{LINKS_MAX, is_tracing};

/// How long a change is awaited: one that the database refuses never comes.
const PATIENCE: Duration = Duration::from_secs(60);

/// A change of a traced intent or request whose commit is awaited.
struct Unflushed {
    character: CharacterId,
    version: Version,
    span: SpanContext,
    since: Instant,
}

/// Beyond [`LINKS_MAX`] the oldest get no link from their flush.
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
        await_commit([Unflushed { character, version, span, since: Instant::now() }]);
    }
}

fn await_commit(changes: impl IntoIterator<Item = Unflushed>) {
    let mut unflushed = UNFLUSHED.lock();
    unflushed.extend(changes);
    let excess = unflushed.len().saturating_sub(LINKS_MAX);
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
        unflushed.retain(|change| change.since.elapsed() < PATIENCE);
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
