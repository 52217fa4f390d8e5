//! The fields common to all writes: request id, base version, and when to answer.

use axum::http::{HeaderMap, header};
use castellan_protocol::{Ack, RejectionCode, RequestId, Version};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::etag;
use super::problem::Problem;
use crate::shard::Base;

/// The fields common to all writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Envelope {
    pub(super) id: Option<RequestId>,
    pub(super) base: Base,
    /// True if `If-Match` was given: a conflict is then a failed precondition.
    pub(super) conditional: bool,
    pub(super) ack: Option<Ack>,
}

impl Envelope {
    /// Takes these fields out of a body and leaves the action's.
    pub(super) fn take(headers: &HeaderMap, body: &mut Map<String, Value>) -> Result<Self, Problem> {
        let id = take::<RequestId>(body, "id")?;
        if id == Some(RequestId::new(0)) {
            return Err(Problem::malformed("id: must be an integer of at least 1"));
        }
        let version = take::<Version>(body, "version")?;
        let after = take::<RequestId>(body, "after")?;
        let ack = take::<Ack>(body, "ack")?;
        let mut tags = headers.get_all(header::IF_MATCH).iter().map(|value| value.to_str());
        let matched = match (tags.next(), tags.next()) {
            (None, _) => None,
            (Some(Ok(tag)), None) => Some(etag::expected(tag)?),
            _ => return Err(Problem::malformed("If-Match: must be one quoted ETag, or *")),
        };
        if let (Some(version), Some(matched)) = (version, matched)
            && version != matched
        {
            return Err(Problem::malformed("version: differs from If-Match; send only one of them"));
        }
        let base = Base { after, expect: version.or(matched) };
        Ok(Self { id, base, conditional: matched.is_some(), ack })
    }

    /// Requires a base version.
    pub(super) fn required(self) -> Result<Self, Problem> {
        if self.base == Base::default() {
            let message = "base version missing: send `version` or `after` in the body, or the header If-Match";
            return Err(Problem::new(RejectionCode::VERSION_REQUIRED, message));
        }
        Ok(self)
    }
}

/// Takes a field out of a body; null counts as absent.
pub(super) fn take<T: DeserializeOwned>(body: &mut Map<String, Value>, key: &str) -> Result<Option<T>, Problem> {
    match body.remove(key) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => castellan_protocol::decode_value(&value)
            .map(Some)
            .map_err(|error| Problem::malformed(format!("{key}: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderValue, StatusCode};
    use serde_json::json;

    use super::*;

    fn envelope(body: Value, if_match: Option<&'static str>) -> (Result<Envelope, Problem>, Value) {
        let Value::Object(mut body) = body else { panic!("an object") };
        let mut headers = HeaderMap::new();
        if let Some(tag) = if_match {
            headers.insert(header::IF_MATCH, HeaderValue::from_static(tag));
        }
        let envelope = Envelope::take(&headers, &mut body).and_then(Envelope::required);
        (envelope, Value::Object(body))
    }

    #[test]
    fn the_base_version_may_come_from_the_body_or_the_header() {
        let base = |body, if_match| envelope(body, if_match).0.map(|envelope| (envelope.base, envelope.conditional));
        let expect = |version| Base { after: None, expect: Some(Version::new(version)) };
        assert_eq!(base(json!({"version": 5}), None), Ok((expect(5), false)));
        assert_eq!(base(json!({"version": 5.0}), None), Ok((expect(5), false)));
        assert_eq!(base(json!({"version": 0}), None), Ok((expect(0), false)));
        assert_eq!(base(json!({}), Some("\"5-x\"")), Ok((expect(5), true)));
        assert_eq!(base(json!({}), Some("*")), Ok((expect(0), true)));
        assert_eq!(base(json!({"version": 5}), Some("\"5-x\"")), Ok((expect(5), true)));
        let after = Base { after: Some(RequestId::new(7)), expect: None };
        assert_eq!(base(json!({"after": 7}), None), Ok((after, false)));
        assert_eq!(base(json!({"after": 7, "version": null}), None), Ok((after, false)));
    }

    #[test]
    fn an_unreadable_field_is_named_in_the_error() {
        let cases = [
            (json!({"version": "5"}), None, "version: "),
            (json!({"version": -1}), None, "version: "),
            (json!({"version": 5.5}), None, "version: "),
            (json!({"version": 9_007_199_254_740_992_u64}), None, "version: "),
            (json!({"version": 1, "id": 0}), None, "id: "),
            (json!({"version": 1, "id": []}), None, "id: "),
            (json!({"version": 1, "ack": "soon"}), None, "ack: "),
            (json!({"version": 1, "after": true}), None, "after: "),
            (json!({"version": 5}), Some("\"6-x\""), "version: "),
            (json!({}), Some("six"), "If-Match: "),
        ];
        for (body, if_match, field) in cases {
            let problem = envelope(body.clone(), if_match).0.expect_err("refused");
            assert_eq!(problem.status, StatusCode::BAD_REQUEST);
            assert!(format!("{problem:?}").contains(&format!("\"{field}")), "{body} {problem:?}");
        }
        assert_eq!(envelope(json!({}), None).0.expect_err("refused").status, StatusCode::PRECONDITION_REQUIRED);
    }

    #[test]
    fn two_lines_of_if_match_are_a_list_of_tags() {
        let mut headers = HeaderMap::new();
        for tag in ["\"5-x\"", "\"6-x\""] {
            headers.append(header::IF_MATCH, HeaderValue::from_static(tag));
        }
        let problem = Envelope::take(&headers, &mut Map::new()).expect_err("refused");
        assert!(format!("{problem:?}").contains("If-Match: must be one quoted ETag"), "{problem:?}");
    }

    #[test]
    fn the_rest_of_the_body_is_left() {
        let (envelope, rest) = envelope(json!({"id": 3, "version": 1, "ack": "durable", "delta": -10}), None);
        let envelope = envelope.expect("good");
        assert_eq!((envelope.id, envelope.ack), (Some(RequestId::new(3)), Some(Ack::Durable)));
        assert_eq!(rest, json!({"delta": -10}));
    }
}
