//! Violations: a rule of the game said no.

use std::borrow::Cow;

use castellan_protocol::RejectionCode;

/// A rule refused an action: the wire's code and a message for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Violation {
    /// The stable code.
    pub code: RejectionCode,
    /// The reason.
    pub message: Cow<'static, str>,
}

impl Violation {
    /// A violation with this code.
    pub fn new(code: RejectionCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into() }
    }

    /// A number that makes no sense under any rule; the message names the field.
    pub fn malformed(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(RejectionCode::MALFORMED, message)
    }

    /// A number that would pass its limit; the message names the field.
    pub fn limit(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(RejectionCode::LIMIT_EXCEEDED, message)
    }
}

/// Longest part of a client's own text that a message quotes, in bytes.
const QUOTE_BYTES_MAX: usize = 100;

/// A client's own text, shortened for a message.
pub fn quote(text: &str) -> &str {
    &text[..text.floor_char_boundary(QUOTE_BYTES_MAX)]
}
