//! Who did what: a log line and a row in the database for each login, revocation, command of an operator, and write of
//! the role `game`.
//!
//! Nobody waits for it. [`Audit::record`] queues an event; a task writes its log line, another one writes rows in
//! batches. While the database is away, log lines go on and rows wait. Every queue is bounded: what does not fit is
//! dropped and counted. The last quarter of a queue is for others than the role `game`, which may write thousands of
//! times a second.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use castellan_protocol::{CharacterId, SessionId, UserId};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tracing::field;

use crate::clock::{Clock, Entropy};
use crate::storage::{AuditRow, Storage, StorageError};
use crate::telemetry::{self, IntentOutcome, TraceId};

/// Most events that wait for their log line, at about 100 bytes each.
const EVENTS_MAX: usize = 16_384;

/// Most rows that wait for the database, at about 300 bytes each.
const ROWS_MAX: usize = 65_536;

/// Most rows in one transaction.
const BATCH_ROWS_MAX: usize = 500;

/// How long the first row of a batch waits for others.
const GATHER: Duration = Duration::from_millis(200);

/// First and longest pause after a batch that the database did not take.
const BACKOFF_MIN: Duration = Duration::from_millis(500);
const BACKOFF_MAX: Duration = Duration::from_secs(30);

/// The one who acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Actor {
    /// An account.
    Account(UserId),
    /// Somebody at the command line of the server's machine.
    Operator,
    /// Somebody who has not logged in.
    Stranger,
    /// The server itself.
    Server,
}

/// The thing that is acted on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// An account.
    Account(UserId),
    /// A session.
    Session(SessionId),
    /// A character; `None` while it is being created.
    Character(UserId, Option<CharacterId>),
    /// Something with a name, such as a file. Must not be a secret.
    Named(String),
    /// Nothing, or nothing that may be written down: an unknown account name may be a password.
    Nothing,
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was done.
    Done,
    /// It was refused.
    Refused,
    /// Too many failed before, so it was not even tried.
    LockedOut,
    /// The server or its database failed.
    Failed,
    /// An intent was answered.
    Intent(IntentOutcome),
}

/// Something that is recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The one who acts.
    pub actor: Actor,
    /// The address of the client, if there is one.
    pub address: Option<IpAddr>,
    /// The thing that is acted on.
    pub target: Target,
    /// The act, such as `login` or a kind of action.
    pub action: &'static str,
    /// How it ended.
    pub outcome: Outcome,
}

/// Takes events from all who act.
#[derive(Clone)]
pub struct Audit {
    events: mpsc::Sender<(i64, Event, Option<TraceId>)>,
    clock: Clock,
}

impl Audit {
    /// Starts the tasks behind it. They end after `stopped` says so, when everything is written or cannot be.
    pub fn start(
        storage: Arc<dyn Storage>,
        clock: Clock,
        entropy: Entropy,
        stopped: watch::Receiver<bool>,
    ) -> (Self, JoinHandle<()>) {
        let (events, for_log) = mpsc::channel(EVENTS_MAX);
        let (rows, for_database) = mpsc::channel(ROWS_MAX);
        tokio::spawn(log(for_log, rows, entropy, stopped.clone()));
        let storing = tokio::spawn(store(for_database, storage, stopped));
        (Self { events, clock }, storing)
    }

    /// Records an event. Never waits.
    pub fn record(&self, event: Event) {
        let at_ms = (self.clock)();
        offer(&self.events, EVENTS_MAX, event.is_frequent(), (at_ms, event, telemetry::current_trace()));
    }
}

impl Event {
    /// Returns true for events that the role `game` makes many of.
    fn is_frequent(&self) -> bool {
        matches!(self.target, Target::Character(..))
    }

    fn row(&self, at_ms: i64, entropy: &Entropy) -> AuditRow {
        let mut random = [0; 10];
        entropy(&mut random);
        let id_ms = u64::try_from(at_ms).unwrap_or(0);
        AuditRow {
            id: uuid::Builder::from_unix_timestamp_millis(id_ms, &random).into_uuid(),
            at_ms,
            actor: self.actor.to_string(),
            address: self.address.map(|address| address.to_canonical().to_string()),
            target: self.target.to_string(),
            action: self.action.to_owned(),
            outcome: self.outcome.to_string(),
        }
    }
}

