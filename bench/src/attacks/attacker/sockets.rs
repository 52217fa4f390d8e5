//! Attacks over WebSockets: floods of cheap frames, answers that nobody reads, slow bytes, forged tokens.

use std::io;
use std::rc::Rc;

use castellan_srd::wire::{
    Action, CharacterId, ClientFrame, Codec, Fetch, Intent, ModifyHitpoints, RequestId, Version,
};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::sleep;
use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;

use super::line::{PAUSE, ask, connect, read_to_end};
use super::requests::drip;
use super::{Account, Attack, at_once};
use crate::attacks::addresses::ATTACKERS;
use crate::attacks::kind::Kind;
use crate::attacks::play::close_code;
use crate::frame::{BINARY, FIRST_ID, MASK, PING, PONG, push_masked};

/// Sockets of a flood.
const FLOODING: usize = 4;

/// Bytes sent at once in a flood.
const CHUNK_BYTES: usize = 64 * 1024;

const UNREAD_SOCKETS: usize = 100;

const SLOW_SOCKETS: usize = 500;

const FORGERS: usize = 32;

/// Sockets of one session.
const SOCKETS_PER_SESSION: usize = 4;

/// RFC 6455's operation code of a fragment that continues a message.
const CONTINUATION: u8 = 0;

/// Opens a socket; the error is the status of a refusal, 0 if there was no answer.
pub(super) async fn open(attack: &Attack, token: &str) -> Result<TcpStream, u16> {
    let address = attack.orders.address;
    let mut stream = connect(ATTACKERS, address).await.map_err(|_| 0_u16)?;
    let request = format!(
        "GET /socket HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nAuthorization: Bearer {token}\r\n\r\n"
    );
    match ask(&mut stream, request.as_bytes()).await {
        Ok((101, _)) => Ok(stream),
        Ok((status, _)) => Err(status),
        Err(_) => Err(0),
    }
}

/// Opens a socket again and again; `attack_with` uses it until it ends.
async fn keep_open(attack: &Attack, account: &Account, attack_with: impl AsyncFn(&mut TcpStream) -> io::Result<()>) {
    loop {
        match open(attack, &account.token).await {
            Ok(mut stream) => {
                attack.deeds.count("sockets");
                if attack_with(&mut stream).await.is_err() {
                    attack.deeds.count("ended");
                }
            }
            Err(status) => attack.deeds.count(&format!("refused sockets, status {status}")),
        }
        sleep(PAUSE).await;
    }
}

/// Sends cheap frames as fast as possible, and reads the answers.
pub(super) async fn flood(attack: &Rc<Attack>) {
    at_once(attack, FLOODING, |attack, _| async move {
        let account = &attack.orders.accounts[0];
        let (first, frame) = frames(attack.orders.kind, account.character);
        let count = (CHUNK_BYTES / frame.len()).max(1);
        let chunk = frame.repeat(count);
        keep_open(&attack, account, async |stream| {
            stream.write_all(&first).await?;
            let (mut reader, mut writer) = stream.split();
            let send = async {
                while writer.write_all(&chunk).await.is_ok() {
                    attack.deeds.add("frames given to the kernel", count as u64);
                }
            };
            let (last, ()) = tokio::join!(read_to_end(&mut reader), send);
            attack.deeds.count(&format!("closed with {}", last_code(&last)));
            Ok(())
        })
        .await;
    })
    .await;
}

/// The code in a close frame at the end of the received bytes; 1006 stands for none, as in RFC 6455, section 7.1.5.
fn last_code(last: &[u8]) -> u16 {
    const FINAL_CLOSE: u8 = 0x88;
    let begin = last.iter().enumerate().rposition(|(at, byte)| {
        *byte == FINAL_CLOSE && last.get(at + 1).is_some_and(|length| usize::from(*length) == last.len() - at - 2)
    });
    begin.map_or(1006, |at| close_code(&last[at + 2..]))
}

/// The frame that begins a flood, and the one that is repeated.
fn frames(kind: Kind, character: CharacterId) -> (Vec<u8>, Vec<u8>) {
    let (mut first, mut frame) = (Vec::new(), Vec::new());
    match kind {
        Kind::Pings => push_masked(PING, b"", &mut frame),
        Kind::Pongs => push_masked(PONG, b"", &mut frame),
        Kind::EmptyFragments => {
            push_fragment(BINARY, &mut first);
            push_fragment(CONTINUATION, &mut frame);
        }
        Kind::UnknownFrames => push_masked(BINARY, b"\x81\xa7nonsuch\x80", &mut frame),
        _ => push_masked(BINARY, &unknown_action(character), &mut frame),
    }
    (first, frame)
}

