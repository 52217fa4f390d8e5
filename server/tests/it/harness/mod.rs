//! What the tests stand on: databases of their own, the real server as a process, a plain HTTP client, and a proxy that
//! loses what passes.

mod database;
#[expect(dead_code, reason = "for the tests of the server as a process")]
mod http;
mod proxy;
#[expect(dead_code, reason = "for the tests of the server as a process")]
mod server;

pub(crate) use database::{Database, Kind, options, until};
pub(crate) use proxy::Proxy;
