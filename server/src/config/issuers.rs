//! Outside issuers of tokens: `[[auth.issuers]]`.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use toml::{Table, Value};

use super::listen::is_authority;
use super::text::FromText;

/// Longest text of a key, in bytes.
const TEXT_BYTES_MAX: usize = 1_024;

/// The keys of a table.
const KEYS: [&str; 6] = ["issuer", "audience", "jwks_file", "jwks_url", "algorithms", "name_claim"];

/// All outside issuers whose tokens this server accepts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Issuers(pub Vec<Issuer>);

/// An outside issuer: its tokens are exchanged for sessions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issuer {
    /// The `iss` of its tokens.
    pub issuer: String,
    /// The `aud` that its tokens must have.
    pub audience: String,
    /// Where its public keys are: a JSON Web Key Set.
    pub keys: KeySource,
    /// The algorithms that its tokens may be signed with.
    pub algorithms: Vec<TokenAlgorithm>,
    /// The claim that a new account takes its name from.
    pub name_claim: String,
}

/// Where the public keys of an issuer are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// In a file.
    File(PathBuf),
    /// At an address.
    Url(KeyUrl),
}

/// An algorithm that a public key verifies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenAlgorithm {
    /// RSA with SHA-256.
    Rs256,
    /// ECDSA with P-256 and SHA-256.
    Es256,
    /// Ed25519.
    EdDsa,
}

impl TokenAlgorithm {
    /// All, in the order of the documentation.
    pub const ALL: [Self; 3] = [Self::Rs256, Self::Es256, Self::EdDsa];

    /// The name in tokens.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
        }
    }
}

/// The address of a key set: https, or http on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyUrl {
    is_tls: bool,
    /// Host and port, as they were given.
    authority: String,
    host: String,
    port: u16,
    /// Path and query.
    target: String,
}

impl KeyUrl {
    /// Checks an address.
    ///
    /// # Errors
    ///
    /// Says what is expected instead.
    pub fn new(text: &str) -> Result<Self, String> {
        Self::parse(text)
            .ok_or_else(|| "must be an https URL; http only with localhost or a loopback address".to_owned())
    }

    /// The address of a server of ours, without TLS.
    pub fn plain(server: SocketAddr, target: &str) -> Self {
        Self {
            is_tls: false,
            authority: server.to_string(),
            host: server.ip().to_string(),
            port: server.port(),
            target: target.to_owned(),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let (is_tls, rest) = match text.strip_prefix("https://") {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix("http://")?),
        };
        let (authority, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let is_plain = target.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
        if !is_authority(authority) || !is_plain {
            return None;
        }
        let after_brackets = authority.rfind(']').map_or(0, |end| end + 1);
        let (host, port) = match authority[after_brackets..].rsplit_once(':') {
            Some((_, port)) => (&authority[..authority.len() - port.len() - 1], port.parse().ok()?),
            None => (authority, if is_tls { 443 } else { 80 }),
        };
        let host = host.trim_matches(['[', ']']);
        let is_local = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        let slash = if target.starts_with('/') { "" } else { "/" };
        (!host.is_empty() && (is_tls || is_local)).then(|| Self {
            is_tls,
            authority: authority.to_owned(),
            host: host.to_owned(),
            port,
            target: format!("{slash}{target}"),
        })
    }

    /// True for https.
    pub fn is_tls(&self) -> bool {
        self.is_tls
    }

    /// The host, without the brackets of an IPv6 address.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Host and port, as the header `Host` has them.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Path and query.
    pub fn target(&self) -> &str {
        &self.target
    }
}

impl fmt::Display for KeyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http{}://{}{}", if self.is_tls { "s" } else { "" }, self.authority, self.target)
    }
}

/// An array of tables in TOML; the same, as a text, in a flag or a variable.
impl FromText for Issuers {
    const KIND: &'static str = "TABLES";

    fn from_text(text: &str) -> Result<Self, String> {
        let wrong = || "must be an array of tables in TOML: [{issuer = \"…\", audience = \"…\", …}, …]".to_owned();
        let mut table = format!("issuers = {text}").parse::<Table>().map_err(|_| wrong())?;
        let Some(Value::Array(tables)) = table.remove("issuers").filter(|_| table.is_empty()) else {
            return Err(wrong());
        };
        let mut issuers: Vec<Issuer> = Vec::new();
        for (index, value) in tables.into_iter().enumerate() {
            let within = |why: String| format!("issuer {}, {why}", index + 1);
            let Value::Table(table) = value else { return Err(wrong()) };
            let found = issuer(&table).map_err(within)?;
            if issuers.iter().any(|other| other.issuer == found.issuer) {
                return Err(within("issuer: is listed twice".to_owned()));
            }
            issuers.push(found);
        }
        Ok(Self(issuers))
    }

    fn from_default(_: &str) -> Result<Self, String> {
        Ok(Self::default())
    }
}

