//! The address of a client. Only proxies that the operator trusts may name another one than their own.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::extract::FromRequestParts;
use axum::http::Extensions;
use axum::http::header::{FORWARDED, HeaderMap, HeaderName};
use axum::http::request::Parts;
use ipnet::IpNet;

use super::problem::Problem;
use crate::network::Network;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The client's address, by which its logins and requests are limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ClientAddress(IpAddr);

impl ClientAddress {
    /// The client behind a request of `peer`. Only trusted proxies may name another one.
    pub(super) fn of(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> Self {
        let peer = peer.to_canonical();
        if !is_trusted(peer, trusted) {
            return Self(peer);
        }
        let named_by = |header: &HeaderName, node: fn(&str) -> Option<IpAddr>| {
            let lines = headers.get_all(header).iter().rev();
            let elements = lines.flat_map(|line| line.to_str().unwrap_or_default().rsplit(','));
            headers.contains_key(header).then(|| nearest_stranger(peer, elements.map(node), trusted))
        };
        let (forwarded, x_forwarded) = (named_by(&FORWARDED, forwarded_for), named_by(&X_FORWARDED_FOR, address));
        match (forwarded, x_forwarded) {
            // A proxy passes on the header that it does not write, so one of the two may be the client's own invention.
            (Some(one), Some(other)) if one != other => Self(peer),
            (one, other) => Self(one.or(other).unwrap_or(peer)),
        }
    }

    /// The address.
    pub(super) fn ip(self) -> IpAddr {
        self.0
    }

    /// The network that limits count it by.
    pub(super) fn network(self) -> Network {
        Network::of(self.0)
    }
}

impl<S: Sync> FromRequestParts<S> for ClientAddress {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts.extensions.get().copied().ok_or_else(|| Problem::fault(&"the listener did not say who the client is"))
    }
}

impl From<IpAddr> for ClientAddress {
    fn from(address: IpAddr) -> Self {
        Self(address)
    }
}

/// The address of a request's client.
pub(super) fn of_request(extensions: &Extensions) -> IpAddr {
    extensions.get().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |client: &ClientAddress| client.ip())
}

/// Returns true for the address of a trusted proxy.
pub(super) fn is_trusted(address: IpAddr, trusted: &[IpNet]) -> bool {
    trusted.iter().any(|prefix| prefix.contains(&address))
}

/// The first address on the way back from `peer` that is not a trusted proxy's. If a proxy names nobody, or nobody that
/// has an address, the way ends at that proxy.
fn nearest_stranger(peer: IpAddr, hops: impl Iterator<Item = Option<IpAddr>>, trusted: &[IpNet]) -> IpAddr {
    let mut nearest = peer;
    for hop in hops {
        let Some(address) = hop else { break };
        nearest = address;
        if !is_trusted(address, trusted) {
            break;
        }
    }
    nearest
}

/// The `for` of one element of `Forwarded`. Source: RFC 7239, section 4.
fn forwarded_for(element: &str) -> Option<IpAddr> {
    let mut pairs = element.split(';').filter_map(|pair| pair.split_once('='));
    let (_, node) = pairs.find(|(name, _)| name.trim().eq_ignore_ascii_case("for"))?;
    address(node.trim().trim_matches('"'))
}

