//! Requests and answers as bytes, on their way between a gateway and a node: the length of a head (4 bytes,
//! little-endian), the head as JSON, and the body.
//!
//! The version of the link is the version of this form.

use std::net::IpAddr;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::client_address::ClientAddress;

/// Bytes of the head's length.
const LENGTH_BYTES: usize = 4;

/// The header fields of a request that a node needs.
static WANTED: [HeaderName; 5] =
    [header::AUTHORIZATION, header::CONTENT_TYPE, header::IF_MATCH, header::IF_NONE_MATCH, TRACEPARENT];

/// W3C Trace Context, section 3.2. At a node it names the gateway's span.
pub(super) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Marks a request that a gateway has forwarded.
#[derive(Debug, Clone, Copy)]
pub(super) struct Forwarded;

/// Bytes that are no request or no answer.
#[derive(Debug, thiserror::Error)]
#[error("a forwarded request or its answer cannot be read: {0}")]
pub(super) struct Unreadable(String);

/// Header fields, in their order. Each byte of a value is a character: JSON has no bytes.
type Fields = Vec<(String, String)>;

#[derive(Debug, Serialize, Deserialize)]
struct RequestHead {
    method: String,
    /// Path and query.
    target: String,
    fields: Fields,
    client: IpAddr,
}

#[derive(Debug, Serialize, Deserialize)]
struct ResponseHead {
    status: u16,
    fields: Fields,
}

/// Packs a request of this client.
pub(super) fn pack_request(method: &Method, target: &str, headers: &HeaderMap, client: IpAddr, body: &[u8]) -> Vec<u8> {
    let wanted = WANTED.iter().flat_map(|name| headers.get_all(name).iter().map(move |value| (name, value)));
    let head =
        RequestHead { method: method.as_str().to_owned(), target: target.to_owned(), fields: fields(wanted), client };
    pack(&head, body)
}

/// Unpacks a request. It is marked as [`Forwarded`], and says who the client is.
pub(super) fn unpack_request(bytes: &[u8]) -> Result<Request, Unreadable> {
    let (head, body) = unpack::<RequestHead>(bytes)?;
    let mut request = Request::new(Body::from(body.to_vec()));
    *request.method_mut() = Method::from_bytes(head.method.as_bytes()).map_err(unreadable)?;
    *request.uri_mut() = head.target.parse().map_err(unreadable)?;
    *request.headers_mut() = headers(&head.fields)?;
    request.extensions_mut().insert(ClientAddress::from(head.client));
    request.extensions_mut().insert(Forwarded);
    Ok(request)
}

/// Packs an answer.
pub(super) fn pack_response(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Vec<u8> {
    pack(&ResponseHead { status: status.as_u16(), fields: fields(headers) }, body)
}

/// Unpacks an answer.
pub(super) fn unpack_response(bytes: &[u8]) -> Result<Response, Unreadable> {
    let (head, body) = unpack::<ResponseHead>(bytes)?;
    let mut response = Response::new(Body::from(body.to_vec()));
    *response.status_mut() = StatusCode::from_u16(head.status).map_err(unreadable)?;
    *response.headers_mut() = headers(&head.fields)?;
    Ok(response)
}

fn pack(head: &impl Serialize, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; LENGTH_BYTES];
    serde_json::to_writer(&mut bytes, head).expect("plain data fits JSON");
    let length = u32::try_from(bytes.len() - LENGTH_BYTES).expect("heads are bounded");
    bytes[..LENGTH_BYTES].copy_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(body);
    bytes
}

fn unpack<H: DeserializeOwned>(bytes: &[u8]) -> Result<(H, &[u8]), Unreadable> {
    let split = bytes.split_first_chunk::<LENGTH_BYTES>();
    let split = split.and_then(|(length, rest)| rest.split_at_checked(u32::from_le_bytes(*length) as usize));
    let (head, body) = split.ok_or_else(|| unreadable("cut off"))?;
    Ok((serde_json::from_slice(head).map_err(unreadable)?, body))
}

fn fields<'a>(headers: impl IntoIterator<Item = (&'a HeaderName, &'a HeaderValue)>) -> Fields {
    let text = |value: &HeaderValue| value.as_bytes().iter().map(|byte| char::from(*byte)).collect();
    headers.into_iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect()
}

