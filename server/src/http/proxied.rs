//! The PROXY protocol, version 2: a trusted proxy names the client before the first request.
//!
//! Source: the specification of `HAProxy`, `doc/proxy-protocol.txt`, section 2.2.

use std::io;
use std::net::IpAddr;

use proxy_header::{ParseConfig, ProxyHeader};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::TcpStream;

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// Signature, version, command, family and length.
const FIXED_BYTES: usize = 16;

/// Longest rest that is read, in bytes: addresses and what the proxy tells about TLS. Real ones have some hundred.
const REST_BYTES_MAX: usize = 4 * 1_024;

/// The client that a trusted proxy speaks for on a new connection; `None` if it names none. Reads nothing else.
///
/// # Errors
///
/// Any error of the connection, and a header that cannot be read.
pub(super) async fn client(stream: &mut TcpStream) -> io::Result<Option<IpAddr>> {
    // Neither a request nor a TLS handshake begins as the signature does.
    let mut first = [0];
    let begins = stream.peek(&mut first).await? == 1 && first[0] == SIGNATURE[0];
    if begins { read(stream).await } else { Ok(None) }
}

/// Reads the header, and not a byte more.
async fn read(io: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<IpAddr>> {
    let mut bytes = vec![0; FIXED_BYTES];
    io.read_exact(&mut bytes).await?;
    let rest = usize::from(u16::from_be_bytes([bytes[FIXED_BYTES - 2], bytes[FIXED_BYTES - 1]]));
    if !bytes.starts_with(SIGNATURE) || rest > REST_BYTES_MAX {
        return Err(io::Error::other("the connection begins with neither a request nor a PROXY header"));
    }
    bytes.resize(FIXED_BYTES + rest, 0);
    io.read_exact(&mut bytes[FIXED_BYTES..]).await?;
    let config = ParseConfig { include_tlvs: false, allow_v1: false, allow_v2: true };
    let (header, _) = ProxyHeader::parse(&bytes, config)
        .map_err(|error| io::Error::other(format!("the PROXY header cannot be read: {error}")))?;
    // A proxy that speaks for itself, to check the server's health, names nobody.
    Ok(header.proxied_address().map(|address| address.source.ip()))
}

#[cfg(test)]
mod fuzz {
    use castellan_fuzz::bolero::check;
    use castellan_fuzz::{BRIEFLY, Input, spoiled};

    use super::tests::{V4, header};
    use super::*;

    #[test]
    fn any_bytes_are_a_header_or_an_error_and_the_request_behind_it_is_left_alone() {
        const REQUEST: &[u8] = b"GET / HTTP/1.1";
        let v6 = [&[0x20, 1, 0xd, 0xb9][..], &[0; 11], &[7], &[0; 16], &[0, 1, 0, 2]].concat();
        let headers = spoiled(vec![
            header(0x21, 0x11, V4),
            header(0x21, 0x21, &v6),
            header(0x21, 0x11, &[V4, &[4, 0, 3, 1, 2, 3]].concat()),
            header(0x20, 0x00, &[]),
            header(0x21, 0x31, &[0; 216]),
        ]);
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let runtime = std::panic::AssertUnwindSafe(runtime);
        check!().with_generator(headers).with_test_time(BRIEFLY).for_each(|Input(bytes): &Input| {
            let all = [bytes, REQUEST].concat();
            let mut rest = all.as_slice();
            if runtime.block_on(read(&mut rest)).is_ok() {
                let length = usize::from(u16::from_be_bytes([all[FIXED_BYTES - 2], all[FIXED_BYTES - 1]]));
                assert!(all.starts_with(SIGNATURE), "{bytes:?}");
                assert_eq!(rest.len(), all.len() - FIXED_BYTES - length, "{bytes:?}");
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header with this command, family and rest.
    pub(super) fn header(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).expect("short");
        [SIGNATURE, &[command, family], &length.to_be_bytes(), rest].concat()
    }

    /// Two addresses and two ports.
    pub(super) const V4: &[u8] = &[198, 51, 100, 1, 192, 0, 2, 1, 0x10, 0, 0x1f, 0x90];

    #[tokio::test]
    async fn a_header_is_read_to_its_last_byte_and_no_further() {
        let v6 = [&[0x20, 1, 0xd, 0xb9][..], &[0; 11], &[7], &[0; 16], &[0, 1, 0, 2]].concat();
        let with_tlv = [V4, &[4, 0, 3, 1, 2, 3]].concat();
        let table: &[(Vec<u8>, Option<&str>)] = &[
            (header(0x21, 0x11, V4), Some("198.51.100.1")),
            (header(0x21, 0x21, &v6), Some("2001:db9::7")),
            (header(0x21, 0x11, &with_tlv), Some("198.51.100.1")),
            (header(0x20, 0x11, V4), None),
            (header(0x20, 0x00, &[]), None),
            (header(0x21, 0x31, &[0; 216]), None),
        ];
        for (bytes, expected) in table {
            let all = [bytes, &b"GET / HTTP/1.1"[..]].concat();
            let mut rest = all.as_slice();
            let client = read(&mut rest).await.expect("a header");
            assert_eq!(client.map(|client| client.to_string()).as_deref(), *expected, "{bytes:?}");
            assert_eq!(rest, b"GET / HTTP/1.1");
        }
    }

    #[tokio::test]
    async fn a_broken_header_is_an_error() {
        for bytes in [
            header(0x11, 0x11, V4),
            header(0x22, 0x11, V4),
            header(0x21, 0x11, &V4[..8]),
            header(0x21, 0x51, V4),
            header(0x21, 0x11, &[0; REST_BYTES_MAX + 1]),
            header(0x21, 0x11, V4)[..20].to_vec(),
            b"\r\nGET / HTTP/1.1\r\n\r\n".to_vec(),
        ] {
            assert!(read(&mut bytes.as_slice()).await.is_err(), "{bytes:?}");
        }
    }
}
