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
            "PostgreSQL's timeline has changed since the last start: a standby was promoted, or a backup was restored \
             to a point in time. Versions jump. If it was a restore, also run `castellan restored`, which ends all \
             sessions (docs/operate.md)"
        ),
        Change::Restored { sign, sessions } => tracing::warn!(
            sessions,
            "this database was restored or copied: {sign}; versions jump and all sessions end, so all players must log \
             in again"
        ),
    }
    for answer in origin.hidden {
        tracing::info!(
            answer,
            "cannot tell which PostgreSQL cluster this is, so some restores are not noticed; run `castellan restored` \
             after those (docs/operate.md)"
        );
    }
    Ok(())
}
