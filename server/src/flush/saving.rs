//! One transaction of the flusher: measured, and the place where tests kill the server or break a rule.

use castellan_protocol::Version;
use tokio::time::Instant;
use tracing::Instrument;

use super::{Batch, Entries, Flusher};
use crate::crash;
use crate::planted::{self, Bug};
use crate::storage::{ShardId, StorageError};
use crate::telemetry::{self, FlushTrace};

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
        let trace = FlushTrace::new(batch.rows.iter().map(|row| (row.id, Version::new(row.version))));
        let result = self.storage.save(&batch.leases, &batch.rows).instrument(trace.span.clone()).await;
        trace.ended(result.is_ok());
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
