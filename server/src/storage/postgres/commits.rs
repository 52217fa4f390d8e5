//! Whether something that was written or read would survive a failover.
//!
//! With `synchronous_standby_names` a commit waits until a standby has it. Others see its rows before that in two cases:
//! PostgreSQL was restarted while the commit waited, or somebody cancelled the wait. In the second case the commit even
//! succeeds, with no more than a warning. If the standby is promoted then, such rows are gone.
//!
//! So nothing is believed before a later commit has waited successfully. The log is one sequence: a standby that has a
//! commit has everything that was visible before it. Calls that lock a lease write to the log anyway, and wait at their
//! own commit. The others are followed by [`confirm`].
//!
//! Source: PostgreSQL documentation, section 27.2.8, "Synchronous Replication".

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::LazyLock;
use std::time::Duration;

use sqlx::postgres::PgConnection;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Dispatch, Event, Level, Metadata, Subscriber, dispatcher};

use crate::planted::{self, Bug};
use crate::storage::StorageError;

/// Begins a transaction that locks and reads. Without synchronous standbys its commit need not wait for anything, not
/// even for the disk: it writes only locks. Both statements take one round trip.
const BEGIN_READING: &str = "BEGIN; SELECT set_config('synchronous_commit', CASE \
     current_setting('synchronous_standby_names') WHEN '' THEN 'off' ELSE current_setting('synchronous_commit') END, true)";

/// The same without the wait for a standby, which is a planted bug: [`Bug::BelieveTheVisibleRow`].
const BEGIN_BELIEVING: &str = "BEGIN; SET LOCAL synchronous_commit = off";

/// Writes a record to the log and commits it, if there are synchronous standbys.
const CONFIRM: &str = "SELECT CASE WHEN current_setting('synchronous_standby_names') <> '' \
     THEN pg_logical_emit_message(true, 'castellan', '')::text END";

/// Cancels what has waited longer than `$1` seconds for a standby in the name of this process.
const CANCEL: &str = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep' \
     AND usename = current_user AND application_name = current_setting('application_name') \
     AND clock_timestamp() - xact_start >= make_interval(secs => $1)";

/// The statement that begins a transaction of a call that only locks and reads.
pub(super) fn begin_reading() -> &'static str {
    if planted::is(Bug::BelieveTheVisibleRow) { BEGIN_BELIEVING } else { BEGIN_READING }
}

/// Returns once everything that this connection has seen would survive a failover.
///
/// # Errors
///
/// `Transient`: the wait was cancelled, so nothing is known.
pub(super) async fn confirm(connection: &mut PgConnection) -> Result<(), StorageError> {
    if planted::is(Bug::BelieveTheVisibleRow) {
        return Ok(());
    }
    let (done, warned) = listen(sqlx::query(CONFIRM).execute(connection)).await;
    done?;
    if warned {
        let text = "the wait for the standby was cancelled; the commit may be lost at a failover".to_owned();
        return Err(StorageError::Transient(text));
    }
    Ok(())
}

/// Cancels commits of this process that nobody waits for any more, because their calls were given up.
///
/// Such a commit would hold its locks and its connection until a standby comes back. Its rows become visible now, but
/// whoever reads them waits for the standby.
pub(super) async fn cancel_abandoned(connection: &mut PgConnection, older: Duration) -> Result<(), StorageError> {
    sqlx::query(CANCEL).bind(older.as_secs_f64()).execute(connection).await?;
    Ok(())
}

/// Runs a call, and tells whether PostgreSQL warned of something meanwhile.
///
/// sqlx hands warnings to nobody but the log, so a subscriber of our own listens to it while the call is polled.
pub(super) async fn listen<T>(call: impl Future<Output = T>) -> (T, bool) {
    let mut call = pin!(call);
    let mut warned = false;
    let outcome = poll_fn(|cx| {
        WARNED.set(false);
        let poll = dispatcher::with_default(&EAR, || call.as_mut().poll(cx));
        warned |= WARNED.get();
        poll
    })
    .await;
    (outcome, warned && !planted::is(Bug::IgnoreTheWarning))
}

/// The target of sqlx's log events about notices and warnings.
const NOTICES: &str = "sqlx::postgres::notice";

static EAR: LazyLock<Dispatch> = LazyLock::new(|| Dispatch::new(Ear));

thread_local! {
    /// Set when the call that this thread polls was warned.
    static WARNED: Cell<bool> = const { Cell::new(false) };
}

/// Hears PostgreSQL's warnings, and nothing else.
struct Ear;

impl Subscriber for Ear {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.enabled(metadata) { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == NOTICES && *metadata.level() <= Level::WARN
    }

    fn event(&self, _: &Event<'_>) {
        WARNED.set(true);
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}
