//! What became of one intent.

use std::sync::Arc;

use castellan_protocol::{Character, RejectionCode, RequestId, Version};
use tokio::sync::watch;

/// What is known of an intent.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// Nothing yet.
    Pending,
    /// It is applied; this is the state at or after it. It is sent again should the server lose it before it is stored.
    Applied(Arc<Character>),
    /// It is in the database, at or before this version.
    Durable(Version),
    /// It was made on another state than the present one, and is given up.
    Refused(Arc<Character>),
    /// The server turned it down.
    Rejected {
        /// Why.
        code: RejectionCode,
        /// Why, for a person.
        message: String,
    },
    /// The client was closed before; it may have been applied.
    Unknown,
}

impl Outcome {
    /// Whether nothing more will be heard.
    pub fn is_final(&self) -> bool {
        !matches!(self, Self::Pending | Self::Applied(_))
    }
}

/// Follows one intent. Cheap to clone, and free to drop: the intent goes on.
#[derive(Debug, Clone)]
pub struct IntentHandle {
    pub(crate) id: RequestId,
    pub(crate) outcome: watch::Receiver<Outcome>,
}

impl IntentHandle {
    /// The intent's request id.
    pub fn id(&self) -> RequestId {
        self.id
    }

    /// What is known now.
    pub fn outcome(&self) -> Outcome {
        self.outcome.borrow().clone()
    }

    /// Waits for the first answer that is not to be tried again.
    pub async fn answered(&mut self) -> Outcome {
        self.wait(|outcome| *outcome != Outcome::Pending).await
    }

    /// Waits until nothing more will be heard: durable, refused, rejected or unknown.
    pub async fn settled(&mut self) -> Outcome {
        self.wait(Outcome::is_final).await
    }

    async fn wait(&mut self, done: impl FnMut(&Outcome) -> bool) -> Outcome {
        match self.outcome.wait_for(done).await {
            Ok(outcome) => outcome.clone(),
            Err(_) => Outcome::Unknown,
        }
    }
}