fn headers(fields: &Fields) -> Result<HeaderMap, Unreadable> {
    let mut headers = HeaderMap::new();
    for (name, text) in fields {
        let value = text.chars().map(u8::try_from).collect::<Result<Vec<_>, _>>().map_err(unreadable)?;
        let name = HeaderName::try_from(name).map_err(unreadable)?;
        headers.try_append(name, HeaderValue::try_from(value).map_err(unreadable)?).map_err(unreadable)?;
    }
    Ok(headers)
}

fn unreadable(reason: impl ToString) -> Unreadable {
    Unreadable(reason.to_string())
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use proptest::prelude::*;

    use super::*;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().build().expect("a runtime")
    }

    proptest! {
        #[test]
        fn every_packed_request_is_unpacked_equal(
            method in "GET|POST|PATCH|DELETE|HEAD",
            target in "/characters(/[a-z0-9%-]{0,40})?(\\?[a-z=&%]{0,20})?",
            values in proptest::collection::vec((0..WANTED.len(), "[ -~\u{80}-\u{ff}]{0,40}"), 0..8),
            client in any::<IpAddr>(),
            body in proptest::collection::vec(any::<u8>(), 0..300),
        ) {
            let method = Method::from_bytes(method.as_bytes()).expect("a method");
            let target: axum::http::Uri = target.parse().expect("a target");
            let mut sent = HeaderMap::new();
            for (name, value) in &values {
                let value: Vec<_> = value.chars().map(|c| u8::try_from(c).expect("a byte")).collect();
                sent.append(&WANTED[*name], HeaderValue::try_from(value).expect("a value"));
            }
            let mut more = sent.clone();
            more.insert(header::COOKIE, HeaderValue::from_static("stays behind"));
            let packed = pack_request(&method, &target.to_string(), &more, client, &body);
            let (parts, rest) = unpack_request(&packed).expect("a request").into_parts();
            prop_assert_eq!((parts.method, parts.uri, parts.headers), (method, target, sent));
            prop_assert_eq!(parts.extensions.get::<ClientAddress>().map(|client| client.ip()), Some(client));
            let rest = runtime().block_on(rest.collect()).expect("a body").to_bytes();
            prop_assert_eq!(rest.as_ref(), &body[..]);
        }

        #[test]
        fn every_packed_answer_is_unpacked_equal(
            status in 200_u16..600,
            value in "[ -~\u{80}-\u{ff}]{0,40}",
            body in proptest::collection::vec(any::<u8>(), 0..300),
        ) {
            let status = StatusCode::from_u16(status).expect("a status");
            let mut sent = HeaderMap::new();
            for name in [header::ETAG, header::VARY, header::VARY] {
                let value: Vec<_> = value.chars().map(|c| u8::try_from(c).expect("a byte")).collect();
                sent.append(name, HeaderValue::try_from(value).expect("a value"));
            }
            let (parts, rest) = unpack_response(&pack_response(status, &sent, &body)).expect("an answer").into_parts();
            prop_assert_eq!((parts.status, parts.headers), (status, sent));
            let rest = runtime().block_on(rest.collect()).expect("a body").to_bytes();
            prop_assert_eq!(rest.as_ref(), &body[..]);
        }

        #[test]
        fn garbage_is_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(unpack_request(&bytes).is_err());
            prop_assert!(unpack_response(&bytes).is_err());
        }
    }

    #[test]
    fn heads_that_mean_nothing_are_errors() {
        let request = |method: &str, target: &str, field: (&str, &str)| {
            let fields = vec![(field.0.to_owned(), field.1.to_owned())];
            let client = IpAddr::from([127, 0, 0, 1]);
            let head = RequestHead { method: method.to_owned(), target: target.to_owned(), fields, client };
            unpack_request(&pack(&head, b""))
        };
        assert!(request("GET", "/characters", ("if-match", "*")).is_ok());
        assert!(request("G T", "/characters", ("if-match", "*")).is_err());
        assert!(request("GET", "no path ", ("if-match", "*")).is_err());
        assert!(request("GET", "/characters", ("if match", "*")).is_err());
        assert!(request("GET", "/characters", ("if-match", "\r\n")).is_err());
        assert!(request("GET", "/characters", ("if-match", "\u{100}")).is_err());
        assert!(unpack_response(&pack(&ResponseHead { status: 7, fields: Vec::new() }, b"")).is_err());
    }
}
