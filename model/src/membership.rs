//! Time: a node that cannot renew its heartbeat stops answering before another node takes its shard.
//!
//! One node holds a shard, another one observes it; both run the state machines of `castellan_cluster::membership`
//! with a clock that the search advances by a second at a time. Each statement is sent, executed and answered, at any
//! later time or never. A node that is frozen takes no steps while the clock goes on.
//!
//! The holder may also be cut off from the database, and believe that all others are, too: nobody whom it knows says
//! otherwise, because it knows nobody, or the observer joined after the holder had read for the last time.

use std::time::Duration;

use castellan_cluster::membership::{EXPIRY, Observed, Validity};
use stateright::{Model, Property};

/// A rule of membership that can be left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// The holder counts its validity from before the renewal was sent. Left out: from its answer.
    CountsFromBefore,
    /// The take compares the heartbeat once more. Left out: it relies on the last read.
    TakeComparesHeartbeat,
    /// A renewal reads the leases. Left out: it only writes the heartbeat.
    RenewalReadsLeases,
    /// After a gap in the reads the observer begins anew. Left out: it does not notice the gap.
    GapBeginsAnew,
    /// The observer warns a node before it takes its shards. Left out: it does not.
    WarnsFirst,
    /// If the node may still answer, it waits for as long as that can last. Left out: it takes at once.
    WaitsAfterWarning,
    /// A node that was warned does not go on without the database. Left out: it does.
    WarnedStops,
}

/// A search.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// The rule that is left out.
    pub left_out: Option<Rule>,
    /// Seconds until the run ends.
    pub seconds: u8,
    /// True if the holder is healthy: it renews each second, unless the database is away.
    pub healthy: bool,
    /// The database is away from this second on, until before the other one.
    pub away: (u8, u8),
    /// True if it is away for the holder only, and the holder knows nobody who says so. Then it goes on without renewals.
    pub alone: bool,
}

/// A statement on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Statement<T> {
    /// None.
    Idle,
    /// Sent at this second.
    Sent(u8),
    /// Sent at this second, and executed with this result.
    Executed(u8, T),
}

/// A state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct System {
    /// The present second.
    pub now: u8,
    /// The heartbeat in the database.
    pub heartbeat: u8,
    /// True once the observer has taken the shard.
    pub taken: bool,
    /// The holder's validity.
    pub validity: Validity,
    /// True once the holder knows that the shard was taken.
    pub knows: bool,
    /// The second of its last renewal.
    pub renewed: u8,
    /// Its renewal; the result is true if the shard had been taken.
    pub renewal: Statement<bool>,
    /// What the observer knows.
    pub observed: Option<Observed>,
    /// Its read; the result is the heartbeat.
    pub read: Statement<u8>,
    /// Its warning to the holder; the result is true if the holder may still answer.
    pub warning: Statement<bool>,
    /// When it learned that the warning had arrived, and the result.
    pub warned_at: Option<(u8, bool)>,
    /// When the holder heard it, if it has sent no renewal since that succeeded.
    pub heard_at: Option<u8>,
}

/// A step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// A second passes.
    Tick,
    /// The holder sends a renewal.
    SendRenewal,
    /// The database executes it.
    Renew,
    /// The holder learns it.
    LearnRenewal,
    /// Its answer is lost.
    LoseRenewal,
    /// The observer sends a read.
    SendRead,
    /// The database executes it.
    Read,
    /// The observer learns it.
    LearnRead,
    /// The holder goes on without the database.
    GoOn,
    /// The observer warns the holder over a link.
    SendWarning,
    /// The holder hears it.
    HearWarning,
    /// The observer learns that.
    LearnWarning,
    /// The observer takes the shard, in one statement.
    Take,
}

/// Point 6 of "What must hold".
pub const STOPS_FIRST: &str = "a node does not answer for a shard that another one has taken";
/// An outage of the database is no reason to take anything.
pub const HEALTHY_KEEPS: &str = "a healthy node keeps its shard";

/// The search reaches it, unless the holder is healthy.
pub const DEAD_IS_TAKEN: &str = "a shard is taken";

fn seconds(seconds: u8) -> Duration {
    Duration::from_secs(u64::from(seconds))
}

impl Plan {
    fn lacks(&self, rule: Rule) -> bool {
        self.left_out == Some(rule)
    }

    fn is_away(&self, now: u8) -> bool {
        (self.away.0..self.away.1).contains(&now)
    }

