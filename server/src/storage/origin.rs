//! Restored databases: what must not be used a second time after a backup has replaced a database.
//!
//! A restore undoes epochs, recoveries and sessions together with everything else. The lost time has used versions that
//! clients have seen, and a server of the lost time may still be running under an epoch that the backup has not reached.
//! So both numbers jump to the time of the restore, a number that no server before it can have reached. A jump by a
//! fixed number would not do: a backup that is restored twice would give the same versions to two histories.

use super::VERSION_JUMP;

/// A database, compared with what it was at the last start on it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origin {
    /// The difference.
    pub change: Change,
    /// The database's reasons for not telling this server who it is. The server may then miss a restore, and only an
    /// operator notices it.
    pub hidden: Vec<String>,
}

/// How a database differs from what it was at the last start on it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Change {
    /// It is the same, or this is the first start.
    #[default]
    None,
    /// PostgreSQL has another timeline: a standby was promoted, or a backup was restored to a point in time. All shards
    /// jump, sessions go on: the two cases look the same, and the first must not log everybody out.
    Timeline {
        /// The timeline at the last start.
        before: i64,
        /// The present one.
        now: i64,
    },
    /// It was restored from a backup or copied. All shards jump, all sessions end.
    Restored {
        /// How it was recognised.
        sign: String,
        /// How many sessions ended.
        sessions: u64,
    },
}

/// Start of the count of seconds that epochs and recoveries jump to: 2026-01-01, in milliseconds since the Unix epoch.
const DAWN_MS: i64 = 1_767_225_600_000;

/// Last second that is believed, in 2094. A clock beyond it is wrong and must not use up the versions.
const SECONDS_MAX: i64 = 1 << 31;

const _: () = assert!(
    SECONDS_MAX.unsigned_abs() * VERSION_JUMP <= 1 << 51,
    "versions must stay below 2^53 even if somebody restores a backup with a clock that is wrong by decades"
);

/// The jump of a number that the clock has not reached, because the clock is wrong or the last restore was in the same
/// second.
///
/// Covers as many unclean takeovers in the lost time.
pub(super) const BLIND_JUMP: i64 = 4_096;

/// The number that epochs and recoveries jump to: seconds since 2026.
///
/// Between two restores both numbers grow by at most one for each start of a server, and versions by fewer than 2^20
/// a second. So a number of seconds lies above everything that was in use before.
pub(super) fn seconds(now_ms: i64) -> i64 {
    now_ms.saturating_sub(DAWN_MS).div_euclid(1_000).clamp(0, SECONDS_MAX)
}

/// An epoch or a count of recoveries after a restore.
#[cfg(any(test, feature = "faults"))]
pub(super) fn jumped(number: i64, now_ms: i64) -> i64 {
    if number < seconds(now_ms) { seconds(now_ms) } else { number + BLIND_JUMP }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jump_leads_to_the_present_second() {
        let now_ms = DAWN_MS + 30_000_000_000;
        assert_eq!(jumped(0, now_ms), 30_000_000);
        assert_eq!(jumped(29_999_999, now_ms), 30_000_000);
        assert_eq!(jumped(0, now_ms + 999), 30_000_000);
        assert_eq!(jumped(0, now_ms + 1_000), 30_000_001, "a second restore of the same backup");
    }

    #[test]
    fn a_jump_passes_a_number_that_the_clock_has_not_reached() {
        for now_ms in [i64::MIN, 0, DAWN_MS, DAWN_MS + 7_000] {
            assert_eq!(jumped(7, now_ms), 7 + BLIND_JUMP, "{now_ms}");
        }
    }

    #[test]
    fn a_clock_that_is_wrong_by_centuries_leaves_room_for_versions() {
        assert_eq!(jumped(3, i64::MAX), SECONDS_MAX);
        let versions = jumped(jumped(3, i64::MAX), i64::MAX).unsigned_abs() * VERSION_JUMP;
        assert!(versions < 1 << 52, "the wire ends at 2^53");
    }
}
