//! A client for Rust games that talk to Castellan.
//!
//! [`Client`] logs in, holds one WebSocket, comes back when it is lost, and sends again whatever the server's database
//! may not have. Its calls do not wait for the network: [`Client::send`] hands back an [`IntentHandle`] that knows what
//! became of the intent, [`Client::try_notice`] tells what happened since the last frame of the game. A game without
//! an asynchronous runtime begins with [`Client::start_on_thread`], one with tokio with [`Client::start`].
//!
//! The rules of coming back live in [`ledger`] and [`reconnect`], which know neither socket nor clock. They follow
//! `docs/protocol.md`, the contract that clients in other languages are written from as well.
//!
//! Only plain `http` and `ws` are spoken: across the open internet, put a TLS proxy on both sides or a tunnel.

mod client;
mod driver;
mod handle;
mod http;
pub mod ledger;
pub mod reconnect;
mod session;
mod shared;
mod socket;

pub use client::{Client, Options, SendError, StartError};
pub use handle::{IntentHandle, Outcome};
pub use http::{BaseUrl, HttpClient, HttpError, HttpResponse};
pub use session::{Credentials, Session};
pub use shared::Notice;
pub use socket::{ConnectError, Socket, SocketOptions, connect, decode_message, encode_message};

pub use castellan_protocol as protocol;
