//! One transaction of the flusher: measured, and the place where tests kill the server or break a rule.

use tokio::time::Instant;
use tracing::Instrument;

use super::{Batch, Entries, Flusher};
use crate::crash;
use crate::planted::{self, Bug};
use crate::storage::{ShardId, StorageError};
use crate::telemetry;

impl<E: Entries> Flusher<E> {
    /// Writes a batch in one transaction and returns the shards with a lost lease.
    ///
    /// # Errors
    ///
    /// Those of [`Storage::save`](crate::storage::Storage::save).
    pub(super) async fn save(&self, batch: &Batch) -> Result<Vec<ShardId>, StorageError> {
        let began = Instant::now();
        crash::point("before_transaction");
        if planted::is(Bug::DurableBeforeCommit) {
            self.report(batch, &[]);
        }
        let saving = self.storage.save(&batch.leases, &batch.rows);
        let result = saving.instrument(telemetry::flush_span(batch.rows.len())).await;
        telemetry::flushed(batch.rows.len(), began.elapsed(), result.is_ok());
        if result.is_ok() {
            batch.rows.iter().for_each(|row| telemetry::row_written(row.state.len()));
        }
        match result {
            Err(StorageError::Transient(_)) if planted::is(Bug::LostCommitAssumed) => Ok(Vec::new()),
            result => result,
        }
    }
}
