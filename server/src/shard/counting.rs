//! Counts the results of intents as a metric and shows them in traces, the same for both transports.

use castellan_authority::Answered;
use tracing::Span;

use crate::telemetry::{self, IntentOutcome};

/// Counts a decided intent. On a connection that was ordered to close nothing is decided.
pub fn count_intent(answered: &Answered) {
    if let Some(outcome) = outcome_of(answered) {
        telemetry::intent(outcome);
    }
}

/// Shows in the span of an intent or a request what became of it. The flush that makes a change durable gets a link to
/// the span.
pub fn trace_outcome(span: &Span, answered: &Answered) {
    if !span.is_disabled() {
        trace(span, answered);
    }
}

#[cold]
fn trace(span: &Span, answered: &Answered) {
    let version = match answered {
        Answered::Applied { shown, .. } | Answered::Conflict(shown) => Some(shown.version),
        _ => None,
    };
    telemetry::intent_ended(span, outcome_of(answered).map_or("closing", IntentOutcome::as_str), version);
    if let Answered::Applied { character, shown, duplicate: false } = answered {
        telemetry::changed(span, *character, shown.version);
    }
}

/// The outcome of an intent; `None` if nothing is known, because the connection closes.
pub fn outcome_of(answered: &Answered) -> Option<IntentOutcome> {
    Some(match answered {
        Answered::Applied { duplicate: false, .. } => IntentOutcome::Applied,
        Answered::Applied { duplicate: true, .. } => IntentOutcome::Duplicate,
        Answered::Conflict(_) => IntentOutcome::Conflict,
        Answered::Refused(refusal) => IntentOutcome::Rejected(refusal.code),
        Answered::Closing => return None,
    })
}
