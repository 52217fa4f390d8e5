//! A client for games that talk to Castellan.

pub mod ledger;
