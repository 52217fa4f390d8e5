//! The three phases of an attack.

use std::time::{Duration, Instant};

/// Phases: before, during and after.
pub(super) const PHASES: usize = 3;

/// Their lengths.
#[derive(Debug, Clone, Copy)]
pub struct Lengths {
    /// Time before the attack.
    pub before: Duration,
    /// Time of the attack.
    pub during: Duration,
    /// Time after it.
    pub after: Duration,
}

/// The moments at which phases begin, and the end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moments([Instant; PHASES + 1]);

impl Moments {
    /// The first phase begins at `begin`.
    pub(super) fn from(begin: Instant, lengths: Lengths) -> Self {
        let during = begin + lengths.before;
        let after = during + lengths.during;
        Self([begin, during, after, after + lengths.after])
    }

    /// The phase at a moment; `None` before the first one and after the last one.
    pub(super) fn at(&self, moment: Instant) -> Option<usize> {
        self.0.iter().rposition(|begin| *begin <= moment).filter(|phase| *phase < PHASES)
    }

    /// The beginning of a phase.
    pub(super) fn begin(&self, phase: usize) -> Instant {
        self.0[phase]
    }

    /// The end of a phase.
    pub(super) fn end(&self, phase: usize) -> Instant {
        self.0[phase + 1]
    }

    /// The end of the last phase.
    pub(super) fn last(&self) -> Instant {
        self.0[PHASES]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_belongs_to_the_phase_that_began_last() {
        let (begin, second) = (Instant::now() + Duration::from_secs(60), Duration::from_secs(1));
        let lengths = Lengths { before: second, during: 2 * second, after: second };
        let moments = Moments::from(begin, lengths);
        let at = |tenths: u32| moments.at(begin + second * tenths / 10);
        assert_eq!(moments.at(begin - second), None);
        assert_eq!([0, 9, 10, 29, 30, 39, 40].map(at), [Some(0), Some(0), Some(1), Some(1), Some(2), Some(2), None]);
    }
}
