//! Reads `database.url` as libpq would: several hosts, and parameters after the question mark.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use sqlx::postgres::{PgConnectOptions, PgSslMode};

/// A server that the URL names.
#[derive(Debug)]
pub(super) struct Host {
    /// Host and port, for messages.
    pub(super) name: String,
    pub(super) options: PgConnectOptions,
}

/// Files that the URL names: the parameter and the path.
type Files = Vec<(&'static str, String)>;

/// A URL, read.
#[derive(Debug)]
pub(super) struct Target {
    /// At least one, in the URL's order.
    pub(super) hosts: Vec<Host>,
    /// Longest time to wait for one host, if the URL says so.
    pub(super) connect_timeout: Option<Duration>,
    /// They must be readable.
    pub(super) files: Files,
}

/// Parameters that sqlx reads, with its spellings. Others are refused: a mistyped `sslmode` must not be ignored.
const PASSED_ON: &[&str] = &[
    "sslmode",
    "ssl-mode",
    "sslrootcert",
    "ssl-root-cert",
    "ssl-ca",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
    "statement-cache-capacity",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
    "options",
];

/// Files with the certificates that the operating system trusts: Debian, Fedora, openSUSE, Alpine and macOS.
const SYSTEM_ROOTS: &[&str] = &[
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

const ENCODE: &str = "the user or password holds a character that must be percent-encoded: write % as %25, @ as %40, \
     # as %23, / as %2F, ? as %3F, : as %3A and a space as %20. For the password p@ss/word, for example: \
     postgres://castellan:p%40ss%2Fword@localhost/castellan";

/// Reads a URL.
///
/// # Errors
///
/// Says what is wrong, without quoting what may be a part of the password.
pub(super) fn parse(url: &str) -> Result<Target, String> {
    parse_at_home(url, std::env::home_dir().map(|home| home.join(".postgresql")).as_deref())
}

/// `home`: the folder in which libpq looks for certificates that the URL does not name.
fn parse_at_home(url: &str, home: Option<&Path>) -> Result<Target, String> {
    let (scheme, rest) = url.split_once("://").ok_or("must begin with postgres://")?;
    let (authority, tail) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let (path, query) = tail.split_once('?').unwrap_or((tail, ""));
    let (user, hosts) = match authority.rsplit_once('@') {
        Some((user, hosts)) => (format!("{user}@"), hosts),
        None => (String::new(), authority),
    };
    // The password ended too early: what follows looks like a path, a query or a fragment.
    let cut = user.is_empty() && tail.contains('@');
    if tail.contains('#') || path.contains('@') || !is_encoded(&user) {
        return Err(ENCODE.to_owned());
    }
    let parameters = Parameters::read(query).map_err(|why| if cut { ENCODE.to_owned() } else { why })?;
    let hosts: Vec<&str> = hosts.split(',').collect();
    let elsewhere = ["host", "hostaddr", "port"].map(|name| parameters.get(&[name])).into_iter().flatten();
    if elsewhere.into_iter().any(|value| hosts.len() > 1 || value.contains(',')) {
        return Err("several hosts can only be given before the slash: postgres://a:5432,b:5432/name".to_owned());
    }
    let (mode, files) = parameters.tls(home)?;
    let query = &parameters.passed_on;
    let host = |text: &str| {
        let (host, port) = split_port(text).map_err(|why| if cut { ENCODE.to_owned() } else { why })?;
        if host.is_empty() && hosts.len() > 1 {
            return Err("a host is missing before or after a comma".to_owned());
        }
        let port = port.map_or(String::new(), |port| format!(":{port}"));
        let options = PgConnectOptions::from_str(&format!("{scheme}://{user}{host}{port}{path}?{query}"));
        let mut options = options.map_err(|error| format!("cannot be read: {error}"))?;
        if let Some(address) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            options = options.host(address);
        }
        for (name, file) in &files {
            options = match *name {
                "sslrootcert" => options.ssl_root_cert(file),
                "sslcert" => options.ssl_client_cert(file),
                _ => options.ssl_client_key(file),
            };
        }
        let local = options.get_socket().is_some() || options.get_host().starts_with('/');
        // As with libpq, a Unix socket has no TLS.
        let mode = if local { Some(PgSslMode::Disable) } else { mode };
        if let Some(mode) = mode {
            options = options.ssl_mode(mode);
        }
        let name = match options.get_socket() {
            Some(socket) => socket.display().to_string(),
            None => format!("{}:{}", options.get_host(), options.get_port()),
        };
        // PgBouncer refuses this one. PostgreSQL's own default is as exact.
        Ok(Host { name, options: options.extra_float_digits(None) })
    };
    let hosts = hosts.iter().map(|text| host(text)).collect::<Result<_, _>>()?;
    Ok(Target { hosts, connect_timeout: parameters.connect_timeout()?, files })
}

/// Returns an error if [`parse`] would.
pub(in crate::storage) fn check(url: &str) -> Result<(), String> {
    parse(url).map(drop)
}

/// Returns true if each `%` begins a code, and the text decodes to UTF-8.
fn is_encoded(text: &str) -> bool {
    let codes = text.split('%').skip(1);
    let mut codes = codes.map(|rest| rest.bytes().take(2).filter(u8::is_ascii_hexdigit).count());
    codes.all(|digits| digits == 2) && percent_decode_str(text).decode_utf8().is_ok()
}

/// Splits `host:port`. The host may be an IPv6 address in brackets.
fn split_port(text: &str) -> Result<(&str, Option<u16>), String> {
    let name_end = text.rfind(']').map_or(0, |bracket| bracket + 1);
    let Some(colon) = text[name_end..].rfind(':') else { return Ok((text, None)) };
    let (host, port) = (&text[..name_end + colon], &text[name_end + colon + 1..]);
    if port.is_empty() {
        return Ok((host, None));
    }
    // Not quoted: without an `@`, this may be the password.
    port.parse().map(|port| (host, Some(port))).map_err(|_| {
        "the port after a host must be a number up to 65535; if this was meant to be a password, an @ is missing \
             after it"
            .to_owned()
    })
}

/// What stands after the question mark.
struct Parameters {
    /// Decoded names and values.
    given: Vec<(String, String)>,
    /// The parameters for sqlx, as they were written.
    passed_on: String,
}

impl Parameters {
    fn read(query: &str) -> Result<Self, String> {
        let (mut given, mut passed_on) = (Vec::new(), Vec::new());
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let decode = |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
            let (name, value) = (decode(name), decode(value));
            if PASSED_ON.contains(&name.as_str()) || name.starts_with("options[") {
                passed_on.push(pair);
            } else if !matches!(name.as_str(), "target_session_attrs" | "connect_timeout") {
                return Err(unknown(&name));
            }
            given.push((name, value));
        }
        let parameters = Self { given, passed_on: passed_on.join("&") };
        match parameters.get(&["target_session_attrs"]) {
            None | Some("read-write" | "primary" | "any") => Ok(parameters),
            Some(_) => Err("target_session_attrs must be read-write: the server always writes".to_owned()),
        }
    }

    /// The value of a parameter with any of these names; the last one counts.
    fn get(&self, names: &[&str]) -> Option<&str> {
        let found = self.given.iter().rfind(|(name, _)| names.contains(&name.as_str()));
        found.map(|(_, value)| value.as_str())
    }

    fn connect_timeout(&self) -> Result<Option<Duration>, String> {
        let Some(text) = self.get(&["connect_timeout"]) else { return Ok(None) };
        let seconds: u64 = text.parse().map_err(|_| "connect_timeout must be a number of seconds")?;
        Ok((seconds > 0).then(|| Duration::from_secs(seconds)))
    }

    /// The mode, if it differs from what sqlx finds by itself, and the files.
    ///
    /// Source: PostgreSQL documentation, "SSL Support" of libpq. With a root certificate, `require` verifies it too.
    fn tls(&self, home: Option<&Path>) -> Result<(Option<PgSslMode>, Files), String> {
        let mode = self.get(&["sslmode", "ssl-mode"]);
        let own = |name| home.map(|home: &Path| home.join(name)).filter(|file: &PathBuf| file.is_file());
        let own = |name| own(name).and_then(|file| file.into_os_string().into_string().ok());
        let (own_root, own_cert, own_key) = (own("root.crt"), own("postgresql.crt"), own("postgresql.key"));
        let verifies = matches!(mode, Some("require" | "verify-ca" | "verify-full"));
        let root = self.get(&["sslrootcert", "ssl-root-cert", "ssl-ca"]);
        let mut root = root.or(own_root.as_deref().filter(|_| verifies));
        let forced = match (mode, root) {
            (None, Some("system")) => Some(PgSslMode::VerifyFull),
            (Some("verify-full"), Some("system")) => None,
            (_, Some("system")) => return Err("sslrootcert=system needs sslmode=verify-full".to_owned()),
            (None, Some(_)) => return Err("sslrootcert needs sslmode=verify-full or sslmode=verify-ca".to_owned()),
            (Some("require"), Some(_)) => Some(PgSslMode::VerifyCa),
            (Some(mode @ ("verify-ca" | "verify-full")), None) => {
                return Err(format!(
                    "sslmode={mode} needs sslrootcert=FILE with the certificate of the database's CA, the file \
                     ~/.postgresql/root.crt, or sslrootcert=system for the CAs that the operating system trusts"
                ));
            }
            (None | Some("disable" | "allow" | "prefer" | "require" | "verify-ca" | "verify-full"), _) => None,
            (Some(_), _) => {
                return Err("sslmode must be disable, allow, prefer, require, verify-ca or verify-full".to_owned());
            }
        };
        if root == Some("system") {
            let found = SYSTEM_ROOTS.iter().find(|file| Path::new(file).is_file());
            root = Some(found.ok_or("sslrootcert=system: the operating system's certificates were not found")?);
        }
        let named = [
            ("sslrootcert", root),
            ("sslcert", self.get(&["sslcert", "ssl-cert"]).or(own_cert.as_deref())),
            ("sslkey", self.get(&["sslkey", "ssl-key"]).or(own_key.as_deref())),
        ];
        Ok((forced, named.into_iter().filter_map(|(name, file)| Some((name, file?.to_owned()))).collect()))
    }
}

