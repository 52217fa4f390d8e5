//! Bugs that the torture plants, to see that it catches them. Without the feature `planted` there are none.

mod bug;

pub use bug::Bug;

/// Returns true if `CASTELLAN_PLANTED` names this bug.
#[cfg(feature = "planted")]
pub fn is(bug: Bug) -> bool {
    static PLANTED: std::sync::LazyLock<String> = std::sync::LazyLock::new(|| {
        #[expect(clippy::disallowed_methods, reason = "no setting: nobody but the torture may find it")]
        std::env::var("CASTELLAN_PLANTED").unwrap_or_default()
    });
    *PLANTED == bug.name()
}

/// Nothing is planted.
#[cfg(not(feature = "planted"))]
pub const fn is(_: Bug) -> bool {
    false
}
