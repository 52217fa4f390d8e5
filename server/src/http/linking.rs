//! A gateway's upgrade to a link: proves who both are, then hands over the bare connection.

use std::collections::HashMap;
use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::time::Instant;
use uuid::Uuid;

use super::connection::Connection;
use super::problem::Problem;
use super::reached::Reached;
use crate::clock::Entropy;
use crate::link::{self, NONCE_BYTES, NoLink, Secret, Terms, UPGRADE, Unproven};
use crate::socket::Line;

/// Shortest time between two lines in the log for one reason.
const QUIET: Duration = Duration::from_secs(60);

/// Receives the links that are meant for this process.
pub struct Linking {
    process: Uuid,
    secret: Secret,
    entropy: Entropy,
    accept: Box<dyn Fn(Line, Vec<u8>) -> bool + Send + Sync>,
    /// When each reason was last logged, and how often it has happened since.
    logged: Mutex<HashMap<&'static str, (Instant, u64)>>,
}

impl Linking {
    /// `accept` takes the connection and the bytes that were read after the handshake. It returns false if no link can
    /// be taken right now. It may be called on any thread.
    pub fn new(
        process: Uuid,
        secret: Secret,
        entropy: Entropy,
        accept: impl Fn(Line, Vec<u8>) -> bool + Send + Sync + 'static,
    ) -> Self {
        Self { process, secret, entropy, accept: Box::new(accept), logged: Mutex::default() }
    }

    /// Logs why there is no link, at most once a minute for each reason.
    fn log(&self, reason: &'static str, error: &dyn Display) {
        if let Some(count) = self.count(reason, Instant::now()) {
            tracing::warn!(%error, count, "a gateway opened no link");
        }
    }

    /// Counts a reason. Returns how often it has happened since its last line, if it is time for one.
    fn count(&self, reason: &'static str, now: Instant) -> Option<u64> {
        let mut logged = self.logged.lock();
        match logged.get_mut(reason) {
            Some((at, count)) if now < *at + QUIET => {
                *count += 1;
                None
            }
            news => {
                let before = news.map_or(0, |(_, count)| *count);
                logged.insert(reason, (now, 0));
                Some(before + 1)
            }
        }
    }
}

/// `GET /link`.
pub(super) async fn upgrade(linking: Arc<Linking>, mut request: Request) -> Response {
    let headers = request.headers();
    let asked = link::Request::read(|name| headers.get(name)?.to_str().ok());
    let binding = request.extensions().get::<Reached>().and_then(|reached| reached.tls);
    let mut nonce = [0; NONCE_BYTES];
    (linking.entropy)(&mut nonce);
    let terms = match asked.and_then(|asked| asked.accept(link::VERSIONS, linking.process, nonce, binding)) {
        Ok(terms) => terms,
        Err(error) => {
            linking.log(if error == NoLink::OtherProcess { "other process" } else { "request" }, &error);
            return refusal(error);
        }
    };
    let response = switching(terms.answer(&linking.secret));
    tokio::spawn(receive(linking, hyper::upgrade::on(&mut request), terms));
    response
}

fn refusal(error: NoLink) -> Response {
    let status = match error {
        NoLink::OtherProcess => StatusCode::MISDIRECTED_REQUEST,
        NoLink::NoUpgrade | NoLink::NoCommonVersion { .. } => StatusCode::UPGRADE_REQUIRED,
        NoLink::Malformed(_) => StatusCode::BAD_REQUEST,
    };
    let mut response = Problem::malformed(error.to_string()).with_status(status).into_response();
    if status == StatusCode::UPGRADE_REQUIRED {
        name_the_upgrade(&mut response);
        let spoken = HeaderValue::try_from(link::range(link::VERSIONS)).expect("digits and a hyphen");
        response.headers_mut().insert(link::header::VERSIONS, spoken);
    }
    response
}

fn switching(fields: [(&'static str, String); 3]) -> Response {
    let mut response = StatusCode::SWITCHING_PROTOCOLS.into_response();
    name_the_upgrade(&mut response);
    for (name, value) in fields {
        response.headers_mut().insert(name, HeaderValue::try_from(value).expect("digits and Base64 are ASCII"));
    }
    response
}

fn name_the_upgrade(response: &mut Response) {
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static(UPGRADE));
}

/// Takes the bare connection out of HTTP, waits for the gateway's proof, and hands the connection over.
async fn receive(linking: Arc<Linking>, on_upgrade: OnUpgrade, terms: Terms) {
    // An error means that the gateway has gone before it got its answer.
    let Ok(upgraded) = on_upgrade.await else { return };
    let Ok(parts) = upgraded.downcast::<TokioIo<Connection>>() else {
        tracing::error!("an upgraded connection does not belong to this listener; dropped it");
        return;
    };
    let mut connection = parts.io.into_inner();
    // Copied, so that the bytes do not keep the whole read buffer alive.
    let leftover = parts.read_buf.to_vec();
    let leftover = match link::confirm(&mut connection, leftover, &terms, &linking.secret).await {
        Ok(leftover) => leftover,
        Err(error) => {
            let reason = match error {
                Unproven::CutOff(_) => "cut off",
                Unproven::Late => "late",
                Unproven::Wrong => "wrong proof",
            };
            return linking.log(reason, &error);
        }
    };
    match connection.into_line() {
        Ok(line) => {
            if !(linking.accept)(line, leftover) {
                linking.log("overloaded", &"too many links wait for the socket threads");
            }
        }
        Err(error) => linking.log("system", &error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::system_entropy;

    #[test]
    fn a_reason_is_logged_once_a_minute_with_what_came_in_between() {
        let secret = Secret::new(&[7; 32]).expect("long enough");
        let linking = Linking::new(Uuid::from_u128(1), secret, system_entropy(), |_, _| true);
        let start = Instant::now();
        assert_eq!(linking.count("late", start), Some(1));
        assert_eq!(linking.count("late", start), None);
        assert_eq!(linking.count("wrong proof", start), Some(1), "another reason has its own line");
        assert_eq!(linking.count("late", start + QUIET - Duration::from_millis(1)), None);
        assert_eq!(linking.count("late", start + QUIET), Some(3));
        assert_eq!(linking.count("late", start + 2 * QUIET), Some(1));
    }
}
