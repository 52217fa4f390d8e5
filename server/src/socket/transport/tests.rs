//! The transport between tungstenite's own client and itself, over a stream that gives and takes as little as it likes.

use std::future::poll_fn;

use futures_util::{FutureExt, SinkExt, StreamExt};
use proptest::prelude::*;
use tokio::io::{AsyncWriteExt, DuplexStream, duplex};
use tokio_tungstenite::WebSocketStream;

use super::*;

const READ_BYTES: usize = 1_000;

type Client = WebSocketStream<DuplexStream>;

/// A client and a transport; the stream between them holds so many bytes.
async fn pair(stream_bytes: usize) -> (Client, Transport<DuplexStream>) {
    let (near, far) = duplex(stream_bytes);
    let client = WebSocketStream::from_raw_socket(far, Role::Client, None).await;
    (client, Transport::new(near, Vec::new(), READ_BYTES))
}

/// The same without what it was borrowed from.
fn owned(heard: Heard<'_>) -> Heard<'static> {
    match heard {
        Heard::Message { payload, is_text } => Heard::Message { payload: Cow::Owned(payload.into_owned()), is_text },
        Heard::Fragment => Heard::Fragment,
        Heard::Control => Heard::Control,
        Heard::Close => Heard::Close,
    }
}

fn binary(payload: Vec<u8>) -> Heard<'static> {
    Heard::Message { payload: Cow::Owned(payload), is_text: false }
}

/// Reads until something is heard, or `None` at the end of the stream.
async fn hear<IO: Io>(transport: &mut Transport<IO>) -> Option<Heard<'static>> {
    loop {
        if let Some(heard) = transport.next().expect("WebSocket") {
            return Some(owned(heard));
        }
        if !poll_fn(|cx| transport.poll_read(cx)).await.expect("the stream holds") {
            return None;
        }
    }
}

fn write<IO: Io>(transport: &mut Transport<IO>, payload: &[u8]) {
    transport.begin_frame().extend_from_slice(payload);
    transport.end_frame(Data::Binary);
}

async fn flush<IO: Io>(transport: &mut Transport<IO>) {
    poll_fn(|cx| transport.poll_flush(cx)).await.expect("the stream holds");
}

#[tokio::test]
async fn frames_are_what_a_client_reads_on_both_sides_of_every_length_of_header() {
    let (mut client, mut transport) = pair(64).await;
    let payloads: Vec<Vec<u8>> =
        [1, 125, 126, 127, 255, 65_535, 65_536, 70_000].map(|bytes| vec![bytes as u8; bytes]).into();
    for payload in &payloads {
        write(&mut transport, payload);
    }
    let sent = async { flush(&mut transport).await };
    let heard = async {
        for payload in &payloads {
            let message = client.next().await.expect("a message").expect("WebSocket");
            assert!(message == Message::from(payload.clone()), "{} bytes", payload.len());
        }
    };
    tokio::join!(sent, heard);
    assert_eq!((transport.unsent_bytes(), transport.buffers.output.capacity()), (0, 0), "nothing is kept");
}

#[tokio::test]
async fn a_frame_without_payload_or_taken_back_is_none() {
    let (mut client, mut transport) = pair(4_096).await;
    write(&mut transport, b"one");
    write(&mut transport, b"");
    transport.begin_frame().extend_from_slice(b"never");
    transport.take_back_frame();
    transport.end_frame(Data::Binary);
    write(&mut transport, b"two");
    transport.begin_frame().extend_from_slice(b"half of one");
    transport.close(CloseFrame { code: 4400.into(), reason: "bye".into() }).expect("closes");
    flush(&mut transport).await;
    let mut heard = Vec::new();
    while let Some(Ok(message)) = client.next().await {
        heard.push(message);
        if heard.len() == 3 {
            break;
        }
    }
    assert_eq!(heard[..2], [Message::from("one".as_bytes().to_vec()), Message::from("two".as_bytes().to_vec())]);
    assert!(heard[2].is_close());
}