/// An address, with or without a port.
fn address(node: &str) -> Option<IpAddr> {
    let node = node.trim();
    let bare = node.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(node);
    let address = bare.parse().or_else(|_| node.parse().map(|node: SocketAddr| node.ip()));
    address.ok().map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    /// The client that a server which trusts 10.0.0.0/8 and 2001:db8::/32 sees.
    fn client(peer: &str, lines: &[(&'static str, &str)]) -> String {
        let trusted = ["10.0.0.0/8", "2001:db8::/32"].map(|prefix| prefix.parse().expect("a prefix"));
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_str(value).expect("a value"));
        }
        ClientAddress::of(peer.parse().expect("an address"), &headers, &trusted).ip().to_string()
    }

    #[test]
    fn a_stranger_is_never_believed() {
        for line in [("x-forwarded-for", "198.51.100.1"), ("forwarded", "for=198.51.100.1")] {
            assert_eq!(client("192.0.2.1", &[line]), "192.0.2.1");
            assert_eq!(client("11.0.0.1", &[line]), "11.0.0.1");
        }
    }

    #[test]
    fn the_client_is_the_right_most_address_that_is_no_trusted_proxy() {
        let table: &[(&[(&str, &str)], &str)] = &[
            (&[], "10.0.0.1"),
            (&[("x-forwarded-for", "198.51.100.1")], "198.51.100.1"),
            (&[("x-forwarded-for", "6.6.6.6, 198.51.100.1, 10.0.0.2")], "198.51.100.1"),
            (&[("x-forwarded-for", "6.6.6.6"), ("x-forwarded-for", "198.51.100.1,10.0.0.2")], "198.51.100.1"),
            (&[("x-forwarded-for", "10.0.0.3, 10.0.0.2")], "10.0.0.3"),
            (&[("x-forwarded-for", "198.51.100.1:4711")], "198.51.100.1"),
            (&[("x-forwarded-for", "[2001:db9::1]:4711")], "2001:db9::1"),
            (&[("x-forwarded-for", "[2001:db9::1]")], "2001:db9::1"),
            (&[("x-forwarded-for", "::ffff:198.51.100.1")], "198.51.100.1"),
            (&[("x-forwarded-for", "198.51.100.1, unknown")], "10.0.0.1"),
            (&[("x-forwarded-for", "198.51.100.1, unknown, 10.0.0.2")], "10.0.0.2"),
            (&[("x-forwarded-for", "")], "10.0.0.1"),
            (&[("forwarded", "for=198.51.100.1")], "198.51.100.1"),
            (&[("forwarded", "for=6.6.6.6, proto=https; For=\"198.51.100.1:80\" ;by=10.0.0.2")], "198.51.100.1"),
            (&[("forwarded", "for=\"[2001:db9::1]:4711\", for=\"[2001:db8::7]\"")], "2001:db9::1"),
            (&[("forwarded", "for=198.51.100.1, for=_hidden")], "10.0.0.1"),
            (&[("forwarded", "for=\"6.6.6.6"), ("forwarded", "for=198.51.100.1")], "198.51.100.1"),
            (&[("forwarded", "proto=https")], "10.0.0.1"),
        ];
        for (lines, expected) in table {
            assert_eq!(client("10.0.0.1", lines), *expected, "{lines:?}");
        }
        assert_eq!(client("::ffff:10.0.0.1", &[("x-forwarded-for", "198.51.100.1")]), "198.51.100.1");
    }

    #[test]
    fn two_headers_that_disagree_are_not_believed() {
        let both = |one, other| client("10.0.0.1", &[("forwarded", one), ("x-forwarded-for", other)]);
        assert_eq!(both("for=198.51.100.1", "198.51.100.1"), "198.51.100.1");
        assert_eq!(both("for=6.6.6.6", "198.51.100.1"), "10.0.0.1");
    }
}

#[cfg(test)]
mod fuzz {
    use axum::http::HeaderValue;
    use castellan_fuzz::bolero::check;
    use castellan_fuzz::{BRIEFLY, Input, spoiled};

    use super::*;

    #[test]
    fn spoiled_headers_name_an_address_that_they_contain_or_nobody() {
        let lines = [
            "6.6.6.6, 198.51.100.1:80, 10.0.0.2",
            "[2001:db9::1]:4711, unknown",
            "for=6.6.6.6, proto=https; For=\"198.51.100.1:80\" ;by=10.0.0.2",
            "for=\"[2001:db9::1]:4711\", for=_hidden",
        ];
        let trusted: [IpNet; 1] = ["10.0.0.0/8".parse().expect("a prefix")];
        let lines = spoiled(lines.map(|line| line.as_bytes().to_vec()).into());
        check!().with_generator((lines.clone(), lines)).with_test_time(BRIEFLY).for_each(|lines: &(Input, Input)| {
            let mut headers = HeaderMap::new();
            for (name, Input(line)) in [(FORWARDED, &lines.0), (X_FORWARDED_FOR, &lines.1)] {
                headers.extend(HeaderValue::from_bytes(line).ok().map(|value| (name, value)));
            }
            let stranger: IpAddr = [192, 0, 2, 1].into();
            assert_eq!(ClientAddress::of(stranger, &headers, &trusted).ip(), stranger);
            let proxy: IpAddr = [10, 0, 0, 1].into();
            let client = ClientAddress::of(proxy, &headers, &trusted).ip();
            let is_written = |line: &HeaderValue| {
                let text = line.to_str().unwrap_or_default();
                let nodes = text.split([',', ';', '=']).map(|node| node.trim().trim_matches('"'));
                nodes.filter_map(address).any(|address| address == client)
            };
            assert!(client == proxy || headers.values().any(is_written), "{client} is in none of {headers:?}");
        });
    }
}
