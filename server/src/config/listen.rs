//! Listening addresses, and the limits of HTTP connections.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use ipnet::IpNet;

use super::setting::settings;
use super::text::FromText;

settings! {
    /// Listening addresses, and the limits of HTTP connections.
    Listen under "Listening and HTTP" {
        /// Address for players: HTTP and WebSocket. Port 0 picks a free port.
        "listen" listen: SocketAddr = "127.0.0.1:8080";
        /// Separate address for operators, for metrics and health; or players, to serve metrics on the players' address;
        /// or auto: on the players' address while only this machine can reach the server, otherwise on 127.0.0.1, at the
        /// players' port + 1000.
        "admin_listen" admin_listen: AdminListen = "auto";
        /// Certificate for TLS on the players' address, or on a node's: a PEM file, the server's own certificate first, then
        /// those between it and a root. Needs tls.key. Default: no TLS. SIGHUP reads both files again.
        "tls.cert" tls_cert: Option<PathBuf>;
        /// Key of that certificate: a PEM file, not encrypted.
        "tls.key" tls_key: Option<PathBuf>;
        /// URL under which clients reach this server, used in `socket_url`. Default: the address that a request arrived
        /// at. Needed if clients use a name or a proxy.
        "public_url" public_url: Option<PublicUrl>;
        /// Browser origins that may use HTTP (CORS) and open sockets.
        "origins" origins: Vec<Origin>;
        /// Addresses that tokens of the role game are accepted from, such as 10.0.0.5 or 10.1.0.0/16. Default: all.
        "game_addresses" game_addresses: Vec<IpNet>;
        /// Addresses of proxies in front of this server, such as 10.0.0.0/8. Only these are believed if they name the
        /// client, by Forwarded, X-Forwarded-For or the PROXY protocol, version 2: docs/operate.md.
        "trusted_proxies" trusted_proxies: Vec<IpNet>;
        /// Time limit for a request's head to arrive.
        "http.header_timeout" header_timeout: Duration = "10s", "100ms" to "10m";
        /// How long an idle connection waits for its next request. Longer than a proxy in front keeps idle connections, so
        /// that the proxy never sends a request into a connection that is just being closed.
        "http.idle_timeout" idle_timeout: Duration = "75s", "100ms" to "1h";
        /// Time limit for a request's body to arrive.
        "http.body_timeout" body_timeout: Duration = "10s", "100ms" to "10m";
        /// How long a client may leave an answer unread; then its connection is closed.
        "http.write_timeout" write_timeout: Duration = "30s", "100ms" to "10m";
        /// Bytes that the kernel may hold for one connection, HTTP or WebSocket, whose client does not read. When they are
        /// full, the time begins that a client may leave its answers unread.
        "send_buffer" send_buffer: ByteSize = "128KiB", "16KiB" to "16MiB";
        /// Open HTTP connections of all clients; WebSockets do not count. When all are in use, a newcomer takes the place
        /// of an idle connection of the address that has most. The server accepts fewer if the hard limit on open files
        /// is too low; the log says how many.
        "http.connections_max" connections_max: usize = "4096", "1" to "1000000";
        /// Open HTTP connections from one address (IPv6: one /64). Trusted proxies may have more.
        "http.connections_per_address" connections_per_address: usize = "1000", "1" to "1000000";
        /// HTTP requests that one session may send per second.
        "http.rate_per_second" rate_per_second: u32 = "10000", "1" to "10000000";
        /// HTTP requests that one session may send in a burst on top of that.
        "http.rate_burst" rate_burst: u32 = "10000", "1" to "10000000";
        /// Requests without a session, such as logins and refreshes, that one address (IPv6: one /64) may send per second.
        "http.anonymous_per_second" anonymous_per_second: u32 = "20", "1" to "10000000";
        /// Requests without a session that one address may send in a burst on top of that.
        "http.anonymous_burst" anonymous_burst: u32 = "1000", "1" to "10000000";
        /// Characters that one user may create per day, also if they are deleted again. The role game has no such limit.
        "http.creations_per_day" creations_per_day: u32 = "100", "1" to "1000000";
        /// Guests that one address (IPv6: one /64) may make per day.
        "http.guests_per_day" guests_per_day: u32 = "100", "1" to "1000000";
        /// How long the server goes on after it was told to stop. Meanwhile /health/ready says 503, so that load balancers
        /// send nobody new. A second signal ends the wait.
        "shutdown_delay" shutdown_delay: Duration = "0s", "0s" to "10m";
        /// Time limit for a clean shutdown. Changes not written by then go to a spool file.
        "shutdown_timeout" shutdown_timeout: Duration = "20s", "100ms" to "10m";
    }
}