#[tokio::test]
async fn control_frames_are_answered_in_line_with_what_was_written() {
    let (mut client, mut transport) = pair(4_096).await;
    client.send(Message::Ping(Bytes::from_static(b"there?"))).await.expect("sent");
    write(&mut transport, b"before");
    assert_eq!(hear(&mut transport).await, Some(Heard::Control));
    write(&mut transport, b"after");
    transport.ping();
    flush(&mut transport).await;
    let mut kinds = Vec::new();
    for _ in 0..4 {
        kinds.push(client.next().await.expect("a message").expect("WebSocket"));
    }
    let [before, pong, after, ping] = kinds.try_into().expect("four");
    assert_eq!(before, Message::from("before".as_bytes().to_vec()));
    assert_eq!(pong, Message::Pong(Bytes::from_static(b"there?")));
    assert_eq!(after, Message::from("after".as_bytes().to_vec()));
    assert_eq!(ping, Message::Ping(Bytes::new()));

    client.flush().await.expect("sent");
    assert_eq!(hear(&mut transport).await, Some(Heard::Control));
    client.close(None).await.expect("sent");
    assert_eq!(hear(&mut transport).await, Some(Heard::Close));
    flush(&mut transport).await;
    assert!(client.next().await.expect("the answer").expect("WebSocket").is_close());
}

#[tokio::test]
async fn what_the_peer_does_not_take_stays_and_no_other_connection_gets_it() {
    let (mut client, mut slow) = pair(16).await;
    let (mut other_client, mut other) = pair(4_096).await;
    write(&mut slow, &[7; 1_000]);
    assert!(poll_fn(|cx| slow.poll_flush(cx)).now_or_never().is_none(), "16 bytes are taken at a time");
    write(&mut other, b"of the other one");
    flush(&mut other).await;
    write(&mut slow, &[8; 10]);
    let heard = async {
        for expected in [vec![7; 1_000], vec![8; 10]] {
            assert_eq!(client.next().await.expect("a message").expect("WebSocket"), Message::from(expected));
        }
    };
    tokio::join!(flush(&mut slow), heard);
    let heard = other_client.next().await.expect("a message").expect("WebSocket");
    assert_eq!(heard, Message::from("of the other one".as_bytes().to_vec()));
}

#[tokio::test]
async fn what_is_too_big_or_no_websocket_is_an_error_and_the_end_is_told() {
    let (mut client, mut transport) = pair(64 * 1_024).await;
    client.send(Message::from(vec![1; CLIENT_FRAME_BYTES_MAX])).await.expect("sent");
    assert!(hear(&mut transport).await == Some(binary(vec![1; CLIENT_FRAME_BYTES_MAX])));
    client.send(Message::from(vec![1; CLIENT_FRAME_BYTES_MAX + 1])).await.expect("sent");
    assert!(poll_fn(|cx| transport.poll_read(cx)).await.expect("read"));
    assert!(matches!(transport.next(), Err(Error::Capacity(_))), "before all of it is there");

    let (mut raw, near) = duplex(64);
    let mut transport = Transport::new(near, b"\x82\x01x".to_vec(), READ_BYTES);
    assert!(poll_fn(|cx| transport.poll_read(cx)).await.expect("what was left over counts as read"));
    assert!(matches!(transport.next(), Err(Error::Protocol(_))), "a client masks its frames");
    raw.shutdown().await.expect("shut");
    assert!(poll_fn(|cx| transport.poll_read(cx)).await.is_ok_and(|more| !more), "the end");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever frames arrive, in whatever pieces, what is heard is what tungstenite alone hears, up to its last word.
    #[test]
    fn what_is_heard_is_what_tungstenite_hears(
        frames in prop::collection::vec(frame(), 1..12),
        stream_bytes in prop_oneof![Just(1_usize), 2..600_usize, Just(100_000)],
    ) {
        let bytes: Vec<u8> = frames.concat();
        let expected = heard_by_tungstenite(&bytes);
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let (heard, failed) = runtime.block_on(async {
            let (near, mut far) = duplex(stream_bytes);
            let mut transport = Transport::new(near, Vec::new(), READ_BYTES);
            let mut heard = Vec::new();
            let sending = async {
                // Fails where the other side has heard enough.
                let _ = far.write_all(&bytes).await;
                let _ = far.shutdown().await;
            };
            let hearing = async {
                while poll_fn(|cx| transport.poll_read(cx)).await.expect("the stream holds") {
                    loop {
                        match transport.next() {
                            Ok(Some(Heard::Close)) => return (transport, false),
                            // tungstenite says nothing of them.
                            Ok(Some(Heard::Fragment)) => {}
                            Ok(Some(what)) => heard.push(owned(what)),
                            Ok(None) => break,
                            Err(_) => return (transport, true),
                        }
                    }
                }
                (transport, false)
            };
            let ((), (transport, failed)) = tokio::join!(sending, async {
                let end = hearing.await;
                if end.0.buffers.input.is_empty() {
                    assert_eq!(end.0.buffers.input.capacity(), 0, "nothing is kept");
                }
                // Lets the sender go.
                let Transport { io, buffers, .. } = end.0;
                drop(io);
                (buffers, end.1)
            });
            drop(transport);
            (heard, failed)
        });
        prop_assert!((heard, failed) == expected);
    }
}

