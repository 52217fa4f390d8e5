//! Counts the results of intents as a metric, the same for both transports.

use castellan_authority::Answered;

use crate::telemetry::{self, IntentOutcome};

/// Counts a decided intent. On a connection that was ordered to close nothing is decided.
pub fn count_intent(answered: &Answered) {
    if let Some(outcome) = outcome_of(answered) {
        telemetry::intent(outcome);
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
