//! The part of Prometheus' text format that is read here.
//!
//! Not the crate prometheus-parse: 0.2.5 silently drops each series with a brace in a label, such as the server's
//! `route="/characters/{id}"`, cuts labels at a comma, and brings chrono and regex.

/// A histogram's upper bounds, in seconds, with the count at or below each.
pub(super) type Buckets = Vec<(f64, f64)>;

/// Name, labels and value of a line; `None` for comments and invalid numbers.
pub(super) fn series(line: &str) -> Option<(&str, &str, f64)> {
    if line.starts_with('#') {
        return None;
    }
    let (series, value) = line.rsplit_once(' ')?;
    let (name, labels) = series.split_once('{').unwrap_or((series, ""));
    Some((name, labels.trim_end_matches('}'), value.parse().ok()?))
}

/// The buckets of a histogram.
pub(super) fn buckets(lines: &[(&str, &str, f64)], name: &str) -> Buckets {
    let bucket = |(series, labels, value): &(&str, &str, f64)| {
        (series.strip_suffix("_bucket")? == name).then_some(())?;
        let bound = labels.split("le=\"").nth(1)?.split('"').next()?;
        Some((bound.parse().ok()?, *value))
    };
    lines.iter().filter_map(bucket).collect()
}

/// A quantile of the values between two readings, interpolated within its bucket. Values above the last bound count as
/// that bound. `None` if there were no values.
pub(super) fn bucket_quantile(before: &Buckets, after: &Buckets, quantile: f64) -> Option<f64> {
    let came = |index: usize| after[index].1 - before.get(index).map_or(0.0, |(_, count)| *count);
    let all = came(after.len().checked_sub(1)?);
    if all <= 0.0 {
        return None;
    }
    let rank = all * quantile;
    let index = (0..after.len()).find(|index| came(*index) >= rank)?;
    let (low, below) = index.checked_sub(1).map_or((0.0, 0.0), |index| (after[index].0, came(index)));
    let high = after[index].0;
    if high.is_infinite() {
        return Some(low);
    }
    let share = (rank - below) / (came(index) - below).max(f64::MIN_POSITIVE);
    Some(low + (high - low) * share)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_a_name_labels_and_a_value() {
        assert_eq!(series("a_total 3"), Some(("a_total", "", 3.0)));
        assert_eq!(series("a{b=\"c d\",le=\"+Inf\"} 1e3"), Some(("a", "b=\"c d\",le=\"+Inf\"", 1000.0)));
        assert_eq!(series("a{route=\"/b/{id}\",c=\"d\"} 5"), Some(("a", "route=\"/b/{id}\",c=\"d\"", 5.0)));
        for line in ["", "# HELP a b 3", "a", "a b"] {
            assert_eq!(series(line), None, "{line}");
        }
    }

    #[test]
    fn a_quantile_is_interpolated_within_its_bucket() {
        let buckets = |counts: [f64; 3]| vec![(0.1, counts[0]), (0.2, counts[1]), (f64::INFINITY, counts[2])];
        let cases = [
            ([10.0, 10.0, 10.0], 0.5, Some(0.05)),
            ([0.0, 10.0, 10.0], 0.9, Some(0.19)),
            ([0.0, 0.0, 10.0], 0.5, Some(0.2)),
            ([0.0, 0.0, 0.0], 0.5, None),
        ];
        for (counts, quantile, expected) in cases {
            let found = bucket_quantile(&Vec::new(), &buckets(counts), quantile);
            assert_eq!(found.map(|value| (value * 1000.0).round() / 1000.0), expected, "{counts:?}");
        }
    }
}