/// A frame, mostly as a client sends it.
fn frame() -> impl Strategy<Value = Vec<u8>> {
    let opcode = prop_oneof![8 => Just(2_u8), 4 => Just(1), 4 => Just(0), 2 => Just(9), 1 => Just(10), 1 => 0..16_u8];
    let length = prop_oneof![6 => 0..200_usize, 2 => 200..5_000_usize, 1 => 16_000..17_000_usize];
    let odd = prop_oneof![40 => Just(0_u8), 1 => 1..8_u8];
    let masked = prop::bool::weighted(0.98);
    let text = prop::bool::weighted(0.9);
    (opcode, length, odd, masked, prop::bool::weighted(0.7), text, any::<[u8; 4]>()).prop_map(
        |(opcode, length, odd, masked, is_final, is_ascii, mask)| {
            let mut bytes = vec![u8::from(is_final) << 7 | odd << 4 | opcode];
            let mask_bit = u8::from(masked) << 7;
            match length {
                0..=125 => bytes.push(mask_bit | length as u8),
                _ => {
                    bytes.push(mask_bit | 126);
                    bytes.extend_from_slice(&(length as u16).to_be_bytes());
                }
            }
            let plain = (0..length).map(|index| if is_ascii { b'a' + (index % 26) as u8 } else { index as u8 });
            if masked {
                bytes.extend_from_slice(&mask);
                bytes.extend(plain.zip(mask.into_iter().cycle()).map(|(byte, mask)| byte ^ mask));
            } else {
                bytes.extend(plain);
            }
            bytes
        },
    )
}

/// What tungstenite hears of the same bytes, up to a close, and whether it then finds fault.
fn heard_by_tungstenite(bytes: &[u8]) -> (Vec<Heard<'static>>, bool) {
    let config = WebSocketConfig::default()
        .max_message_size(Some(CLIENT_FRAME_BYTES_MAX))
        .max_frame_size(Some(CLIENT_FRAME_BYTES_MAX));
    let mut context = WebSocketContext::new(Role::Server, Some(config));
    let all = bytes.len();
    let mut stream = Buffers { input: bytes.to_vec(), shown: all, ..Buffers::default() };
    let mut heard = Vec::new();
    loop {
        heard.push(match context.read(&mut stream) {
            Ok(Message::Binary(bytes)) => binary(bytes.to_vec()),
            Ok(Message::Text(text)) => Heard::Message { payload: text.as_bytes().to_vec().into(), is_text: true },
            Ok(Message::Close(_)) => return (heard, false),
            Ok(_) => Heard::Control,
            Err(Error::Io(_)) => return (heard, false),
            Err(_) => return (heard, true),
        });
    }
}
