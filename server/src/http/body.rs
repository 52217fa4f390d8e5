//! Reading JSON bodies, bounded in size and time.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, StatusCode, header};
use bytes::Bytes;
use castellan_protocol::RejectionCode;
use castellan_protocol::http::BODY_BYTES_MAX;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::problem::Problem;

/// Reads a body that must be a JSON object.
pub(super) async fn object(headers: &HeaderMap, body: Body, deadline: Duration) -> Result<Map<String, Value>, Problem> {
    check_type(headers)?;
    let bytes = read(headers, body, deadline).await?;
    parse(&bytes)
}

/// Reads a body that may be missing; then the object is empty.
pub(super) async fn optional_object(
    headers: &HeaderMap,
    body: Body,
    deadline: Duration,
) -> Result<Map<String, Value>, Problem> {
    let bytes = read(headers, body, deadline).await?;
    if bytes.is_empty() {
        return Ok(Map::new());
    }
    check_type(headers)?;
    parse(&bytes)
}

/// Reads an object as one of the wire's types; the error names the field.
pub(super) fn decode<T: DeserializeOwned>(object: Map<String, Value>) -> Result<T, Problem> {
    castellan_protocol::decode_value(&Value::Object(object)).map_err(|error| Problem::malformed(error.to_string()))
}

fn check_type(headers: &HeaderMap) -> Result<(), Problem> {
    let text = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json")) {
        return Ok(());
    }
    Err(Problem::new(RejectionCode::UnsupportedMediaType, "the body must be JSON: Content-Type: application/json"))
}

async fn read(headers: &HeaderMap, body: Body, deadline: Duration) -> Result<Bytes, Problem> {
    let too_large = || Problem::new(RejectionCode::BodyTooLarge, format!("a body has at most {BODY_BYTES_MAX} bytes"));
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|bytes| bytes > BODY_BYTES_MAX as u64) {
        return Err(too_large());
    }
    match tokio::time::timeout(deadline, Limited::new(body, BODY_BYTES_MAX).collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(_)) => Err(Problem::malformed("the body broke off")),
        Err(_) => Err(Problem::malformed("the body took too long").with_status(StatusCode::REQUEST_TIMEOUT)),
    }
}

fn parse(bytes: &[u8]) -> Result<Map<String, Value>, Problem> {
    match serde_json::from_slice(bytes) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(Problem::malformed("the body must be a JSON object")),
        Err(error) => Err(Problem::malformed(format!("the body is not JSON: {error}"))),
    }
}