    /// Returns true if the observer may take the shard of a dead holder.
    fn may_take(&self, system: &System) -> bool {
        let has_waited = |(at, may_answer): (u8, bool)| {
            !may_answer || seconds(system.now) >= seconds(at) + EXPIRY || self.lacks(Rule::WaitsAfterWarning)
        };
        !self.alone || self.lacks(Rule::WarnsFirst) || system.warned_at.is_some_and(has_waited)
    }
}

impl System {
    /// Returns true if the observer takes the holder for dead.
    fn is_dead(&self) -> bool {
        self.observed.is_some_and(|observed| observed.is_dead())
    }
}

impl Model for Plan {
    type State = System;
    type Action = Step;

    fn init_states(&self) -> Vec<System> {
        vec![System {
            now: 1,
            heartbeat: 0,
            taken: false,
            validity: Validity::default(),
            knows: false,
            renewed: 0,
            renewal: Statement::Idle,
            observed: None,
            read: Statement::Idle,
            warning: Statement::Idle,
            warned_at: None,
            heard_at: None,
        }]
    }

    fn actions(&self, system: &System, steps: &mut Vec<Step>) {
        let away = self.is_away(system.now);
        match system.renewal {
            Statement::Idle if system.renewed < system.now => steps.push(Step::SendRenewal),
            Statement::Idle => {}
            Statement::Sent(_) if away => {}
            Statement::Sent(_) => steps.push(Step::Renew),
            Statement::Executed(..) if self.healthy => steps.push(Step::LearnRenewal),
            Statement::Executed(..) => steps.extend([Step::LearnRenewal, Step::LoseRenewal]),
        }
        match system.read {
            Statement::Idle => steps.push(Step::SendRead),
            Statement::Sent(_) if away && !self.alone => {}
            Statement::Sent(_) => steps.push(Step::Read),
            Statement::Executed(..) => steps.push(Step::LearnRead),
        }
        if self.alone {
            let is_silenced = system.heard_at.is_some() && !self.lacks(Rule::WarnedStops);
            if system.validity.holds(seconds(system.now)) && !is_silenced {
                steps.push(Step::GoOn);
            }
            if system.is_dead() && system.warning == Statement::Idle && system.warned_at.is_none() {
                steps.push(Step::SendWarning);
            }
        }
        match system.warning {
            Statement::Idle => {}
            Statement::Sent(_) => steps.push(Step::HearWarning),
            Statement::Executed(..) => steps.push(Step::LearnWarning),
        }
        if system.is_dead() && !system.taken && (!away || self.alone) && self.may_take(system) {
            steps.push(Step::Take);
        }
        // A healthy node does its work each second, and so does an observer with a holder that is alone.
        let busy = self.healthy && !away && (system.renewed < system.now || system.renewal != Statement::Idle);
        let reads = self.alone && system.observed.is_none_or(|observed| !observed.has_read(seconds(system.now)));
        if system.now < self.seconds && !busy && !reads {
            steps.push(Step::Tick);
        }
    }

    fn next_state(&self, system: &System, step: Step) -> Option<System> {
        let mut next = *system;
        let now = system.now;
        match (step, system.renewal, system.read) {
            (Step::Tick, ..) => next.now += 1,
            (Step::SendRenewal, ..) => {
                next.renewed = now;
                next.renewal = Statement::Sent(now);
            }
            (Step::Renew, Statement::Sent(asked), _) => {
                next.heartbeat += 1;
                next.renewal = Statement::Executed(asked, system.taken);
            }
            (Step::LearnRenewal, Statement::Executed(asked, taken), _) => {
                next.renewal = Statement::Idle;
                next.knows |= taken && !self.lacks(Rule::RenewalReadsLeases);
                next.validity.renewed(seconds(if self.lacks(Rule::CountsFromBefore) { now } else { asked }));
                next.heard_at = system.heard_at.filter(|heard| asked <= *heard);
            }
            (Step::LoseRenewal, ..) => next.renewal = Statement::Idle,
            (Step::SendRead, ..) => next.read = Statement::Sent(now),
            (Step::Read, _, Statement::Sent(asked)) => next.read = Statement::Executed(asked, system.heartbeat),
            (Step::LearnRead, _, Statement::Executed(asked, heartbeat)) => {
                next.read = Statement::Idle;
                let heartbeat = u64::from(heartbeat);
                let mut observed = system.observed.unwrap_or(Observed::new(heartbeat, seconds(asked), seconds(now)));
                if self.lacks(Rule::GapBeginsAnew) {
                    (0..asked).for_each(|second| observed.read(observed.heartbeat(), seconds(second), seconds(second)));
                }
                observed.read(heartbeat, seconds(asked), seconds(now));
                next.observed = Some(observed);
                if !observed.is_dead() {
                    next.warned_at = None;
                }
            }
            (Step::GoOn, ..) => next.validity.renewed(seconds(now)),
            (Step::SendWarning, ..) => next.warning = Statement::Sent(now),
            (Step::HearWarning, ..) => {
                next.warning = Statement::Executed(now, seconds(now) < system.validity.over());
                next.heard_at = Some(now);
            }
            (Step::LearnWarning, ..) => {
                let Statement::Executed(_, may_answer) = system.warning else { return None };
                next.warning = Statement::Idle;
                next.warned_at = Some((now, may_answer));
            }
            (Step::Take, ..) => {
                let seen = system.observed.map(|observed| observed.heartbeat());
                next.taken = seen == Some(u64::from(system.heartbeat)) || self.lacks(Rule::TakeComparesHeartbeat);
            }
            _ => return None,
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(STOPS_FIRST, |_, system: &System| {
                !(system.taken && !system.knows && system.validity.holds(seconds(system.now)))
            }),
            Property::always(HEALTHY_KEEPS, |plan: &Self, system: &System| !(plan.healthy && system.taken)),
            Property::sometimes(DEAD_IS_TAKEN, |plan: &Self, system: &System| system.taken || plan.healthy),
        ]
    }
}