/// Appends an empty fragment that is not a message's last.
fn push_fragment(operation: u8, out: &mut Vec<u8>) {
    let header = FrameHeader { is_final: false, opcode: operation.into(), mask: Some(MASK), ..FrameHeader::default() };
    header.format(0, out).expect("memory takes every byte");
}

/// An intent whose action has a name that no action has.
fn unknown_action(character: CharacterId) -> Vec<u8> {
    let intent = Intent {
        id: RequestId::new(FIRST_ID),
        character,
        after: None,
        expect: Some(Version::new(0)),
        action: Action::ModifyHitpoints(ModifyHitpoints { delta: 1, critical: false }),
        ack: None,
        traceparent: None,
        user: None,
    };
    let mut bytes = Vec::new();
    Codec::MessagePack.encode(&ClientFrame::Intent(intent), &mut bytes);
    let name = b"modify_hitpoints";
    let at = bytes.windows(name.len()).position(|window| window == name).expect("the action's name");
    bytes[at..at + name.len()].copy_from_slice(b"nonsuch_anywhere");
    bytes
}

/// Fetches a character again and again, and never reads.
pub(super) async fn unread_fetches(attack: &Rc<Attack>) {
    at_once(attack, UNREAD_SOCKETS, |attack, number| async move {
        let account = &attack.orders.accounts[number / SOCKETS_PER_SESSION];
        let fetch = Fetch { id: RequestId::new(FIRST_ID), character: account.character, user: None };
        let (mut payload, mut frame) = (Vec::new(), Vec::new());
        Codec::MessagePack.encode(&ClientFrame::Fetch(fetch), &mut payload);
        push_masked(BINARY, &payload, &mut frame);
        let chunk = frame.repeat(100);
        keep_open(&attack, account, async |stream| {
            loop {
                stream.write_all(&chunk).await?;
                attack.deeds.add("fetches given to the kernel", 100);
            }
        })
        .await;
    })
    .await;
}

/// Sends one message, byte by byte.
pub(super) async fn slow(attack: &Rc<Attack>) {
    at_once(attack, SLOW_SOCKETS, |attack, number| async move {
        let account = &attack.orders.accounts[number / SOCKETS_PER_SESSION];
        let mut frame = Vec::new();
        push_masked(BINARY, &[0; 1_000], &mut frame);
        keep_open(&attack, account, async |stream| {
            let (mut reader, mut writer) = stream.split();
            tokio::select! {
                _ = drip(&mut writer, &frame) => {}
                last = read_to_end(&mut reader) => attack.deeds.count(&format!("closed with {}", last_code(&last))),
            }
            Ok(())
        })
        .await;
    })
    .await;
}

/// Asks for sockets with a token whose signature is wrong.
pub(super) async fn forged(attack: &Rc<Attack>) {
    at_once(attack, FORGERS, |attack, _| async move {
        let token = forge(&attack.orders.accounts[0].token);
        loop {
            match open(&attack, &token).await {
                Ok(_) => attack.deeds.count("opened sockets"),
                Err(status) => attack.deeds.count(&format!("refused, status {status}")),
            }
        }
    })
    .await;
}

/// A token with another signature.
fn forge(token: &str) -> String {
    let (signed, signature) = token.rsplit_once('.').unwrap_or_default();
    let other: String = signature.chars().rev().collect();
    format!("{signed}.{other}")
}

#[cfg(test)]
mod tests {
    use castellan_srd::wire::limits::CLIENT_FRAME_BYTES_MAX;

    use super::*;

    #[test]
    fn the_code_of_the_last_close_frame_is_found() {
        assert_eq!(last_code(b"\x8a\x00\x8a\x00\x88\x06\x11\x34rate"), 4404);
        assert_eq!(last_code(b"\x8a\x00\x8a\x00"), 1006);
        assert_eq!(last_code(b""), 1006);
    }

    #[test]
    fn an_unknown_action_is_a_valid_frame_but_for_its_name() {
        let frame = unknown_action(CharacterId::from_uuid(uuid::Uuid::from_u128(7)));
        assert!(frame.len() < CLIENT_FRAME_BYTES_MAX);
        let why = format!("{:?}", Codec::MessagePack.decode_client_frame::<Action>(&frame).expect_err("unknown"));
        assert!(why.to_lowercase().contains("action"), "{why}");
    }

    #[test]
    fn a_forged_token_differs_only_in_its_signature() {
        assert_eq!(forge("head.claims.abc"), "head.claims.cba");
    }
}
