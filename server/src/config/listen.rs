//! Where the server listens, and what HTTP connections may take.

use std::net::SocketAddr;
use std::time::Duration;

use super::setting::settings;
use super::text::FromText;

settings! {
    /// Where the server listens, and what HTTP connections may take.
    Listen under "Listening and HTTP" {
        /// Address for players: HTTP and WebSocket. Port 0 takes a free one.
        "listen" listen: SocketAddr = "127.0.0.1:8080";
        /// Address for operators: metrics and health. Without it metrics stand on the players' address.
        "admin_listen" admin_listen: Option<SocketAddr>;
        /// How clients reach this server from outside, for `socket_url`. Without it the request's Host header says.
        "public_url" public_url: Option<PublicUrl>;
        /// Browser origins that may use HTTP (CORS) and open sockets.
        "origins" origins: Vec<Origin>;
        /// Time for a request's head to arrive, and for an idle connection's next one.
        "http.header_timeout" header_timeout: Duration = "10s", "100ms" to "10m";
        /// Time for a request's body to arrive.
        "http.body_timeout" body_timeout: Duration = "10s", "100ms" to "10m";
        /// Time for which a client may take nothing of an answer that waits for it.
        "http.write_timeout" write_timeout: Duration = "30s", "100ms" to "10m";
        /// Open HTTP connections; further ones wait in the kernel's queue. Sockets do not count.
        "http.connections_max" connections_max: usize = "4096", "1" to "1000000";
        /// HTTP requests that one session may send, a second.
        "http.rate_per_second" rate_per_second: u32 = "10000", "1" to "10000000";
        /// HTTP requests that it may send at once on top of that.
        "http.rate_burst" rate_burst: u32 = "10000", "1" to "10000000";
        /// Time for a clean stop. What is not written by then goes to a spool file.
        "shutdown_timeout" shutdown_timeout: Duration = "20s", "100ms" to "10m";
    }
}

/// An origin as browsers send it: scheme, host and port, nothing behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin(String);

impl Origin {
    /// As it stands in the `Origin` header.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromText for Origin {
    const KIND: &'static str = "ORIGIN";

    fn from_text(text: &str) -> Result<Self, String> {
        match text.split_once("://") {
            Some((scheme, host)) if is_scheme(scheme) && is_authority(host) => Ok(Self(text.to_ascii_lowercase())),
            _ => Err("an origin is a scheme, a host and maybe a port, such as https://play.example.com".to_owned()),
        }
    }
}

/// An `http` or `https` address without a slash at its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl(String);

impl PublicUrl {
    /// The address of the WebSocket below it.
    pub fn socket_url(&self) -> String {
        // `http` becomes `ws` and `https` becomes `wss`.
        format!("ws{}/socket", self.0.strip_prefix("http").unwrap_or(&self.0))
    }
}

impl FromText for PublicUrl {
    const KIND: &'static str = "URL";

    fn from_text(text: &str) -> Result<Self, String> {
        let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
        match rest {
            Some(rest) if is_authority(rest.split('/').next().unwrap_or("")) && !rest.contains(['?', '#']) => {
                Ok(Self(text.trim_end_matches('/').to_owned()))
            }
            _ => Err("must be an address such as https://play.example.com".to_owned()),
        }
    }
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
}

/// A host and maybe a port.
pub(super) fn is_authority(text: &str) -> bool {
    !text.is_empty()
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '[' | ']' | '_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_socket_is_below_the_public_address() {
        let socket_url = |text| PublicUrl::from_text(text).map(|url| url.socket_url());
        assert_eq!(socket_url("http://a:8080"), Ok("ws://a:8080/socket".to_owned()));
        assert_eq!(socket_url("https://a.example/game/"), Ok("wss://a.example/game/socket".to_owned()));
        assert!(socket_url("ftp://a").is_err());
        assert!(socket_url("https://").is_err());
        assert!(socket_url("https://a/?x").is_err());
    }

    #[test]
    fn an_origin_has_nothing_behind_its_port() {
        assert!(Origin::from_text("https://play.example.com:8443").is_ok());
        assert!(Origin::from_text("https://play.example.com/").is_err());
        assert!(Origin::from_text("*").is_err());
    }
}
