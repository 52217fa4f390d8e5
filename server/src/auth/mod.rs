//! Accounts.
mod role;
pub use role::Role;
