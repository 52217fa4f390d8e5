//! Counts and measurements.

use std::collections::BTreeMap;
use std::time::Duration;

use castellan_client::reconnect::Ended;
use castellan_srd::wire::RejectionCode;
use hdrhistogram::Histogram;

use super::checker::Contradiction;

/// Largest recorded latency, in microseconds: a minute.
const LATENCY_US_MAX: u64 = 60_000_000;

/// Most contradictions kept in full.
const EXAMPLES_MAX: usize = 20;

/// Close code for an expired token. Not an error: the client reconnects with a newer one.
const CLOSED_TOKEN_EXPIRED: u16 = 4502;

/// Counts of the players of one group on one thread.
#[derive(Debug)]
pub(super) struct Tally {
    /// Intents started.
    pub(super) begun: u64,
    pub(super) applied: u64,
    pub(super) durable: u64,
    pub(super) refused: u64,
    /// Rejections by the game's rules, by code.
    pub(super) rejected: BTreeMap<String, u64>,
    /// Rejections for other reasons, by code.
    pub(super) failed: BTreeMap<String, u64>,
    /// Rejections with a time for sending again.
    pub(super) turned_away: u64,
    /// Intents not started because too many were waiting.
    pub(super) full: u64,
    /// Intents with a lost answer that are never sent again.
    pub(super) unknown: u64,
    /// Intents sent again.
    pub(super) resent: u64,
    /// Intents without a final answer when the time was up.
    pub(super) unsettled: u64,
    /// States pushed because of another client's change.
    pub(super) pushed: u64,
    pub(super) connections: u64,
    /// Connections that players closed on purpose to reconnect.
    pub(super) reconnects: u64,
    /// Connections that ended because the token expired.
    pub(super) expired: u64,
    /// Connections that ended for other reasons, by reason.
    pub(super) lost: BTreeMap<String, u64>,
    pub(super) contradictions: u64,
    pub(super) examples: Vec<String>,
    /// Time from the due time to the answer, in microseconds.
    pub(super) latency: Histogram<u64>,
    /// The same for intents answered after their commit.
    pub(super) latency_durable: Histogram<u64>,
    /// Time from the due time until the player handled the intent: the generator's own delay.
    pub(super) lateness: Histogram<u64>,
}

impl Default for Tally {
    fn default() -> Self {
        let histogram = || Histogram::new_with_max(LATENCY_US_MAX, 3).expect("the bounds are good");
        Self {
            begun: 0,
            applied: 0,
            durable: 0,
            refused: 0,
            rejected: BTreeMap::new(),
            failed: BTreeMap::new(),
            turned_away: 0,
            full: 0,
            unknown: 0,
            resent: 0,
            unsettled: 0,
            pushed: 0,
            connections: 0,
            reconnects: 0,
            expired: 0,
            lost: BTreeMap::new(),
            contradictions: 0,
            examples: Vec::new(),
            latency: histogram(),
            latency_durable: histogram(),
            lateness: histogram(),
        }
    }
}

impl Tally {
    /// Records a contradiction.
    pub(super) fn contradict(&mut self, player: &str, contradiction: &Contradiction) {
        self.contradictions += 1;
        if self.examples.len() < EXAMPLES_MAX {
            self.examples.push(format!("{player}: {contradiction}"));
        }
    }

    /// Counts an intent that was rejected for good.
    pub(super) fn reject(&mut self, code: RejectionCode) {
        let counts = if is_of_the_game(code) { &mut self.rejected } else { &mut self.failed };
        *counts.entry(code.to_string()).or_default() += 1;
    }

    /// Counts an unwanted end of a connection.
    pub(super) fn lose(&mut self, ended: Ended) {
        let reason = match ended {
            Ended::Closed { code: CLOSED_TOKEN_EXPIRED, .. } => {
                self.expired += 1;
                return;
            }
            Ended::Closed { code, .. } => format!("closed with {code}"),
            Ended::Lost { .. } => "cut".to_owned(),
            Ended::Refused { status, .. } => format!("upgrade refused with {status}"),
        };
        *self.lost.entry(reason).or_default() += 1;
    }