/// The text about a parameter that is not known. Quotes only what cannot be a part of a password.
fn unknown(name: &str) -> String {
    match name {
        "channel_binding" => "channel_binding is not supported; leave it out and use sslmode=verify-full with \
             sslrootcert, which also protects against impostors"
            .to_owned(),
        _ if name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_') => {
            format!("the parameter {name} is not known; docs/database.md lists those that are")
        }
        _ => "a parameter after the question mark is not known; docs/database.md lists those that are".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(url: &str) -> Vec<String> {
        parse(url).unwrap_or_else(|why| panic!("{url}: {why}")).hosts.into_iter().map(|host| host.name).collect()
    }

    #[test]
    fn hosts_are_read_in_their_order() {
        for (url, hosts) in [
            ("postgres://db/name", &["db:5432"][..]),
            ("postgres://u:p@a:1,b:2/name", &["a:1", "b:2"]),
            ("postgresql://u@a,b:7/name?target_session_attrs=read-write", &["a:5432", "b:7"]),
            ("postgres://u:p@[::1]:7,127.0.0.1/name", &["::1:7", "127.0.0.1:5432"]),
            ("postgres://%2Ftmp%2Fpg/name", &["/tmp/pg"]),
            ("postgres:///name?host=/tmp/pg", &["/tmp/pg"]),
            ("postgres://u:p@ss@a:1/name", &["a:1"]),
        ] {
            assert_eq!(names(url), hosts, "{url}");
        }
    }

    #[test]
    fn a_character_to_be_encoded_is_named_and_the_password_is_not() {
        for raw in
            ["hush#1", "hush/1", "hush?1", "hush%", "hush%zz", "7/hush", "7?hush=1", "hu@sh/1", "hush%ff", "7#hush"]
        {
            let why = parse(&format!("postgres://castellan:{raw}@localhost/castellan")).expect_err(raw);
            assert!(why.contains("percent-encoded") && why.contains("p%40ss"), "{raw}: {why}");
            assert!(!why.contains("hush"), "{raw}: {why}");
        }
        let why = parse("postgres://castellan:hush/castellan").expect_err("no host");
        assert!(!why.contains("hush") && why.contains("port"), "{why}");
    }

    #[test]
    fn parameters_that_would_be_ignored_are_refused() {
        for (query, expected) in [
            ("sslmod=verify-full", "sslmod is not known"),
            ("sslmode=verify", "sslmode must be"),
            ("sslmode=verify-full", "needs sslrootcert=FILE"),
            ("sslrootcert=/ca.pem", "needs sslmode=verify-full"),
            ("sslmode=verify-ca&sslrootcert=system", "needs sslmode=verify-full"),
            ("sslmode=require&channel_binding=require", "channel_binding is not supported"),
            ("target_session_attrs=read-only", "must be read-write"),
            ("host=a,b", "only"),
            ("connect_timeout=soon", "seconds"),
        ] {
            let why = parse(&format!("postgres://a,b/name?{query}")).expect_err(query);
            assert!(why.contains(expected), "{query}: {why}");
        }
    }

    #[test]
    fn certificates_in_the_home_folder_are_found_as_by_libpq() {
        let home = tempfile::tempdir().expect("a folder");
        let file = |name: &str| home.path().join(name).display().to_string();
        let found = |query: &str| parse_at_home(&format!("postgres://a/name?{query}"), Some(home.path()));
        assert!(found("sslmode=verify-full").expect_err("no file").contains("~/.postgresql/root.crt"));
        for name in ["root.crt", "postgresql.crt", "postgresql.key"] {
            std::fs::write(file(name), "").expect("written");
        }
        let own = [("sslcert", file("postgresql.crt")), ("sslkey", file("postgresql.key"))];
        let with_root = |root: String| [vec![("sslrootcert", root)], own.to_vec()].concat();
        for (query, mode, files) in [
            ("", "Prefer", own.to_vec()),
            ("sslmode=require", "VerifyCa", with_root(file("root.crt"))),
            ("sslmode=verify-full", "VerifyFull", with_root(file("root.crt"))),
            ("sslmode=verify-full&sslrootcert=/ca.pem", "VerifyFull", with_root("/ca.pem".to_owned())),
        ] {
            let target = found(query).expect(query);
            assert_eq!(format!("{:?}", target.hosts[0].options.get_ssl_mode()), mode, "{query}");
            assert_eq!(target.files, files, "{query}");
        }
        let named = found("sslcert=/c.pem&sslkey=/k.pem").expect("two files");
        assert_eq!(named.files, [("sslcert", "/c.pem".to_owned()), ("sslkey", "/k.pem".to_owned())]);
    }

    #[test]
    fn modes_are_those_of_libpq() {
        for (query, mode) in [
            ("", "Prefer"),
            ("sslmode=require", "Require"),
            ("sslmode=require&sslrootcert=/ca.pem", "VerifyCa"),
            ("sslmode=prefer&sslrootcert=/ca.pem", "Prefer"),
            ("sslmode=verify-full&sslrootcert=%2Fca.pem", "VerifyFull"),
            ("sslmode=require&host=/tmp", "Disable"),
        ] {
            let target = parse(&format!("postgres://a/name?{query}")).expect(query);
            assert_eq!(format!("{:?}", target.hosts[0].options.get_ssl_mode()), mode, "{query}");
            if query.contains("ca.pem") {
                assert_eq!(target.files, [("sslrootcert", "/ca.pem".to_owned())]);
            }
        }
        let patient = parse("postgres://a/name?connect_timeout=3").expect("a number");
        assert_eq!(patient.connect_timeout, Some(Duration::from_secs(3)));
    }
}
