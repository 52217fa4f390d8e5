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

/// Reads until there is a message, or `None` at the end of the stream.
async fn hear<IO: Io>(transport: &mut Transport<IO>) -> Option<Message> {
    loop {
        if let Some(message) = transport.next().expect("WebSocket") {
            return Some(message);
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
    assert!(hear(&mut transport).await.expect("a message").is_ping());
    write(&mut transport, b"before");
    transport.answer_control().expect("answered");
    write(&mut transport, b"after");
    transport.ping().expect("written");
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
    assert!(hear(&mut transport).await.is_some_and(|message| message.is_pong()));
    client.close(None).await.expect("sent");
    assert!(hear(&mut transport).await.is_some_and(|message| message.is_close()));
    transport.answer_control().expect("answered");
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
    assert!(hear(&mut transport).await.is_some_and(|message| message.len() == CLIENT_FRAME_BYTES_MAX));
    client.send(Message::from(vec![1; CLIENT_FRAME_BYTES_MAX + 1])).await.expect("sent");
    assert!(poll_fn(|cx| transport.poll_read(cx)).await.expect("read"));
    assert!(matches!(transport.next(), Err(Error::Capacity(_))));

    let (mut raw, near) = duplex(64);
    let mut transport = Transport::new(near, b"\x82\x01x".to_vec(), READ_BYTES);
    assert!(poll_fn(|cx| transport.poll_read(cx)).await.expect("what was left over counts as read"));
    assert!(matches!(transport.next(), Err(Error::Protocol(_))), "a client masks its frames");
    raw.shutdown().await.expect("shut");
    assert!(poll_fn(|cx| transport.poll_read(cx)).await.is_ok_and(|more| !more), "the end");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// However the bytes of messages arrive, the messages are those that were sent, in order, and nothing is held then.
    #[test]
    fn messages_are_those_that_were_sent_however_they_arrive(
        lengths in prop::collection::vec(prop_oneof![4 => 0..200_usize, 1 => 200..5_000_usize], 1..20),
        stream_bytes in prop_oneof![Just(1_usize), 2..600_usize, Just(100_000)],
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            let (mut client, mut transport) = pair(stream_bytes).await;
            let sent: Vec<Message> = lengths.iter().map(|&bytes| Message::from(vec![bytes as u8; bytes])).collect();
            let sending = async {
                for message in &sent {
                    client.feed(message.clone()).await.expect("fed");
                }
                client.flush().await.expect("sent");
            };
            let hearing = async {
                for message in &sent {
                    assert!(hear(&mut transport).await.as_ref() == Some(message));
                }
            };
            tokio::join!(sending, hearing);
            assert!(transport.next().expect("WebSocket").is_none());
            assert_eq!(transport.buffers.input.capacity(), 0);
        });
    }
}
