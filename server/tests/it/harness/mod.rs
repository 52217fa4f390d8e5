//! What the tests stand on: databases of their own, the real server as a process, a plain HTTP client, and a proxy that
//! loses what passes.

mod database;
mod http;
mod program;
mod proxy;
mod server;
mod socket;

pub(crate) use database::{Database, Kind, database_url, fresh_postgres, options, run_on, until};
pub(crate) use http::{Answer, Http};
pub(crate) use program::Program;
pub(crate) use proxy::Proxy;
pub(crate) use server::Server;
pub(crate) use socket::Socket;
