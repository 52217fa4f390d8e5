//! What the tests stand on: databases of their own, and a proxy that loses what passes.

mod database;
mod proxy;

pub(crate) use database::{Database, Kind, options, until};
pub(crate) use proxy::Proxy;
