//! Accounts, passwords, tokens.

use std::time::Duration;

use super::setting::settings;
use super::text::{ByteSize, choices};

settings! {
    /// Accounts, passwords, tokens.
    Auth under "Accounts and tokens" {
        /// Whether a login may make its own account; auto: only while listening on loopback.
        "registration" registration: Registration = "auto";
        /// How long an access token is good.
        "auth.access_ttl" access_ttl: Duration = "15m", "1s" to "1d";
        /// How long a session lives without a refresh.
        "auth.refresh_ttl" refresh_ttl: Duration = "30d", "1m" to "365d";
        /// Who issues the tokens: `iss` in them.
        "auth.issuer" issuer: String = "castellan";
        /// Whom the tokens are for: `aud` in them.
        "auth.audience" audience: String = "castellan";
        /// Memory that hashing one password takes.
        "auth.argon2_memory" argon2_memory: ByteSize = "19MiB", "64KiB" to "1GiB";
        /// Passes over that memory.
        "auth.argon2_iterations" argon2_iterations: u32 = "2", "1" to "100";
        /// Passwords hashed at the same time. Without it half the cores, at least one.
        "auth.hashes_parallel" hashes_parallel: Option<usize>, "1" to "1024";
        /// Logins that may wait for their hash; more are refused as overloaded.
        "auth.hashes_waiting_max" hashes_waiting_max: usize = "1024", "0" to "100000";
        /// Failed logins of one name within the window; then further ones have to wait.
        "auth.failures_per_name" failures_per_name: u32 = "10", "1" to "1000000";
        /// Failed logins from one address (of IPv6 the /64) within the window. Successful ones do not count.
        "auth.failures_per_address" failures_per_address: u32 = "100", "1" to "1000000";
        /// The window of these two.
        "auth.failures_window" failures_window: Duration = "5m", "1s" to "1d";
    }
}

choices! {
    /// Whether a login may make its own account.
    Registration {
        /// It may.
        "open" => Open,
        /// Only an operator makes accounts.
        "closed" => Closed,
        /// It may while the server listens on loopback.
        "auto" => Auto,
    }
}
