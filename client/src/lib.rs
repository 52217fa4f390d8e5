//! A Castellan client for Rust games.
//!
//! [`Client`] logs in, keeps one WebSocket open, reconnects when it is lost, and sends again every intent that may not
//! be durable. Its calls do not wait for the network: [`Client::send`] returns an [`IntentHandle`] that follows the
//! intent, [`Client::try_notice`] returns what happened since the game's last frame. A game without an asynchronous
//! runtime starts with [`Client::start_on_thread`], one with tokio with [`Client::start`].
//!
//! The rules of coming back live in [`ledger`] and [`reconnect`], which know neither socket nor clock. They follow
//! `docs/protocol.md`, the contract that clients in other languages are written from as well.
//!
//! It speaks `https` and `wss`, and trusts the certificates of the machine; [`Options::trust`] names others. Use plain
//! `http` only on one machine or inside a tunnel: it shows passwords and tokens to the network.

mod base_url;
mod burst;
mod client;
mod driver;
mod handle;
mod http;
pub mod ledger;
pub mod reconnect;
mod session;
mod shared;
mod socket;
mod stream;

pub use base_url::{BadUrl, BaseUrl};
pub use burst::Burst;
pub use client::{Client, Options, SendError, StartError};
pub use handle::{IntentHandle, Outcome};
pub use http::{HttpClient, HttpError, HttpResponse};
pub use session::{Credentials, Proof, Session};
pub use shared::Notice;
pub use socket::{ConnectError, Socket, SocketOptions, connect, decode_message, encode_message};
pub use stream::{Stream, Trust};

pub use castellan_protocol as protocol;
