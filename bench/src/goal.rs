//! A goal and its measured figure.

use serde::Serialize;

use crate::number::thousands;

/// A goal and its measured figure.
#[derive(Debug, Clone, Serialize)]
pub struct Goal {
    /// The subject.
    pub what: String,
    /// The wanted figure.
    pub wanted: f64,
    /// The measured figure; `None` if it could not be measured.
    pub measured: Option<f64>,
    /// True if less is better.
    pub is_bound: bool,
}

impl Goal {
    /// A goal reached by `wanted` or more.
    pub(crate) fn at_least(what: String, wanted: f64, measured: Option<f64>) -> Self {
        Self { what, wanted, measured, is_bound: false }
    }

    /// A goal reached by `wanted` or less.
    pub(crate) fn at_most(what: String, wanted: f64, measured: Option<f64>) -> Self {
        Self { what, wanted, measured, is_bound: true }
    }

    /// The reached share of the goal: 1 or more is a success.
    pub fn reached(&self) -> Option<f64> {
        self.measured.map(|measured| match self.is_bound {
            _ if measured == self.wanted => 1.0,
            true => self.wanted / measured,
            false => measured / self.wanted,
        })
    }

    /// A row of the table of goals.
    pub fn row(&self) -> String {
        let sign = if self.is_bound { "≤" } else { "≥" };
        let shown = |figure: f64| if figure >= 1_000.0 { thousands(figure) } else { format!("{figure:.2}") };
        let (measured, reached) = match (self.measured, self.reached()) {
            (Some(measured), Some(reached)) => {
                let verdict = if reached >= 1.0 { "yes" } else { "no" };
                (shown(measured), format!("{verdict}, {reached:.2}"))
            }
            _ => ("not measured".to_owned(), "–".to_owned()),
        };
        format!("| {} | {sign} {} | {measured} | {reached} |\n", self.what, shown(self.wanted))
    }
}
