//! Attacks over HTTP: idle connections, slow and unread requests, creations in a loop.

use std::rc::Rc;
use std::time::Duration;

use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::sleep;

use super::line::{PAUSE, ask, connect, read_to_end};
use super::{Attack, at_once};
use crate::attacks::addresses::ATTACKERS;
use crate::caller::{post, status};
use crate::players::sheet;

const IDLE_CONNECTIONS: usize = 9_000;

/// Time until a refused idle connection comes again.
const IDLE_AGAIN: Duration = Duration::from_secs(1);

const CREATORS: usize = 16;

const SLOW_CONNECTIONS: usize = 500;

/// Time between two bytes of a slow connection.
pub(super) const SLOWNESS: Duration = Duration::from_secs(2);

const UNREAD_CONNECTIONS: usize = 300;

/// Requests sent at once on an unread connection.
const PIPELINED: usize = 100;

/// Connections that send nothing. Those that the server ends come again.
pub(super) async fn idle(attack: &Rc<Attack>) {
    at_once(attack, IDLE_CONNECTIONS, |attack, _| async move {
        loop {
            match connect(ATTACKERS, attack.orders.address).await {
                Ok(mut stream) => {
                    attack.deeds.count("connections");
                    let last = read_to_end(&mut stream).await;
                    attack.deeds.count(if last.is_empty() { "ended" } else { "refused" });
                }
                Err(_) => attack.deeds.count("failed connections"),
            }
            sleep(IDLE_AGAIN).await;
        }
    })
    .await;
}

/// Creates and deletes characters.
pub(super) async fn create_delete(attack: &Rc<Attack>) {
    at_once(attack, CREATORS, |attack, _| async move {
        loop {
            if let Ok(mut stream) = connect(ATTACKERS, attack.orders.address).await {
                while create_and_delete(&attack, &mut stream).await.is_ok() {}
            }
            sleep(PAUSE).await;
        }
    })
    .await;
}

async fn create_and_delete(attack: &Attack, stream: &mut TcpStream) -> std::io::Result<()> {
    let (host, token) = (attack.orders.address, &attack.orders.accounts[0].token);
    let create = post(host, "/characters", token, &sheet("Nobody").to_string(), "keep-alive");
    let (status, text) = ask(stream, create.as_bytes()).await?;
    attack.deeds.count(&format!("creations, status {status}"));
    let made: Value = serde_json::from_str(&text).unwrap_or_default();
    let Some(id) = made["id"].as_str() else { return Ok(()) };
    let delete = format!(
        "DELETE /characters/{id} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\nIf-Match: *\r\n\r\n"
    );
    let (status, _) = ask(stream, delete.as_bytes()).await?;
    attack.deeds.count(&format!("deletions, status {status}"));
    Ok(())
}

/// Sends a request byte by byte.
pub(super) async fn slow(attack: &Rc<Attack>) {
    at_once(attack, SLOW_CONNECTIONS, |attack, _| async move {
        let request = format!("GET /health/live HTTP/1.1\r\nHost: {}\r\nA: {}", attack.orders.address, "b".repeat(999));
        loop {
            if let Ok(mut stream) = connect(ATTACKERS, attack.orders.address).await {
                attack.deeds.count("connections");
                let (mut reader, mut writer) = stream.split();
                tokio::select! {
                    _ = drip(&mut writer, request.as_bytes()) => {}
                    last = read_to_end(&mut reader) => {
                        let status = status(&String::from_utf8_lossy(&last)).unwrap_or(0);
                        attack.deeds.count(&format!("ended, status {status}"));
                    }
                }
            }
            sleep(PAUSE).await;
        }
    })
    .await;
}

/// Sends one byte after another, slowly.
pub(super) async fn drip(writer: &mut (impl AsyncWriteExt + Unpin), bytes: &[u8]) -> std::io::Result<()> {
    for byte in bytes {
        writer.write_all(std::slice::from_ref(byte)).await?;
        sleep(SLOWNESS).await;
    }
    Ok(())
}

/// Sends requests without reading the answers.
pub(super) async fn unread(attack: &Rc<Attack>) {
    at_once(attack, UNREAD_CONNECTIONS, |attack, _| async move {
        let (host, token) = (attack.orders.address, &attack.orders.accounts[0].token);
        let request = format!("GET /characters HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n\r\n");
        let requests = request.repeat(PIPELINED);
        loop {
            if let Ok(mut stream) = connect(ATTACKERS, host).await {
                attack.deeds.count("connections");
                while stream.write_all(requests.as_bytes()).await.is_ok() {
                    attack.deeds.add("requests given to the kernel", PIPELINED as u64);
                }
                attack.deeds.count("ended");
            }
            sleep(PAUSE).await;
        }
    })
    .await;
}
