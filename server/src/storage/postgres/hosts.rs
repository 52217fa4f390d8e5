//! Connects to the first server of `database.url` that takes writes.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use sqlx::{AssertSqlSafe, Connection, Row};
use tokio::time::{Instant, timeout};

use super::url::{self, Host, Target};
use crate::storage::StorageError;
use crate::storage::error::passes;

/// SQLSTATE of a login that `pg_hba.conf` does not allow.
const NOT_ALLOWED: &str = "28000";

/// SQLSTATE of a wrong password.
const WRONG_PASSWORD: &str = "28P01";

/// The servers that the URL names. One of them takes writes; after a failover it is another one.
pub(super) struct Hosts {
    target: Target,
    /// The one that the last new connection leads to.
    current: AtomicUsize,
}

/// Why no connection could be opened.
#[derive(Debug)]
pub(super) struct Failure {
    text: String,
    /// True if it may pass by itself.
    passes: bool,
}

impl Failure {
    /// The error at a start, where waiting for a wrong setup is of no use.
    pub(super) fn at_start(self) -> StorageError {
        if self.passes {
            StorageError::Transient(self.text)
        } else {
            StorageError::Unusable(format!("cannot use the database: {}; check database.url", self.text))
        }
    }
}

impl From<Failure> for StorageError {
    fn from(failure: Failure) -> Self {
        Self::Transient(failure.text)
    }
}

impl Hosts {
    /// Reads the URL and looks for the files that it names. The connections get a name.
    pub(super) fn new(url: &str, name: &str) -> Result<Self, StorageError> {
        let mut target = url::parse(url).map_err(|why| StorageError::Unusable(format!("database.url: {why}")))?;
        for (name, path) in &target.files {
            std::fs::File::open(path)
                .map_err(|error| StorageError::Unusable(format!("database.url: cannot read {name}={path}: {error}")))?;
        }
        for host in &mut target.hosts {
            host.options = host.options.clone().application_name(name);
        }
        Ok(Self { target, current: AtomicUsize::new(0) })
    }

    /// How to connect to a host.
    pub(super) fn options(&self, host: usize) -> PgConnectOptions {
        self.target.hosts[host].options.clone()
    }

    /// The number of hosts.
    pub(super) fn count(&self) -> u32 {
        u32::try_from(self.target.hosts.len()).expect("a URL is short")
    }

    /// The host that the last new connection leads to.
    pub(super) fn current(&self) -> usize {
        self.current.load(Ordering::Relaxed)
    }

    /// Connects to a host that takes writes, and runs `setup` on the connection. Returns the connection and its host.
    ///
    /// Begins with the last host that worked. Each host gets an equal share of the time that is left, so that one that
    /// does not answer leaves time for the others. The name service is asked each time.
    pub(super) async fn open(&self, setup: &str, deadline: Instant) -> Result<(PgConnection, usize), Failure> {
        let (first, count) = (self.current(), self.target.hosts.len());
        let mut failures = Vec::new();
        for tried in 0..self.count() {
            let index = (first + tried as usize) % count;
            let host = &self.target.hosts[index];
            let share = deadline.saturating_duration_since(Instant::now()) / (self.count() - tried);
            let share = self.target.connect_timeout.map_or(share, |limit| limit.min(share));
            match timeout(share, open(host, setup)).await {
                Ok(Ok(connection)) => {
                    self.current.store(index, Ordering::Relaxed);
                    return Ok((connection, index));
                }
                Ok(Err(failure)) => failures.push(failure),
                Err(_) => failures.push(Failure { text: format!("{} does not answer", host.name), passes: true }),
            }
        }
        let passes = failures.iter().any(|failure| failure.passes);
        let texts: Vec<_> = failures.into_iter().map(|failure| failure.text).collect();
        Err(Failure { text: texts.join("; "), passes })
    }
}

/// Asks if a server takes writes. Answers in one round trip, after `setup`.
pub(super) async fn takes_writes(connection: &mut PgConnection, setup: &str) -> Result<bool, sqlx::Error> {
    let statements = format!("{setup}SHOW transaction_read_only");
    let rows = sqlx::raw_sql(AssertSqlSafe(statements)).fetch_all(connection).await?;
    let read_only: String = rows.last().ok_or(sqlx::Error::RowNotFound)?.try_get(0)?;
    Ok(read_only == "off")
}

