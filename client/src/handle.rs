//! The outcome of one intent.

use std::sync::Arc;

use castellan_protocol::{RejectionCode, RequestId, Version};
use tokio::sync::watch;

/// The known outcome of an intent.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome<C> {
    /// Not answered yet.
    Pending,
    /// Applied; holds the state at or after the intent. The client sends it again if the server loses it.
    Applied(Arc<C>),
    /// In the database, at or before this version.
    Durable(Version),
    /// Dropped, because it was based on an outdated state. Holds the newest known state.
    Refused(Arc<C>),
    /// The server refused it.
    Rejected {
        /// The code.
        code: RejectionCode,
        /// The message for people.
        message: String,
    },
    /// The client was closed first; the intent may have been applied.
    Unknown,
}

impl<C> Outcome<C> {
    /// Returns true if the outcome will not change any more.
    pub fn is_final(&self) -> bool {
        !matches!(self, Self::Pending | Self::Applied(_))
    }
}

/// Follows one intent. Cheap to clone. Dropping it does not cancel the intent.
#[derive(Debug, Clone)]
pub struct IntentHandle<C> {
    pub(crate) id: RequestId,
    pub(crate) outcome: watch::Receiver<Outcome<C>>,
}

impl<C: Clone + PartialEq> IntentHandle<C> {
    /// The intent's request id.
    pub fn id(&self) -> RequestId {
        self.id
    }

    /// The outcome known so far.
    pub fn outcome(&self) -> Outcome<C> {
        self.outcome.borrow().clone()
    }

    /// Waits for the first answer that the client does not retry.
    pub async fn answered(&mut self) -> Outcome<C> {
        self.wait(|outcome| !matches!(outcome, Outcome::Pending)).await
    }

    /// Waits for the final outcome: durable, refused, rejected or unknown.
    pub async fn settled(&mut self) -> Outcome<C> {
        self.wait(Outcome::is_final).await
    }

    async fn wait(&mut self, done: impl FnMut(&Outcome<C>) -> bool) -> Outcome<C> {
        match self.outcome.wait_for(done).await {
            Ok(outcome) => outcome.clone(),
            Err(_) => Outcome::Unknown,
        }
    }
}
