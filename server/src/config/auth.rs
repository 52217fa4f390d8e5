//! Accounts, passwords, tokens.

use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;

use super::issuers::Issuers;
use super::setting::settings;
use super::text::choices;

settings! {
    /// Accounts, passwords, tokens.
    Auth under "Accounts and tokens" {
        /// Accounts created by a login: open (always), closed (never), or auto (only while nobody but this machine can
        /// reach the server).
        "registration" registration: Registration = "auto";
        /// Logins of guests, who get an account with a generated name and secret: open, closed, or auto (only while
        /// nobody but this machine can reach the server).
        "guests" guests: Registration = "auto";
        /// Lifetime of an access token.
        "auth.access_ttl" access_ttl: Duration = "15m", "1s" to "1d";
        /// Lifetime of a session that is not refreshed.
        "auth.refresh_ttl" refresh_ttl: Duration = "30d", "1m" to "365d";
        /// Issuer of the tokens: their `iss` claim.
        "auth.issuer" issuer: String = "castellan";
        /// Audience of the tokens: their `aud` claim.
        "auth.audience" audience: String = "castellan";
        /// Outside issuers whose tokens are exchanged for sessions: in the settings file, a table [[auth.issuers]] for each
        /// (docs/operate.md); elsewhere the same as text, [{issuer = "…", audience = "…", jwks_url = "https://…"}].
        "auth.issuers" issuers: Issuers;
        /// File with the master key, which encrypts the keys in the database: 32 random bytes or their Base64. Default:
        /// the systemd credential castellan-master-key, if there is one; otherwise the keys are stored in plain.
        "master_key_file" master_key_file: Option<PathBuf>;
        /// Memory used to hash one password.
        "auth.argon2_memory" argon2_memory: ByteSize = "19MiB", "64KiB" to "1GiB";
        /// Argon2 passes over that memory.
        "auth.argon2_iterations" argon2_iterations: u32 = "2", "1" to "100";
        /// Passwords hashed at the same time. Default: half the cores, at least one.
        "auth.hashes_parallel" hashes_parallel: Option<usize>, "1" to "1024";
        /// Logins that may wait for a free hashing thread; further ones are refused as overloaded.
        "auth.hashes_waiting_max" hashes_waiting_max: usize = "1024", "0" to "100000";
        /// Failed logins of one name from one address (IPv6: one /64) allowed within the window; further ones must wait.
        /// Successful logins do not count.
        "auth.failures_per_name_and_address" failures_per_name_and_address: u32 = "10", "1" to "1000000";
        /// Failed logins of one name from all addresses allowed within the window. Above it the name must wait, but not
        /// at addresses from which the account has logged in before.
        "auth.failures_per_name" failures_per_name: u32 = "30", "1" to "1000000";
        /// Failed logins from one address allowed within the window. Above it the address must wait, but not for names
        /// whose account has logged in from there before.
        "auth.failures_per_address" failures_per_address: u32 = "100", "1" to "1000000";
        /// Logins of one name from one address that may be under way at the same time.
        "auth.logins_per_name" logins_per_name: u32 = "4", "1" to "1000000";
        /// Logins from one address (IPv6: one /64) that may be under way at the same time.
        "auth.logins_per_address" logins_per_address: u32 = "32", "1" to "1000000";
        /// Live sessions of one user. At the limit a login ends the session that was not used for the longest time. The
        /// role game has no such limit.
        "auth.sessions_per_user" sessions_per_user: u32 = "32", "1" to "1000000";
        /// Window for counting failed logins.
        "auth.failures_window" failures_window: Duration = "5m", "1s" to "1d";
    }
}

choices! {
    /// May a login create its own account? May a guest's?
        Registration {
        /// Yes.
        "open" => Open,
        /// No: only an operator creates accounts.
        "closed" => Closed,
        /// Yes, but only while nobody but this machine reaches the server.
        "auto" => Auto,
    }
}
