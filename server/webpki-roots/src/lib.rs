//! Takes the place of `webpki-roots` in the build, without its certificates.
//!
//! sqlx trusts Mozilla's list of CAs in addition to `sslrootcert`, and cannot be told otherwise. libpq trusts
//! `sslrootcert` only. The difference matters most with `sslmode=verify-ca`, which does not look at the host name:
//! anyone with a certificate of a public CA could pose as the database.

#![forbid(unsafe_code)]

use rustls_pki_types::TrustAnchor;

/// The CAs that every connection trusts: none.
pub const TLS_SERVER_ROOTS: &[TrustAnchor<'static>] = &[];