    /// Adds other counts.
    pub(super) fn add(&mut self, other: &Self) {
        let counts = [
            (&mut self.begun, other.begun),
            (&mut self.applied, other.applied),
            (&mut self.durable, other.durable),
            (&mut self.refused, other.refused),
            (&mut self.turned_away, other.turned_away),
            (&mut self.full, other.full),
            (&mut self.unknown, other.unknown),
            (&mut self.resent, other.resent),
            (&mut self.unsettled, other.unsettled),
            (&mut self.pushed, other.pushed),
            (&mut self.connections, other.connections),
            (&mut self.reconnects, other.reconnects),
            (&mut self.expired, other.expired),
            (&mut self.contradictions, other.contradictions),
        ];
        for (own, other) in counts {
            *own += other;
        }
        for (own, other) in [(&mut self.rejected, &other.rejected), (&mut self.failed, &other.failed)] {
            for (code, count) in other {
                *own.entry(code.clone()).or_default() += count;
            }
        }
        for (reason, count) in &other.lost {
            *self.lost.entry(reason.clone()).or_default() += count;
        }
        self.examples.extend(other.examples.iter().take(EXAMPLES_MAX - self.examples.len()).cloned());
        let histograms = [
            (&mut self.latency, &other.latency),
            (&mut self.latency_durable, &other.latency_durable),
            (&mut self.lateness, &other.lateness),
        ];
        for (own, other) in histograms {
            if !other.is_empty() {
                own.add(other).expect("all have the same bounds");
            }
        }
    }

    /// Intents rejected by the game's rules.
    pub(super) fn rejections(&self) -> u64 {
        self.rejected.values().sum()
    }

    /// Intents with an answer.
    pub(super) fn answered(&self) -> u64 {
        self.applied + self.refused + self.rejections() + self.failed.values().sum::<u64>()
    }

    /// Failures of the server as a player sees them: failed intents and lost connections.
    ///
    /// Conflicts and rejections by the game's rules do not count.
    pub(super) fn errors(&self) -> u64 {
        let lost: u64 = self.lost.values().sum();
        self.failed.values().sum::<u64>() + self.turned_away + self.full + self.unknown + lost
    }
}

/// Returns true for a code with which the game's rules reject a valid action.
fn is_of_the_game(code: RejectionCode) -> bool {
    let of_deals = [RejectionCode::LIMIT_EXCEEDED, RejectionCode::NO_SUCH_OFFER, RejectionCode::NO_SUCH_RECEIVER];
    castellan_srd::code::ALL.contains(&code) || of_deals.contains(&code)
}

/// Microseconds for the histograms.
pub(super) fn us(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_failed_intents_and_lost_connections() {
        let mut tally = Tally::default();
        tally.reject(castellan_srd::code::INSUFFICIENT_FUNDS);
        tally.refused = 3;
        tally.reconnects = 2;
        tally.lose(Ended::Closed { code: CLOSED_TOKEN_EXPIRED, retry_after: None });
        assert_eq!((tally.errors(), tally.answered()), (0, 4));
        tally.reject(RejectionCode::INTERNAL);
        tally.lose(Ended::Lost { retry_after: None });
        tally.lose(Ended::Closed { code: 4403, retry_after: None });
        (tally.turned_away, tally.full, tally.unknown) = (10, 20, 30);
        assert_eq!((tally.errors(), tally.answered()), (63, 5));
    }

    #[test]
    fn tallies_add_up() {
        let mut part = Tally { applied: 2, ..Tally::default() };
        part.reject(castellan_srd::code::DEAD);
        part.latency.saturating_record(1_000);
        part.examples = vec!["a".to_owned(); EXAMPLES_MAX - 1];
        let mut sum = Tally::default();
        sum.add(&part);
        sum.add(&part);
        assert_eq!((sum.applied, sum.rejections(), sum.latency.len(), sum.examples.len()), (4, 2, 2, EXAMPLES_MAX));
    }
}
