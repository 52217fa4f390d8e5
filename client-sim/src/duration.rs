//! Durations on the command line.

use std::time::Duration;

/// Longest duration that an option accepts.
const DURATION_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Reads a duration such as `500ms`, `1.5s` or `1h 30m`.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text)
        .map_err(|error| format!("`{text}` is not a duration such as 500ms, 30s or 2m: {error}"))?;
    if duration <= DURATION_MAX { Ok(duration) } else { Err(format!("`{text}` is longer than a day")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_has_a_unit_and_is_a_day_at_most() {
        let ms = |text| parse_duration(text).map(|duration| duration.as_millis()).ok();
        for (text, expected) in [("500ms", 500), ("30s", 30_000), ("1.5s", 1_500), ("2m", 120_000), ("1d", 86_400_000)]
        {
            assert_eq!(ms(text), Some(expected), "{text}");
        }
        for text in ["30", "s", "-1s", "25h", ""] {
            assert_eq!(ms(text), None, "{text}");
        }
    }
}
