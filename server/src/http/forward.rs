//! The way from a gateway to the nodes that have the characters.

use axum::response::Response;
use castellan_protocol::RejectionCode;
use futures_util::future::BoxFuture;
use tokio::sync::Semaphore;

use super::packed;
use super::problem::Problem;
use crate::storage::ShardId;

/// Bytes of all requests that wait for their answers. Each may take 64 KiB and wait for some seconds.
const WAITING_BYTES_MAX: usize = 16 * 1_024 * 1_024;

/// Sends a packed request to the owner of a shard; see [`Forward::new`].
type Ask = dyn Fn(ShardId, Vec<u8>) -> BoxFuture<'static, Option<Vec<u8>>> + Send + Sync;

/// The way to the nodes.
pub struct Forward {
    send: Box<Ask>,
    waiting_bytes: Semaphore,
}

impl Forward {
    /// `send` sends a packed request to the owner of a shard. It returns the packed answer, as
    /// [`answer_forwarded`](super::answer_forwarded) gives it; `None` if there is none. If the future is dropped, nobody
    /// waits for the answer any more.
    pub fn new(send: impl Fn(ShardId, Vec<u8>) -> BoxFuture<'static, Option<Vec<u8>>> + Send + Sync + 'static) -> Self {
        Self { send: Box::new(send), waiting_bytes: Semaphore::new(WAITING_BYTES_MAX) }
    }

    /// Sends a packed request, and returns the node's answer.
    pub(super) async fn ask(&self, shard: ShardId, request: Vec<u8>) -> Result<Response, Problem> {
        let bytes = u32::try_from(request.len()).unwrap_or(u32::MAX);
        let _waiting = self.waiting_bytes.try_acquire_many(bytes).map_err(|_| {
            Problem::new(RejectionCode::OVERLOADED, "too many requests wait for their answers right now; try again")
        })?;
        let answer = (self.send)(shard, request).await.ok_or_else(|| {
            let message =
                "the user's characters cannot be reached right now; send the same id again to learn the outcome";
            Problem::new(RejectionCode::UNAVAILABLE, message)
        })?;
        packed::unpack_response(&answer).map_err(|error| Problem::fault(&error))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use axum::http::StatusCode;
    use tokio::sync::Notify;

    use super::*;

    #[tokio::test]
    async fn waiting_requests_are_bounded_in_bytes_and_an_answer_makes_room() {
        let answered = Arc::new(Notify::new());
        let forward = Forward::new({
            let answered = Arc::clone(&answered);
            move |_, _| {
                let answered = Arc::clone(&answered);
                Box::pin(async move {
                    answered.notified().await;
                    None
                })
            }
        });
        let ask = |bytes| forward.ask(ShardId::new(7), vec![0; bytes]);
        let full = ask(WAITING_BYTES_MAX);
        tokio::pin!(full);
        assert!(futures_util::poll!(&mut full).is_pending());
        let refused = ask(1).await.expect_err("no room");
        assert_eq!((refused.status, refused.code), (StatusCode::SERVICE_UNAVAILABLE, RejectionCode::OVERLOADED));
        answered.notify_one();
        let unanswered = full.await.expect_err("no answer");
        assert_eq!(unanswered.code, RejectionCode::UNAVAILABLE);
        answered.notify_one();
        assert_eq!(ask(1).await.expect_err("no answer").code, RejectionCode::UNAVAILABLE, "there is room again");
    }
}
