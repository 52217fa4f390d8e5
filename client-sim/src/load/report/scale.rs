//! Axes: positions of values, ticks, and formats.

/// Most decades of a logarithmic axis, below the highest value.
const DECADES_MAX: f64 = 6.0;

/// Maps values to positions from 0 to 1.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Scale {
    /// From 0 to a round number; the second field is the distance between ticks.
    Linear(f64, f64),
    /// From one power of ten to another, given as exponents.
    Logarithmic(f64, f64),
}

impl Scale {
    /// A scale that fits all values.
    pub(super) fn over(values: impl Iterator<Item = f64>, logarithmic: bool) -> Self {
        let positive = values.filter(|value| value.is_finite() && *value > 0.0);
        let (low, high) = positive.fold((f64::MAX, 0.0_f64), |(low, high), value| (low.min(value), high.max(value)));
        let high = if high > 0.0 { high } else { 1.0 };
        if logarithmic {
            let top = high.log10().ceil();
            let bottom = low.min(high).log10().floor().max(top - DECADES_MAX);
            return Self::Logarithmic(bottom.min(top - 1.0), top);
        }
        let rough = high / 4.0;
        let power = 10_f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 2.5, 5.0, 10.0].map(|factor| factor * power).into_iter().find(|step| *step >= rough);
        let step = step.unwrap_or(10.0 * power);
        Self::Linear((high / step).ceil() * step, step)
    }

    /// The position of a value.
    pub(super) fn position(&self, value: f64) -> f64 {
        let share = match self {
            Self::Linear(top, _) => value / top,
            Self::Logarithmic(bottom, top) => (value.max(f64::MIN_POSITIVE).log10() - bottom) / (top - bottom),
        };
        share.clamp(0.0, 1.0)
    }

    /// The values at the ticks.
    pub(super) fn ticks(&self) -> Vec<f64> {
        match self {
            Self::Linear(top, step) => (0..=(top / step).round() as u32).map(|tick| f64::from(tick) * step).collect(),
            Self::Logarithmic(bottom, top) => {
                let decades = (*bottom as i32..=*top as i32).map(|decade| 10_f64.powi(decade));
                // With few decades also labels half decades.
                let between = if top - bottom <= 3.0 { [2.0, 5.0].as_slice() } else { [].as_slice() };
                let highest = 10_f64.powf(*top) * 1.001;
                let tick =
                    |decade: f64| std::iter::once(decade).chain(between.iter().map(move |factor| factor * decade));
                decades.flat_map(tick).filter(|tick| *tick <= highest).collect()
            }
        }
    }
}

/// The ticks of a time axis with this length in seconds: eight at most.
pub(super) fn time_ticks(end_seconds: f64) -> Vec<f64> {
    let steps =
        [1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1_200.0, 1_800.0, 3_600.0, 7_200.0, 14_400.0];
    let step = steps.into_iter().find(|step| end_seconds / step <= 8.0).unwrap_or(28_800.0);
    (0..=(end_seconds / step).floor() as u32).map(|tick| f64::from(tick) * step).collect()
}

/// Formats a time since the start.
pub(super) fn time(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match whole {
        0..120 => format!("{whole} s"),
        120..7_200 => format!("{}:{:02} min", whole / 60, whole % 60),
        _ => format!("{}:{:02} h", whole / 3_600, whole % 3_600 / 60),
    }
}

/// Formats a number with a readable number of digits.
pub(super) fn number(value: f64) -> String {
    let size = value.abs();
    let digits = match size {
        _ if size >= 99.95 || size == 0.0 => 0,
        _ if size >= 9.995 => 1,
        _ if size >= 0.0995 => 2,
        _ => 3,
    };
    let text = format!("{value:.digits$}");
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let fraction = fraction.trim_end_matches('0');
    let mut grouped = String::new();
    for (index, digit) in whole.char_indices() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) && !grouped.ends_with('-') {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    if fraction.is_empty() { grouped } else { format!("{grouped}.{fraction}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linear_axes_begin_at_nought_and_end_at_a_round_number() {
        for (highest, top, ticks) in
            [(0.0, 1.0, 5), (7.0, 8.0, 5), (1234.0, 1500.0, 4), (0.031, 0.04, 5), (100.0, 100.0, 5)]
        {
            let scale = Scale::over([0.0, highest].into_iter(), false);
            let all = scale.ticks();
            assert_eq!((all[0], all.len()), (0.0, ticks), "{highest}: {all:?}");
            assert!((all[all.len() - 1] - top).abs() < 1e-9, "{highest}: {all:?}");
            assert_eq!((scale.position(0.0), scale.position(top)), (0.0, 1.0));
        }
    }

    #[test]
    fn logarithmic_axes_span_whole_decades() {
        let scale = Scale::over([0.3, 40.0, 0.0].into_iter(), true);
        assert_eq!(scale, Scale::Logarithmic(-1.0, 2.0));
        assert_eq!(scale.ticks(), [0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0]);
        assert_eq!((scale.position(0.0), scale.position(0.1), scale.position(100.0)), (0.0, 0.0, 1.0));
        assert_eq!(Scale::over([5.0].into_iter(), true), Scale::Logarithmic(0.0, 1.0));
        assert_eq!(Scale::over([1.0].into_iter(), true), Scale::Logarithmic(-1.0, 0.0));
        assert_eq!(Scale::over([1e-9, 1e3].into_iter(), true), Scale::Logarithmic(-3.0, 3.0));
    }

    #[test]
    fn axes_of_time_have_few_round_ticks() {
        for end in [1.0, 7.0, 20.0, 61.0, 600.0, 5_000.0, 86_400.0] {
            let ticks = time_ticks(end);
            assert!((2..=9).contains(&ticks.len()), "{end}: {ticks:?}");
        }
        assert_eq!([time(5.0), time(119.0), time(125.0), time(7_260.0)], ["5 s", "119 s", "2:05 min", "2:01 h"]);
    }

    #[test]
    fn numbers_are_short() {
        let cases = [
            (0.0, "0"),
            (0.004, "0.004"),
            (0.25, "0.25"),
            (1.5, "1.5"),
            (12.34, "12.3"),
            (999.6, "1,000"),
            (1_234_567.0, "1,234,567"),
            (-1_000.0, "-1,000"),
            (-100.0, "-100"),
        ];
        for (value, text) in cases {
            assert_eq!(number(value), text);
        }
    }
}
