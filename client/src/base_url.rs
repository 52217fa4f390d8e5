//! The address of a server.

use std::str::FromStr;

/// An invalid address. The text says what is wrong with it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct BadUrl(pub(crate) String);

/// The address of a server: `https://host:port`, or `http://host:port` without encryption.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseUrl {
    is_secure: bool,
    /// `host:port`.
    authority: String,
    /// Prefix of every path, without a trailing slash.
    prefix: String,
}

impl BaseUrl {
    /// True for the encrypted scheme.
    pub(crate) fn is_secure(&self) -> bool {
        self.is_secure
    }

    /// `host:port`. The port defaults to that of the scheme.
    pub(crate) fn authority(&self) -> &str {
        &self.authority
    }

    /// The host without the port.
    pub(crate) fn host(&self) -> &str {
        self.authority.rsplit_once(':').map_or(&self.authority, |(host, _)| host)
    }

    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Parses a URL with one of two schemes.
    pub(crate) fn parse(text: &str, plain: &str, secure: &str) -> Result<Self, BadUrl> {
        let bad = |why: &str| BadUrl(format!("{text}: {why}"));
        let (is_secure, rest) = match (text.strip_prefix(secure), text.strip_prefix(plain)) {
            (Some(rest), _) => (true, rest),
            (None, Some(rest)) => (false, rest),
            (None, None) => return Err(bad(&format!("must begin with {secure} or {plain}"))),
        };
        let (authority, prefix) = rest.find('/').map_or((rest, ""), |slash| rest.split_at(slash));
        let port = authority.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok());
        let default_port = if is_secure { 443 } else { 80 };
        let authority = if port.is_some() { authority.to_owned() } else { format!("{authority}:{default_port}") };
        if authority.starts_with(':') || authority.contains(['@', '?', '#', ' ']) {
            return Err(bad("the host is missing or invalid"));
        }
        Ok(Self { is_secure, authority, prefix: prefix.trim_end_matches('/').to_owned() })
    }
}

impl FromStr for BaseUrl {
    type Err = BadUrl;

    fn from_str(text: &str) -> Result<Self, BadUrl> {
        Self::parse(text, "http://", "https://")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_servers_address_begins_with_its_scheme() {
        let read = |text: &str| text.parse::<BaseUrl>().map(|base| (base.is_secure, base.authority, base.prefix)).ok();
        let base = |authority: &str, prefix: &str| Some((false, authority.to_owned(), prefix.to_owned()));
        assert_eq!(read("http://127.0.0.1:8080"), base("127.0.0.1:8080", ""));
        assert_eq!(read("http://[::1]:8080/"), base("[::1]:8080", ""));
        assert_eq!(read("http://game.example/castellan/"), base("game.example:80", "/castellan"));
        let secure = |authority: &str, prefix: &str| Some((true, authority.to_owned(), prefix.to_owned()));
        assert_eq!(read("https://game.example"), secure("game.example:443", ""));
        assert_eq!(read("https://[::1]:8443/castellan/"), secure("[::1]:8443", "/castellan"));
        for bad in ["HTTPS://game.example", "ws://game.example", "game.example", "http://", "http://a@b", "http://:80"]
        {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
