//! The handshake of a link: an upgrade of HTTP/1.1 in which both ends prove that they know the node's secret.
//!
//! The secret itself never travels. A proof is about everything that both ends have said, and each of them has put a
//! random number into that. So nobody can use a proof again, or pass it on to another process. Under TLS it is also about
//! the TLS connection, so nobody can pass it on to another one.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::timeout;
use uuid::Uuid;

use super::Binding;

/// The protocol that `Upgrade` names.
pub const UPGRADE: &str = "castellan-link";

/// Time limit for the whole handshake at the gateway, and for the gateway's proof at the node.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(2);

/// Bytes of a random number.
pub const NONCE_BYTES: usize = 32;

/// Bytes of a proof.
const PROOF_BYTES: usize = 32;

/// Shortest secret, in bytes: as long as what HMAC-SHA-256 gives.
const SECRET_BYTES_MIN: usize = 32;

/// A random number that one end has made for this handshake alone.
pub type Nonce = [u8; NONCE_BYTES];

/// The names of the header fields.
pub mod header {
    /// The oldest and the newest version that the gateway speaks: `1-2`.
    pub const VERSIONS: &str = "castellan-link-versions";
    /// The version that the node has chosen.
    pub const VERSION: &str = "castellan-link-version";
    /// The process that the gateway means.
    pub const PROCESS: &str = "castellan-process";
    /// The process of the gateway.
    pub const GATEWAY: &str = "castellan-gateway";
    /// The sender's random number, in Base64.
    pub const NONCE: &str = "castellan-nonce";
    /// The node's proof, in Base64. The gateway's is the first that it sends after the upgrade, as bare bytes.
    pub const PROOF: &str = "castellan-proof";
}

/// The secret of a node's process. Gateways read it in the database.
#[derive(Clone)]
pub struct Secret(Arc<[u8]>);

impl Secret {
    /// `None` if it is too short to be one.
    pub fn new(bytes: &[u8]) -> Option<Self> {
        (bytes.len() >= SECRET_BYTES_MIN).then(|| Self(bytes.into()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// A gateway's request for a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// The oldest and the newest version that the gateway speaks.
    pub versions: (u16, u16),
    /// The process that the gateway means.
    pub process: Uuid,
    /// The process of the gateway.
    pub gateway: Uuid,
    /// The gateway's random number.
    pub nonce: Nonce,
}

/// Why a node opens no link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoLink {
    /// The request asks for something else.
    #[error("this path accepts only links; send Upgrade: castellan-link and Connection: Upgrade")]
    NoUpgrade,
    /// A header field is missing, or cannot be read.
    #[error("{0}: missing, or cannot be read")]
    Malformed(&'static str),
    /// The link is meant for another process.
    #[error("this process is not the one that the link is meant for")]
    OtherProcess,
    /// The two have no version in common.
    #[error(
        "castellan-link-versions: the gateway speaks {}, this node {}; update the older one", range(*.asked), range(*.spoken)
    )]
    NoCommonVersion {
        /// The oldest and the newest version that the gateway speaks.
        asked: (u16, u16),
        /// Those of the node.
        spoken: (u16, u16),
    },
}

impl Request {
    /// Reads a request. `field` gives the value of a header field.
    ///
    /// # Errors
    ///
    /// It asks for no link, or a header field cannot be read.
    pub fn read<'a>(field: impl Fn(&'static str) -> Option<&'a str>) -> Result<Self, NoLink> {
        let names = |name, wanted: &str| {
            field(name).is_some_and(|list| list.split(',').any(|item| item.trim().eq_ignore_ascii_case(wanted)))
        };
        if !names("upgrade", UPGRADE) || !names("connection", "upgrade") {
            return Err(NoLink::NoUpgrade);
        }
        let read = |name| field(name).ok_or(NoLink::Malformed(name));
        let process = |name| read(name)?.parse().map_err(|_| NoLink::Malformed(name));
        let versions = read(header::VERSIONS)?.split_once('-');
        let versions = versions.and_then(|(oldest, newest)| Some((oldest.parse().ok()?, newest.parse().ok()?)));
        Ok(Self {
            versions: versions.ok_or(NoLink::Malformed(header::VERSIONS))?,
            process: process(header::PROCESS)?,
            gateway: process(header::GATEWAY)?,
            nonce: decode(read(header::NONCE)?).ok_or(NoLink::Malformed(header::NONCE))?,
        })
    }

    /// The terms under which this process, which speaks these versions, accepts the request. `binding`: the TLS connection
    /// that it came on.
    ///
    /// # Errors
    ///
    /// Another process is meant, or there is no common version.
    pub fn accept(
        &self,
        spoken: (u16, u16),
        process: Uuid,
        node_nonce: Nonce,
        binding: Option<Binding>,
    ) -> Result<Terms, NoLink> {
        if self.process != process {
            return Err(NoLink::OtherProcess);
        }
        let version = self.versions.1.min(spoken.1);
        if version < self.versions.0.max(spoken.0) {
            return Err(NoLink::NoCommonVersion { asked: self.versions, spoken });
        }
        Ok(Terms { version, process, gateway: self.gateway, gateway_nonce: self.nonce, node_nonce, binding })
    }
}

