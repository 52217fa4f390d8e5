//! The rounds of one system under one load, and their medians.

use serde::Serialize;

use crate::measure::Measured;

/// The rounds of one system under one load.
#[derive(Debug, Clone, Serialize)]
pub struct Series {
    /// The system.
    pub system: &'static str,
    /// The load, such as `64 × 16`.
    pub load: String,
    /// All rounds, including those limited by the load.
    pub rounds: Vec<Measured>,
    /// The medians of the rounds that count; `None` if the load was the bottleneck in most of them.
    pub median: Option<Measured>,
}

impl Series {
    /// The rounds of one system with their medians.
    pub fn new(system: &'static str, load: String, rounds: Vec<Measured>) -> Self {
        let counting: Vec<&Measured> = rounds.iter().filter(|round| !round.is_of_the_load()).collect();
        let median = (counting.len() * 2 > rounds.len()).then(|| median(&counting));
        Self { system, load, rounds, median }
    }

    /// The ratio of a figure to another system's: the median over pairs of rounds that ran one after another, so that a
    /// slowing machine does not matter. `None` if one of the two has no median.
    pub fn ratio_to(&self, other: &Self, figure: impl Fn(&Measured) -> f64) -> Option<f64> {
        let (ours, theirs) = (self.median.as_ref()?, other.median.as_ref()?);
        if self.rounds.len() != other.rounds.len() {
            // A round failed, so the pairs are unknown.
            return Some(figure(ours) / figure(theirs));
        }
        let both = self.rounds.iter().zip(&other.rounds).filter(|(a, b)| !a.is_of_the_load() && !b.is_of_the_load());
        let ratios: Vec<f64> = both.map(|(a, b)| figure(a) / figure(b)).collect();
        Some(if ratios.is_empty() { figure(ours) / figure(theirs) } else { middle(ratios) })
    }
}

/// The median of some figures.
pub(crate) fn middle(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    let middle = figures.len() / 2;
    if figures.len().is_multiple_of(2) { (figures[middle - 1] + figures[middle]) / 2.0 } else { figures[middle] }
}

fn median(rounds: &[&Measured]) -> Measured {
    let of = |figure: fn(&Measured) -> f64| middle(rounds.iter().map(|round| figure(round)).collect());
    Measured {
        rate: of(|round| round.rate),
        crowd_rate: of(|round| round.crowd_rate),
        p50_ms: of(|round| round.p50_ms),
        p99_ms: of(|round| round.p99_ms),
        p999_ms: of(|round| round.p999_ms),
        lateness_p99_ms: of(|round| round.lateness_p99_ms),
        server_cpu: of(|round| round.server_cpu),
        cpu_of_each: (0..rounds[0].cpu_of_each.len())
            .map(|process| middle(rounds.iter().map(|round| round.cpu_of_each[process]).collect()))
            .collect(),
        load_cpu: of(|round| round.load_cpu),
        server_core: of(|round| round.server_core),
        load_core: of(|round| round.load_core),
        intent_bytes: rounds[0].intent_bytes,
        answer_bytes: of(|round| round.answer_bytes),
        notices: of(|round| round.notices),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_limited_by_the_load_do_not_count() {
        let rounds = vec![Measured::of_rate(1.0, 0.5), Measured::of_rate(9.0, 1.0), Measured::of_rate(3.0, 0.5)];
        let median = Series::new("a", String::new(), rounds).median.expect("two of three count");
        assert_eq!(median.rate, 2.0);
        let rounds = vec![Measured::of_rate(1.0, 0.5), Measured::of_rate(9.0, 1.0), Measured::of_rate(3.0, 0.99)];
        assert!(Series::new("a", String::new(), rounds).median.is_none());
    }

    #[test]
    fn a_slowing_machine_does_not_change_a_ratio() {
        let series = |rates: &[f64]| {
            Series::new("a", String::new(), rates.iter().map(|rate| Measured::of_rate(*rate, 0.5)).collect())
        };
        let ratio = |ours: &[f64], theirs: &[f64]| series(ours).ratio_to(&series(theirs), |measured| measured.rate);
        assert_eq!(ratio(&[80.0, 40.0, 60.0], &[100.0, 50.0, 60.0]), Some(0.8));
        assert_eq!(ratio(&[80.0, 40.0], &[100.0, 60.0, 50.0]), Some(1.0), "medians, if a round is missing");
        assert_eq!(ratio(&[], &[100.0]), None);
    }
}
