//! Accounts, passwords, tokens, sessions: who somebody is and until when.
//!
//! A login makes a session and gives two tokens. The access token is a signed statement that is checked without the
//! database; the refresh token continues the session. A session that is ended is remembered by every server for as
//! long as its access tokens would be good.

mod accounts;
mod attempts;
mod error;
mod keys;
mod password;
mod policy;
mod refresh;
mod revoked;
mod sessions;
mod token;
mod verified;

pub use accounts::{AccountName, Password};
pub use error::AuthError;
pub use keys::secret;
pub use policy::{Policy, PolicyError};
pub use sessions::{Auth, Grant};
pub use token::{Session, Standing, Ticket};

#[cfg(test)]
mod tests;