/// Everything that the two ends have said, and so what a proof is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// The version that they will speak.
    pub version: u16,
    /// The process of the node.
    pub process: Uuid,
    /// The process of the gateway.
    pub gateway: Uuid,
    /// The gateway's random number.
    pub gateway_nonce: Nonce,
    /// The node's random number.
    pub node_nonce: Nonce,
    /// The TLS connection below the link, if there is one.
    pub binding: Option<Binding>,
}

/// The end that proves something. A proof of one is none of the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Node,
    Gateway,
}

impl Terms {
    /// The header fields of the node's answer, as names and values.
    pub fn answer(&self, secret: &Secret) -> [(&'static str, String); 3] {
        [
            (header::VERSION, self.version.to_string()),
            (header::NONCE, encode(&self.node_nonce)),
            (header::PROOF, encode(&self.prove(End::Node, secret))),
        ]
    }

    pub(super) fn prove(&self, end: End, secret: &Secret) -> [u8; PROOF_BYTES] {
        self.mac(end, secret).finalize().into_bytes().into()
    }

    /// Compares in a time that says nothing about the right proof.
    pub(super) fn is_proof(&self, end: End, secret: &Secret, proof: &[u8]) -> bool {
        self.mac(end, secret).verify_slice(proof).is_ok()
    }

    fn mac(&self, end: End, secret: &Secret) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&secret.0).expect("HMAC takes keys of any length");
        // The first part ends with a zero byte, all others have a fixed length, and only the last one may be missing. So
        // two terms never look the same.
        mac.update(match end {
            End::Node => b"castellan link, node\0",
            End::Gateway => b"castellan link, gateway\0",
        });
        mac.update(&self.version.to_be_bytes());
        mac.update(self.process.as_bytes());
        mac.update(self.gateway.as_bytes());
        mac.update(&self.gateway_nonce);
        mac.update(&self.node_nonce);
        if let Some(binding) = &self.binding {
            mac.update(binding);
        }
        mac
    }
}

