//! Accounts, passwords, tokens and sessions.
//!
//! A login starts a session and returns two tokens. The access token is signed, and is verified without the database;
//! the refresh token continues the session. Every server remembers an ended session until its access tokens expire.

mod accounts;
mod attempts;
mod error;
mod exchange;
mod exposure;
mod guests;
mod in_flight;
mod issuers;
mod keys;
mod keyset;
mod login;
mod master;
mod password;
mod policy;
mod refresh;
mod registrar;
mod revoked;
mod sessions;
mod token;
mod verified;

pub use accounts::{AccountName, Password};
pub use error::AuthError;
pub use exposure::Exposure;
pub use guests::NewGuest;
pub use issuers::Issuers;
pub use keys::{StoredKey, Vault};
pub use master::check_file as check_master_key;
pub use policy::{Policy, PolicyError};
pub use registrar::{Registrar, find_account};
pub use sessions::{Auth, Grant};
pub use token::{Session, Standing, Ticket};

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
