//! What the server tells about itself.

mod characters;
mod http;

pub use characters::*;
pub use http::{LoginOutcome, login, request};