/// Why a node drops a connection after the upgrade.
#[derive(Debug, thiserror::Error)]
pub enum Unproven {
    /// The gateway went away.
    #[error("the gateway hung up before its proof")]
    CutOff(#[source] io::Error),
    /// The gateway sent nothing for too long.
    #[error("the gateway's proof did not arrive within {HANDSHAKE_TIMEOUT:?}")]
    Late,
    /// The gateway does not know the secret.
    #[error("the gateway's proof is wrong: it does not know the secret of this process")]
    Wrong,
}

/// Reads the gateway's proof, after the upgrade. Takes the bytes that were read with the request, and returns those that
/// follow the proof.
///
/// # Errors
///
/// There is no proof: the connection must be dropped.
pub async fn confirm(
    io: &mut (impl AsyncRead + Unpin),
    mut leftover: Vec<u8>,
    terms: &Terms,
    secret: &Secret,
) -> Result<Vec<u8>, Unproven> {
    let reading = async {
        while leftover.len() < PROOF_BYTES {
            if io.read_buf(&mut leftover).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(())
    };
    timeout(HANDSHAKE_TIMEOUT, reading).await.map_err(|_| Unproven::Late)?.map_err(Unproven::CutOff)?;
    let rest = leftover.split_off(PROOF_BYTES);
    if terms.is_proof(End::Gateway, secret, &leftover) { Ok(rest) } else { Err(Unproven::Wrong) }
}

/// Versions, as they travel: the oldest and the newest.
pub fn range((oldest, newest): (u16, u16)) -> String {
    format!("{oldest}-{newest}")
}

pub(super) fn encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

pub(super) fn decode<const N: usize>(text: &str) -> Option<[u8; N]> {
    STANDARD.decode(text).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::super::VERSIONS;
    use super::*;

    const REQUEST: Request = Request {
        versions: VERSIONS,
        process: Uuid::from_u128(1),
        gateway: Uuid::from_u128(2),
        nonce: [3; NONCE_BYTES],
    };

    fn terms() -> Terms {
        REQUEST.accept(VERSIONS, REQUEST.process, [4; NONCE_BYTES], None).expect("terms")
    }

    fn secret(byte: u8) -> Secret {
        Secret::new(&[byte; 32]).expect("long enough")
    }

    #[test]
    fn a_short_secret_is_none_and_a_secret_is_not_shown() {
        assert!(Secret::new(&[7; 31]).is_none());
        assert!(!format!("{:?}", secret(77)).contains("77"));
    }

    #[test]
    fn a_request_that_cannot_be_read_says_which_field() {
        let good = [
            ("upgrade", "castellan-link".to_owned()),
            ("connection", "keep-alive, Upgrade".to_owned()),
            (header::VERSIONS, range(VERSIONS)),
            (header::PROCESS, REQUEST.process.to_string()),
            (header::GATEWAY, REQUEST.gateway.to_string()),
            (header::NONCE, encode(&REQUEST.nonce)),
        ];
        let read = |fields: &[(&'static str, String)]| {
            Request::read(|name| fields.iter().find(|(other, _)| *other == name).map(|(_, value)| value.as_str()))
        };
        assert_eq!(read(&good), Ok(REQUEST));
        for (at, bad) in [
            (0, "websocket"),
            (1, "close"),
            (2, "1"),
            (2, "1-x"),
            (2, "1-70000"),
            (3, "7"),
            (4, ""),
            (5, "AAAA"),
            (5, "not Base64"),
        ] {
            let mut fields = good.clone();
            bad.clone_into(&mut fields[at].1);
            let expected = if at < 2 { NoLink::NoUpgrade } else { NoLink::Malformed(fields[at].0) };
            assert_eq!(read(&fields), Err(expected), "{bad}");
            let left_out = [&good[..at], &good[at + 1..]].concat();
            assert_eq!(read(&left_out), Err(expected), "without {}", good[at].0);
        }
    }

    #[test]
    fn the_newest_common_version_is_chosen_and_only_for_the_process_that_is_meant() {
        for (asked, spoken, expected) in [
            ((1, 1), (1, 1), Some(1)),
            ((1, 2), (1, 1), Some(1)),
            ((1, 1), (1, 2), Some(1)),
            ((1, 2), (1, 2), Some(2)),
            ((2, 3), (1, 2), Some(2)),
            ((1, 2), (2, 3), Some(2)),
            ((0, 9), (3, 4), Some(4)),
            ((2, 3), (1, 1), None),
            ((1, 1), (2, 3), None),
            ((2, 1), (1, 2), None),
        ] {
            let request = Request { versions: asked, ..REQUEST };
            let version = request.accept(spoken, request.process, [0; NONCE_BYTES], None).map(|terms| terms.version);
            assert_eq!(version, expected.ok_or(NoLink::NoCommonVersion { asked, spoken }), "{asked:?} and {spoken:?}");
        }
        assert_eq!(REQUEST.accept(VERSIONS, Uuid::from_u128(9), [0; NONCE_BYTES], None), Err(NoLink::OtherProcess));
    }

    #[test]
    fn a_proof_holds_only_for_its_end_its_secret_and_exactly_these_terms() {
        let terms = terms();
        let proof = terms.prove(End::Gateway, &secret(5));
        assert!(terms.is_proof(End::Gateway, &secret(5), &proof));
        assert!(!terms.is_proof(End::Node, &secret(5), &proof), "sent back to its sender");
        assert!(!terms.is_proof(End::Gateway, &secret(6), &proof));
        assert!(!terms.is_proof(End::Gateway, &secret(5), &proof[..31]));
        for other in [
            Terms { version: terms.version + 1, ..terms },
            Terms { process: Uuid::from_u128(9), ..terms },
            Terms { gateway: Uuid::from_u128(9), ..terms },
            Terms { process: terms.gateway, gateway: terms.process, ..terms },
            Terms { gateway_nonce: [9; 32], ..terms },
            Terms { node_nonce: [9; 32], ..terms },
            Terms { gateway_nonce: terms.node_nonce, node_nonce: terms.gateway_nonce, ..terms },
            Terms { binding: Some([6; 32]), ..terms },
        ] {
            assert!(!other.is_proof(End::Gateway, &secret(5), &proof), "{other:?}");
        }
        let (here, there) = (Terms { binding: Some([6; 32]), ..terms }, Terms { binding: Some([7; 32]), ..terms });
        let proof = here.prove(End::Gateway, &secret(5));
        assert!(here.is_proof(End::Gateway, &secret(5), &proof));
        assert!(!there.is_proof(End::Gateway, &secret(5), &proof), "passed on to another TLS connection");
        assert!(!terms.is_proof(End::Gateway, &secret(5), &proof), "passed on without TLS");
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_reads_nothing_before_the_right_proof() {
        let (terms, secret) = (terms(), secret(5));
        let proof = terms.prove(End::Gateway, &secret);
        let behind = [&proof[..], b"behind"].concat();
        for cut in [0, 1, 31, 32, 38] {
            let (first, mut second) = (behind[..cut].to_vec(), &behind[cut..]);
            let mut rest = confirm(&mut second, first, &terms, &secret).await.expect("a proof");
            rest.extend_from_slice(second);
            assert_eq!(rest, b"behind", "{cut}");
        }
        let confirm = async |mut bytes: &[u8]| confirm(&mut bytes, Vec::new(), &terms, &secret).await;
        assert!(matches!(confirm(&proof[..31]).await, Err(Unproven::CutOff(_))));
        let node_proof = terms.prove(End::Node, &secret);
        assert!(matches!(confirm(&node_proof).await, Err(Unproven::Wrong)));
        let replayed = Terms { node_nonce: [8; 32], ..terms }.prove(End::Gateway, &secret);
        assert!(matches!(confirm(&replayed).await, Err(Unproven::Wrong)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_gateway_that_does_not_prove_itself_in_time_is_dropped() {
        let (mut here, _there) = tokio::io::duplex(64);
        let began = tokio::time::Instant::now();
        let late = confirm(&mut here, vec![0; 31], &terms(), &secret(5)).await;
        assert!(matches!(late, Err(Unproven::Late)));
        assert!(began.elapsed() >= HANDSHAKE_TIMEOUT && began.elapsed() < HANDSHAKE_TIMEOUT * 2);
    }
}