/// Records the command of an operator: at once, because the process ends with the command.
///
/// The command is done, or not, whatever happens to its row.
pub async fn record_command(storage: &dyn Storage, clock: &Clock, entropy: &Entropy, event: &Event) {
    let row = event.row(clock(), entropy);
    write_line(&row, None);
    if let Err(error) = storage.add_audit(std::slice::from_ref(&row)).await {
        tracing::warn!(%error, "the command is not recorded in the table audit, only in this log");
    }
}

/// Puts something into a queue, or counts it as dropped.
fn offer<T>(queue: &mpsc::Sender<T>, max: usize, is_frequent: bool, item: T) {
    let is_reserved = is_frequent && queue.capacity() < max / 4;
    if is_reserved || queue.try_send(item).is_err() {
        telemetry::audit_dropped(1);
    }
}

/// Writes a log line for each event, and hands its row on.
async fn log(
    mut events: mpsc::Receiver<(i64, Event, Option<TraceId>)>,
    rows: mpsc::Sender<AuditRow>,
    entropy: Entropy,
    mut stopped: watch::Receiver<bool>,
) {
    loop {
        let event = tokio::select! {
            biased;
            event = events.recv() => event,
            // An error means that nobody can say so any more.
            _ = stopped.wait_for(|stopped| *stopped), if !events.is_closed() => {
                events.close();
                continue;
            }
        };
        let Some((at_ms, event, trace)) = event else { return };
        let row = event.row(at_ms, &entropy);
        write_line(&row, trace);
        offer(&rows, ROWS_MAX, event.is_frequent(), row);
    }
}

/// The trace is that of the request or intent, if it is traced.
fn write_line(row: &AuditRow, trace: Option<TraceId>) {
    tracing::info!(
        target: "audit",
        actor = row.actor,
        address = row.address,
        on = row.target,
        action = row.action,
        outcome = row.outcome,
        trace_id = trace.map(field::display),
        "audit"
    );
}

/// Writes rows to the database, in batches, until no more can come.
async fn store(mut rows: mpsc::Receiver<AuditRow>, storage: Arc<dyn Storage>, mut stopped: watch::Receiver<bool>) {
    let mut batch = Vec::new();
    while let Some(first) = rows.recv().await {
        batch.push(first);
        pause(GATHER, &mut stopped).await;
        while batch.len() < BATCH_ROWS_MAX
            && let Ok(row) = rows.try_recv()
        {
            batch.push(row);
        }
        let mut backoff = BACKOFF_MIN;
        loop {
            match storage.add_audit(&batch).await {
                Ok(()) => break,
                Err(StorageError::Transient(_)) if !*stopped.borrow() => {
                    pause(backoff, &mut stopped).await;
                    backoff = (backoff * 2).min(BACKOFF_MAX);
                }
                Err(error) => {
                    tracing::error!(%error, rows = batch.len(), "rows are missing in the table audit; the log has them");
                    telemetry::audit_dropped(batch.len());
                    break;
                }
            }
        }
        batch.clear();
    }
}

/// Waits, but not longer than until the server stops.
async fn pause(time: Duration, stopped: &mut watch::Receiver<bool>) {
    // Neither outcome matters.
    let _ = tokio::time::timeout(time, stopped.wait_for(|stopped| *stopped)).await;
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Account(user) => write!(f, "{user}"),
            Self::Operator => f.write_str("operator"),
            Self::Stranger => f.write_str("stranger"),
            Self::Server => f.write_str("server"),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Account(user) => write!(f, "account {user}"),
            Self::Session(session) => write!(f, "session {session}"),
            Self::Character(owner, Some(character)) => write!(f, "character {character} of {owner}"),
            Self::Character(owner, None) => write!(f, "new character of {owner}"),
            Self::Named(name) => f.write_str(name),
            Self::Nothing => Ok(()),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Done => "done",
            Self::Refused => "refused",
            Self::LockedOut => "locked_out",
            Self::Failed => "failed",
            Self::Intent(IntentOutcome::Applied) => "applied",
            Self::Intent(IntentOutcome::Duplicate) => "duplicate",
            Self::Intent(IntentOutcome::Conflict) => "conflict",
            Self::Intent(IntentOutcome::Rejected(code)) => code.as_str(),
        })
    }
}

#[cfg(test)]
mod tests;