/// How far the automatic port for operators is from the players' port.
const ADMIN_PORT_DISTANCE: u16 = 1_000;

/// The address for operators, as configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AdminListen {
    /// None while only this machine reaches the server, else a port on loopback.
    Auto,
    /// None: metrics are on the players' address.
    Players,
    /// This one.
    Address(SocketAddr),
}

impl FromText for AdminListen {
    const KIND: &'static str = "auto|players|ADDRESS";

    fn from_text(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "players" => Ok(Self::Players),
            address => SocketAddr::from_text(address)
                .map(Self::Address)
                .map_err(|why| format!("{why}; or one of auto, players")),
        }
    }
}

impl Listen {
    /// Returns true if strangers can reach this server, as far as the settings tell. Then nothing is open unless a
    /// setting opens it.
    pub fn is_exposed(&self) -> bool {
        !self.listen.ip().is_loopback() || self.public_url.is_some() || !self.trusted_proxies.is_empty()
    }

    /// The address for operators, if they have one of their own.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        match self.admin_listen {
            AdminListen::Address(address) => Some(address),
            AdminListen::Players => None,
            AdminListen::Auto => self.is_exposed().then(|| {
                let port = match self.listen.port() {
                    // Any free one.
                    0 => 0,
                    port => port.checked_add(ADMIN_PORT_DISTANCE).unwrap_or(port - ADMIN_PORT_DISTANCE),
                };
                SocketAddr::from((Ipv4Addr::LOCALHOST, port))
            }),
        }
    }
}

/// An origin as browsers send it: scheme, host and port, no path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin(String);

impl Origin {
    /// The origin, as in the `Origin` header.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromText for Origin {
    const KIND: &'static str = "ORIGIN";

    fn from_text(text: &str) -> Result<Self, String> {
        match text.split_once("://") {
            Some((scheme, host)) if is_scheme(scheme) && is_authority(host) => Ok(Self(text.to_ascii_lowercase())),
            _ => Err("must be scheme://host or scheme://host:port without a path, such as https://play.example.com"
                .to_owned()),
        }
    }
}

/// An `http` or `https` URL without a trailing slash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl(String);

impl PublicUrl {
    /// The WebSocket's URL below it.
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
            _ => Err("must be an http or https URL without a query, such as https://play.example.com".to_owned()),
        }
    }
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
}

/// True for a host with an optional port.
pub(super) fn is_authority(text: &str) -> bool {
    !text.is_empty()
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '[' | ']' | '_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_socket_url_lies_below_the_public_url() {
        let socket_url = |text| PublicUrl::from_text(text).map(|url| url.socket_url());
        assert_eq!(socket_url("http://a:8080"), Ok("ws://a:8080/socket".to_owned()));
        assert_eq!(socket_url("https://a.example/game/"), Ok("wss://a.example/game/socket".to_owned()));
        assert!(socket_url("ftp://a").is_err());
        assert!(socket_url("https://").is_err());
        assert!(socket_url("https://a/?x").is_err());
    }

    #[test]
    fn an_origin_with_a_path_is_refused() {
        assert!(Origin::from_text("https://play.example.com:8443").is_ok());
        assert!(Origin::from_text("https://play.example.com/").is_err());
        assert!(Origin::from_text("*").is_err());
    }
}