#[cfg(test)]
mod tests {
    use stateright::{Checker, HasDiscoveries};

    use super::*;
    use crate::search::{shortest, turn};

    /// The holder may be slow, frozen, or cut off from the database.
    const SLOW: Plan = Plan { left_out: None, seconds: 9, healthy: false, away: (0, 0), alone: false };
    /// The database is away for a while.
    const OUTAGE: Plan = Plan { left_out: None, seconds: 14, healthy: true, away: (3, 11), alone: false };
    /// The holder is cut off from the database, and goes on.
    const ALONE: Plan = Plan { left_out: None, seconds: 14, healthy: false, away: (2, 12), alone: true };

    fn holds(plan: Plan, states: usize) {
        let _turn = turn();
        let search = plan.checker().threads(2).finish_when(HasDiscoveries::AnyFailures).spawn_dfs().join();
        search.assert_properties();
        assert_eq!(search.unique_state_count(), states, "update the number of states");
    }

    fn breaks(rule: Rule, plan: Plan, promise: &'static str, steps: usize) {
        let _turn = turn();
        let plan = Plan { left_out: Some(rule), ..plan };
        let found = shortest(plan, promise).unwrap_or_else(|| panic!("no path breaks the promise: {promise}"));
        println!("without {rule:?}, {} steps break the promise: {promise}\n{found:?}", found.len());
        assert_eq!(found.len(), steps, "update the number of steps here and in docs/cluster.md");
        assert!(
            include_str!("../../docs/cluster.md").contains(&format!("| {promise} | {steps} |")),
            "not in the document"
        );
    }

    #[test]
    fn a_slow_node_stops_before_its_shard_is_taken() {
        holds(SLOW, 4_764_955);
    }

    #[test]
    fn nothing_is_taken_after_an_outage_of_the_database() {
        holds(OUTAGE, 129_913);
    }

    #[test]
    fn a_node_that_goes_on_alone_stops_before_its_shard_is_taken() {
        holds(ALONE, 4_602_075);
    }

    #[test]
    fn without_a_warning_a_promise_breaks() {
        breaks(Rule::WarnsFirst, ALONE, STOPS_FIRST, 28);
    }

    #[test]
    fn without_waiting_after_a_warning_a_promise_breaks() {
        breaks(Rule::WaitsAfterWarning, ALONE, STOPS_FIRST, 31);
    }

    #[test]
    fn without_heeding_a_warning_a_promise_breaks() {
        breaks(Rule::WarnedStops, ALONE, STOPS_FIRST, 50);
    }

    #[test]
    fn without_counting_from_before_a_promise_breaks() {
        breaks(Rule::CountsFromBefore, SLOW, STOPS_FIRST, 21);
    }

    #[test]
    fn without_comparing_the_heartbeat_once_more_a_promise_breaks() {
        breaks(Rule::TakeComparesHeartbeat, SLOW, STOPS_FIRST, 21);
    }

    #[test]
    fn without_reading_the_leases_a_promise_breaks() {
        breaks(Rule::RenewalReadsLeases, SLOW, STOPS_FIRST, 21);
    }

    #[test]
    fn without_beginning_anew_after_a_gap_a_promise_breaks() {
        breaks(Rule::GapBeginsAnew, OUTAGE, HEALTHY_KEEPS, 23);
    }
}
