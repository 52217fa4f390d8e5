//! Counts the results of intents as a metric, the same for both transports.

use castellan_authority::Outcome;

use crate::telemetry::{self, IntentOutcome};

/// Counts an answered intent. An intent whose connection was ordered to close gets no answer and is not counted.
pub fn count_intent(outcome: &Outcome) {
    telemetry::intent(match outcome {
        Outcome::Applied { duplicate: false, .. } => IntentOutcome::Applied,
        Outcome::Applied { duplicate: true, .. } => IntentOutcome::Duplicate,
        Outcome::Conflict(_) => IntentOutcome::Conflict,
        Outcome::Refused(refusal) => IntentOutcome::Rejected(refusal.code),
        Outcome::Closing => return,
    });
}
