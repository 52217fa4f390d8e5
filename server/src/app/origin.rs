//! A database that was restored since the last start.

use std::sync::Arc;

use anyhow::Context as _;

use crate::clock::Clock;
use crate::storage::{Change, Storage};

/// Finds out if the database was restored, so that nothing of the lost time is used a second time, and says so.
///
/// Runs before the sessions' keys are read and before the shards are taken.
pub(super) async fn recognise(storage: &Arc<dyn Storage>, clock: &Clock) -> anyhow::Result<()> {
    let origin = storage.recognise(clock()).await.context("cannot find out if the database was restored")?;
    match origin.change {
        Change::None => {}
        Change::Timeline { before, now } => tracing::warn!(
            before,
            now,
            "PostgreSQL has another timeline than at the last start: a standby was promoted, or a backup was restored \
             to a point in time; versions jump; after a restore run `castellan restored` as well, which ends all \
             sessions (docs/operate.md)"
        ),
        Change::Restored { sign, sessions } => tracing::warn!(
            sessions,
            "this database was restored or copied: {sign}; versions jump and all sessions end, so players log in again"
        ),
    }
    for answer in origin.hidden {
        tracing::info!(
            answer,
            "the database does not tell which cluster it is; after some restores `castellan restored` is needed \
             (docs/operate.md)"
        );
    }
    Ok(())
}