async fn open(host: &Host, setup: &str) -> Result<PgConnection, Failure> {
    let explained = |error| explain(host, &error);
    let mut connection = log_in(host).await.map_err(explained)?;
    if takes_writes(&mut connection, setup).await.map_err(explained)? {
        Ok(connection)
    } else {
        Err(Failure { text: format!("{} is read-only; it may be a standby", host.name), passes: true })
    }
}

/// Logs in. `prefer` falls back to a connection without TLS, and `allow` to one with it; sqlx does neither.
async fn log_in(host: &Host) -> Result<PgConnection, sqlx::Error> {
    let error = match PgConnection::connect_with(&host.options).await {
        Ok(connection) => return Ok(connection),
        Err(error) => error,
    };
    let second = match host.options.get_ssl_mode() {
        PgSslMode::Prefer if has_code(&error, NOT_ALLOWED) || is_tls(&error) => PgSslMode::Disable,
        PgSslMode::Allow if has_code(&error, NOT_ALLOWED) => PgSslMode::Require,
        _ => return Err(error),
    };
    PgConnection::connect_with(&host.options.clone().ssl_mode(second)).await.map_err(|_| error)
}

fn has_code(error: &sqlx::Error, code: &str) -> bool {
    error.as_database_error().and_then(|error| error.code()).is_some_and(|found| found == code)
}

/// Returns true if the handshake failed because of what one side showed the other.
fn is_tls(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Tls(_) => true,
        sqlx::Error::Io(error) => error.kind() == io::ErrorKind::InvalidData,
        _ => false,
    }
}

/// Says in plain words why a host could not be used.
fn explain(host: &Host, error: &sqlx::Error) -> Failure {
    let (name, mode) = (&host.name, host.options.get_ssl_mode());
    let said = match error {
        sqlx::Error::Io(error) => error.to_string(),
        sqlx::Error::Tls(error) => error.to_string(),
        sqlx::Error::Database(error) => format!("{} ({})", error.message(), error.code().unwrap_or_default()),
        error => error.to_string(),
    };
    let text = if said.contains("not valid for name") {
        format!(
            "the certificate of {name} was issued for another host ({said}); use a host name that it names, or \
             check only its CA with sslmode=verify-ca"
        )
    } else if said.contains("UnknownIssuer") || said.contains("BadSignature") {
        format!("the certificate of {name} is not signed by a CA in sslrootcert ({said})")
    } else if said.contains("CaUsedAsEndEntity") {
        format!(
            "{name} presents the certificate of a CA ({said}); issue a certificate for the server, signed by that CA"
        )
    } else if said.contains("does not support TLS") {
        format!("{name} does not offer TLS, but sslmode requires it; turn on ssl in PostgreSQL")
    } else if is_tls(error) {
        format!("TLS with {name} failed: {said}")
    } else if has_code(error, NOT_ALLOWED) && matches!(mode, PgSslMode::Disable) && said.contains("no encryption") {
        format!("{name} refuses connections without TLS, but database.url says sslmode=disable ({said})")
    } else if has_code(error, WRONG_PASSWORD) {
        format!(
            "{name}: {said}. If the password is right, percent-encode characters that are special in a URL: @ as \
             %40, % as %25, # as %23, / as %2F, ? as %3F"
        )
    } else {
        format!("{name}: {said}")
    };
    // A pooler that refuses a parameter says so with the code of a protocol error, like everything else it says.
    let passes = passes(error) && !is_tls(error) && !said.contains("unsupported startup parameter");
    Failure { text, passes }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// A port of a server that takes connections and says nothing.
    async fn silent() -> (tokio::net::TcpListener, u16) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("bound").port();
        (listener, port)
    }

    #[tokio::test]
    async fn a_silent_host_takes_only_its_share_of_the_time() {
        let ((_first, first), (_second, second)) = (silent().await, silent().await);
        let url = format!("postgres://x@127.0.0.1:{first},127.0.0.1:{second}/x");
        let hosts = Hosts::new(&url, "test").expect("a URL");
        let began = Instant::now();
        let failure = hosts.open("", began + Duration::from_millis(200)).await.expect_err("nobody answers");
        assert!(failure.passes);
        for port in [first, second] {
            assert!(failure.text.contains(&format!("127.0.0.1:{port} does not answer")), "{failure:?}");
        }
        assert!(began.elapsed() < Duration::from_secs(2));
    }
}
