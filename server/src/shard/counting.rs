//! Counts the results of intents as a metric, the same for both transports.

use castellan_authority::Outcome;

use crate::telemetry::{self, IntentOutcome};

/// Counts a decided intent. On a connection that was ordered to close nothing is decided.
pub fn count_intent(outcome: &Outcome) {
    telemetry::intent(match outcome {
        Outcome::Applied { duplicate: false, .. } => IntentOutcome::Applied,
        Outcome::Applied { duplicate: true, .. } => IntentOutcome::Duplicate,
        Outcome::Conflict(_) => IntentOutcome::Conflict,
        Outcome::Refused(refusal) => IntentOutcome::Rejected(refusal.code),
        Outcome::Closing => return,
    });
}
