//! Reads JSON bodies, bounded in size and time.
//!
//! Not by tower-http 0.7.1: its limit and its timeout answer without the wire's error body, and its timeout for bodies
//! starts again with every part, so a slow client could stretch one request over days.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};
use bytes::Bytes;
use castellan_game::Game;
use castellan_protocol::RejectionCode;
use castellan_protocol::http::BODY_BYTES_MAX;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::Deserialize;
use serde::de::{self, DeserializeOwned};
use serde_json::{Map, Value};

use super::context::Context;
use super::problem::Problem;

/// Longest part of a client's own words that an answer repeats, in bytes.
const QUOTE_BYTES_MAX: usize = 200;

/// A wire type that a body was decoded into.
pub(super) struct Decoded<T>(pub(super) T);

impl<G: Game, T: DeserializeOwned> FromRequest<Arc<Context<G>>> for Decoded<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, context: &Arc<Context<G>>) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        decode(object(&parts.headers, body, context.settings.body_timeout).await?).map(Self)
    }
}

/// Reads a body that must be a JSON object.
pub(super) async fn object(headers: &HeaderMap, body: Body, deadline: Duration) -> Result<Map<String, Value>, Problem> {
    check_type(headers)?;
    let bytes = read(headers, body, deadline).await?;
    parse(&bytes)
}

/// Reads an optional body; a missing one gives an empty object.
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

/// Decodes an object into a wire type; the error names the field.
pub(super) fn decode<T: DeserializeOwned>(object: Map<String, Value>) -> Result<T, Problem> {
    castellan_protocol::decode_value(&Value::Object(object)).map_err(|error| Problem::malformed(error.to_string()))
}

fn check_type(headers: &HeaderMap) -> Result<(), Problem> {
    let text = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json")) {
        return Ok(());
    }
    Err(Problem::new(RejectionCode::UNSUPPORTED_MEDIA_TYPE, "the body must be JSON: Content-Type: application/json"))
}

/// Reads a body, bounded in size and time.
pub(super) async fn read(headers: &HeaderMap, body: Body, deadline: Duration) -> Result<Bytes, Problem> {
    let too_large = || {
        Problem::new(RejectionCode::BODY_TOO_LARGE, format!("the body is too large: at most {BODY_BYTES_MAX} bytes"))
    };
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|bytes| bytes > BODY_BYTES_MAX as u64) {
        return Err(too_large());
    }
    match tokio::time::timeout(deadline, Limited::new(body, BODY_BYTES_MAX).collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(_)) => Err(Problem::malformed("the body ended early; send all of it")),
        Err(_) => Err(Problem::malformed("the body did not arrive in time; send the request again")
            .with_status(StatusCode::REQUEST_TIMEOUT)),
    }
}

fn parse(bytes: &[u8]) -> Result<Map<String, Value>, Problem> {
    match serde_json::from_slice(bytes).map(|Distinct(value)| value) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(Problem::malformed("the body must be a JSON object")),
        // The bytes are JSON; `Distinct` itself has refused them.
        Err(error) if error.is_data() => Err(Problem::malformed(error.to_string())),
        Err(error) => Err(Problem::malformed(format!("the body is not JSON: {error}"))),
    }
}

/// The beginning of a client's own words, for an answer that repeats them.
pub(super) fn shorten(text: &str) -> &str {
    &text[..text.floor_char_boundary(QUOTE_BYTES_MAX)]
}

/// A JSON value in which no object has a key twice, at any depth.
///
/// A [`Value`] keeps the last of two entries and drops the first without a word. Another reader on the way may have
/// kept the first.
struct Distinct(Value);

impl<'de> Deserialize<'de> for Distinct {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(DistinctVisitor).map(Self)
    }
}

struct DistinctVisitor;

impl<'de> de::Visitor<'de> for DistinctVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(Distinct(value)) = list.next_element()? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            if object.contains_key(&key) {
                return Err(de::Error::custom(format_args!("the key `{}` is given twice", shorten(&key))));
            }
            let Distinct(value) = map.next_value()?;
            object.insert(key, value);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_without_repeats_is_read_as_json_says() {
        let body =
            r#"{"a": null, "b": [true, -1, 2, 1.5, "x\n", {"a": {"b": {}}}, {"a": []}], "c": 18446744073709551615}"#;
        let read: Map<String, Value> = serde_json::from_str(body).expect("JSON");
        assert_eq!(parse(body.as_bytes()), Ok(read));
    }

    #[test]
    fn a_key_given_twice_is_named() {
        for (body, key) in [
            (r#"{"delta": 1, "delta": 1}"#, "delta"),
            (r#"{"delta": null, "delta": 1}"#, "delta"),
            (r#"{"delta": 1, "d\u0065lta": 2}"#, "delta"),
            (r#"{"a": {"b": [0, {"str": 1, "dex": 1, "str": 2}]}}"#, "str"),
        ] {
            let problem = parse(body.as_bytes()).expect_err(body);
            assert_eq!(problem.status, StatusCode::BAD_REQUEST, "{body}");
            assert!(format!("{problem:?}").contains(&format!("the key `{key}` is given twice")), "{problem:?}");
        }
        let long = "ä".repeat(5_000);
        let problem = parse(format!(r#"{{"{long}": 1, "{long}": 2}}"#).as_bytes()).expect_err("a repeat");
        assert!(format!("{problem:?}").len() < 400, "{problem:?}");
    }

    #[test]
    fn a_body_too_deep_is_refused() {
        let deep = format!("{}{}", r#"{"a":"#.repeat(10_000), "0");
        assert_eq!(parse(deep.as_bytes()).expect_err("too deep").status, StatusCode::BAD_REQUEST);
    }
}