fn issuer(table: &Table) -> Result<Issuer, String> {
    if let Some(key) = table.keys().find(|key| !KEYS.contains(&key.as_str())) {
        return Err(format!("{key}: no such key; there are {}", KEYS.join(", ")));
    }
    let text = |key: &str| match table.get(key) {
        None => Ok(None),
        Some(Value::String(text)) if (1..=TEXT_BYTES_MAX).contains(&text.len()) => Ok(Some(text.as_str())),
        Some(_) => Err(format!("{key}: must be a text of 1 to {TEXT_BYTES_MAX} bytes")),
    };
    let needed = |key: &str| text(key)?.map(str::to_owned).ok_or_else(|| format!("{key}: must be set"));
    let keys = match (text("jwks_file")?, text("jwks_url")?) {
        (Some(file), None) => KeySource::File(file.into()),
        (None, Some(url)) => KeySource::Url(KeyUrl::new(url).map_err(|why| format!("jwks_url: {why}"))?),
        _ => return Err("jwks_file, jwks_url: set exactly one".to_owned()),
    };
    Ok(Issuer {
        issuer: needed("issuer")?,
        audience: needed("audience")?,
        keys,
        algorithms: algorithms(table.get("algorithms"))?,
        name_claim: text("name_claim")?.unwrap_or("sub").to_owned(),
    })
}

fn algorithms(value: Option<&Value>) -> Result<Vec<TokenAlgorithm>, String> {
    let named =
        |value: &Value| TokenAlgorithm::ALL.into_iter().find(|algorithm| value.as_str() == Some(algorithm.as_str()));
    let wrong = || "algorithms: must be a list of RS256, ES256 and EdDSA".to_owned();
    match value {
        None => Ok(TokenAlgorithm::ALL.to_vec()),
        Some(Value::Array(list)) if !list.is_empty() => list.iter().map(named).collect::<Option<_>>().ok_or_else(wrong),
        Some(_) => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issuer_has_defaults() {
        let read = Issuers::from_text("[{issuer = 'https://id.example', audience = 'game', jwks_file = 'keys.json'}]");
        let Issuers(issuers) = read.expect("issuers");
        assert_eq!(
            issuers,
            [Issuer {
                issuer: "https://id.example".to_owned(),
                audience: "game".to_owned(),
                keys: KeySource::File("keys.json".into()),
                algorithms: TokenAlgorithm::ALL.to_vec(),
                name_claim: "sub".to_owned(),
            }]
        );
        assert_eq!(Issuers::from_text("[]"), Ok(Issuers::default()));
    }

    #[test]
    fn a_mistake_is_named_with_its_issuer_and_key() {
        let good = "{issuer = 'https://a', audience = 'game', jwks_file = 'a.json'}";
        for (second, expected) in [
            ("{}", "issuer 2, jwks_file, jwks_url: set exactly one"),
            ("{jwks_file = 'a'}", "issuer 2, issuer: must be set"),
            ("{jwks_file = 'a', issuer = 'b'}", "issuer 2, audience: must be set"),
            ("{jwks_file = 'a', issuer = '', audience = 'c'}", "issuer 2, issuer: must be a text"),
            ("{jwks_file = 5}", "issuer 2, jwks_file: must be a text"),
            ("{jwks_file = 'a', jwks_url = 'https://b'}", "issuer 2, jwks_file, jwks_url: set exactly one"),
            ("{jwks_url = 'http://id.example/keys'}", "issuer 2, jwks_url: must be an https URL"),
            ("{jwks = 'a'}", "issuer 2, jwks: no such key"),
            (
                "{jwks_file = 'a', issuer = 'b', audience = 'c', algorithms = ['HS256']}",
                "issuer 2, algorithms: must be a list of",
            ),
            (
                "{jwks_file = 'a', issuer = 'b', audience = 'c', algorithms = []}",
                "issuer 2, algorithms: must be a list",
            ),
            (good, "issuer 2, issuer: is listed twice"),
            ("5", "must be an array of tables"),
        ] {
            let why = Issuers::from_text(&format!("[{good}, {second}]")).expect_err(second);
            assert!(why.starts_with(expected), "{second}: {why}");
        }
        for text in ["", "5", "[", "[]\nx = 1", "https://id.example"] {
            assert!(Issuers::from_text(text).is_err(), "{text}");
        }
    }

    #[test]
    fn keys_come_by_tls_or_from_this_machine() {
        for (text, parts) in [
            ("https://id.example/keys?v=1", Some(("id.example", 443, "/keys?v=1"))),
            ("https://id.example:8443", Some(("id.example", 8443, "/"))),
            ("http://127.0.0.1:9/keys", Some(("127.0.0.1", 9, "/keys"))),
            ("http://[::1]:9/keys", Some(("::1", 9, "/keys"))),
            ("http://localhost/keys", Some(("localhost", 80, "/keys"))),
            ("http://id.example/keys", None),
            ("http://127.0.0.1.example/keys", None),
            ("https://me@id.example/keys", None),
            ("https://id.example?v=1", Some(("id.example", 443, "/?v=1"))),
            ("https://id.example/keys#1", None),
            ("https://id.example/my keys", None),
            ("https://id.example:x/keys", None),
            ("https://:443/keys", None),
            ("http://localhost:80:80/keys", None),
            ("ftp://id.example/keys", None),
            ("/keys", None),
            ("", None),
        ] {
            let url = KeyUrl::new(text).ok();
            assert_eq!(url.as_ref().map(|url| (url.host(), url.port(), url.target())), parts, "{text}");
        }
    }
}
