//! Slows down those who ask too often.

use std::time::Duration;

use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::Response;
use tokio::time::sleep;

/// How long a refusal waits. A connection has one request at a time, so it cannot ask more often than this, and the
/// connections of an address are limited, too.
const PAUSE: Duration = Duration::from_millis(50);

/// Answers 429 only after a pause. A client that asks again at once would otherwise be refused thousands of times a
/// second, and refusals cost as much as other answers.
pub(super) async fn slow_down(request: Request, next: Next) -> Response {
    in_time(next.run(request).await).await
}

async fn in_time(response: Response) -> Response {
    if response.status() == StatusCode::TOO_MANY_REQUESTS {
        sleep(PAUSE).await;
    }
    response
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse;
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_a_refusal_that_somebody_asks_too_often_waits() {
        let mut refused = Box::pin(in_time(StatusCode::TOO_MANY_REQUESTS.into_response()));
        assert!(refused.as_mut().now_or_never().is_none());
        tokio::time::advance(PAUSE).await;
        assert!(refused.as_mut().now_or_never().is_some());
        for status in [StatusCode::OK, StatusCode::UNAUTHORIZED, StatusCode::SERVICE_UNAVAILABLE] {
            assert!(in_time(status.into_response()).now_or_never().is_some(), "{status}");
        }
    }
}
