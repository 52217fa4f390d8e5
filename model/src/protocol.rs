//! The settings of a search: its rules, its bounds, its goal.

use crate::rules::Rules;
use crate::scenario::Scenario;

/// The protocol with some rules and bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Protocol {
    /// The rules in force.
    pub rules: Rules,
    /// The bounds.
    pub scenario: Scenario,
    /// The goal of the search.
    pub quest: Quest,
}

/// The goal of a search.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quest {
    /// Find a state with a broken promise.
    Promises,
    /// Find a state for each milestone.
    Milestones,
}
