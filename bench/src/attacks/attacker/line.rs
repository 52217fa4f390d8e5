//! A connection of the attackers.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::caller::status;

/// Time limit for a connection.
const PATIENCE: Duration = Duration::from_secs(10);

/// Largest answer that is waited for, in bytes.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Pause after a connection that failed. A refused attacker comes again, but does not only attack its own kernel.
pub(super) const PAUSE: Duration = Duration::from_millis(50);

/// Connects from a loopback address. The connection ends with a reset, so that its port is free again.
pub(super) async fn connect(source: Ipv4Addr, address: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from((source, 0)))?;
    socket.set_zero_linger()?;
    let stream = timeout(PATIENCE, socket.connect(address)).await??;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Sends a request, and reads its answer's head and body. Returns the status and the text.
pub(super) async fn ask(stream: &mut TcpStream, request: &[u8]) -> io::Result<(u16, String)> {
    stream.write_all(request).await?;
    let mut answer = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&answer);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let status = status(head).ok_or(io::ErrorKind::InvalidData)?;
            let length = content_length(head);
            if body.len() >= length {
                return Ok((status, body.to_owned()));
            }
        }
        let mut chunk = [0; 4 * 1024];
        let read = stream.read(&mut chunk).await?;
        if read == 0 || answer.len() > ANSWER_BYTES_MAX {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        answer.extend_from_slice(&chunk[..read]);
    }
}

fn content_length(head: &str) -> usize {
    let mut fields = head.lines().filter_map(|line| line.split_once(':'));
    fields
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, length)| length.trim().parse().ok())
        .unwrap_or(0)
}

/// Reads until the connection ends, and returns its last bytes.
pub(super) async fn read_to_end(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> Vec<u8> {
    let (mut buffer, mut last) = (vec![0; 64 * 1024], Vec::new());
    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
        last.extend_from_slice(&buffer[..read]);
        let surplus = last.len().saturating_sub(256);
        last.drain(..surplus);
    }
    last
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_of_a_body_is_found() {
        assert_eq!(content_length("HTTP/1.1 200 OK\r\nContent-Length: 17\r\nA: b"), 17);
        assert_eq!(content_length("HTTP/1.1 204 No Content"), 0);
    }
}
